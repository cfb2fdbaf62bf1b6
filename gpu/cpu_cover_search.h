/* cpu_cover_search.h: private to gpu/: searches by the filter of covers (cpu_cover.h), whose centres are what is searched.
 *
 * For banks that many queries are searched in: gpu/cpu_points.c makes one when a bank has been searched enough to pay for it, and
 * drops it when it does not pay. Results are those of pb_device_nearest bit for bit (decisions 0013, 0027). Private to its owner,
 * which uses it from one thread; not collective.
 */
#ifndef PB_GPU_CPU_COVER_SEARCH_H
#define PB_GPU_CPU_COVER_SEARCH_H

#include "gpu/cpu_cover.h"

/* Writes row `index` of what is searched: dim floats, finite. row: host memory of the caller. Rows are asked for in any order,
 * some twice. */
typedef void pb_row_reader(const void *context, size_t index, float *row);

/* A cover for searches among `count` rows, copied, count >= 1. Out: *cover, owned by the caller (pb_cpu_cover_free); NULL,
 * without an error, when a filter cannot be had for such rows. Errors: PB_E_SYSTEM. Cost: axes of 256 rows, one pass over all. */
PB_CHECKED pb_status pb_cover_search_begin(pb_device *device, size_t count, int dim, pb_row_reader *read, const void *context,
                                           pb_cover **cover_out);

/* pb_device_nearest for queries [count][dim]. Returns how many, from the first on, it was done for: fewer than count when the
 * others have values that are not finite or too large for the margins. */
size_t pb_cover_search(pb_cover *cover, uint32_t first_index, const float *queries, size_t count, uint64_t *nearest);

/* Whether the filter has excluded enough so far: where the axes tell little, blocks turn to the plain way, which is faster
 * alone. Asked after a search; false once is reason to drop the filter. */
bool pb_cover_search_pays(const pb_cover *cover);

#endif
