/* kernels.h: private to gpu/cuda/: what starts the kernels, for the host's C. One .cu file an operation.
 *
 * All pointers are device memory, row-major. Each function queues its work on `stream` and returns at once with what the launch
 * says (a wrong configuration); what goes wrong while a kernel runs is told by a later call. Nothing to do is no launch. Results
 * are those of the twins in gpu/ref.h, bit for bit. `blocks`: how many blocks keep the whole device busy.
 *
 * How a .cu file reads: why the kernel is built so and what binds it, with figures for an H100 (3.35 TB/s of memory; 132
 * multiprocessors; 29.7 T float operations/s, see pairs.h), worked out, not measured; constants; the arguments, which a kernel
 * gets as one struct; the kernel; the function of this header. lanes.h has the few words that CUDA C and the emulator's C spell
 * differently. Not collective; no memory is made; arguments are copied at the launch, so host structs need not stay.
 */
#ifndef PB_GPU_CUDA_KERNELS_H
#define PB_GPU_CUDA_KERNELS_H

#include "gpu/smoothing.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* patch_means.cu, patch_blend.cu and patch_pool.cu: the parts of patch features. A field is [n][height][width][channels]; what is
 * made of a place goes to `stride` floats from what is made of the place before. */
typedef struct pb_cuda_field {
    const float *values;
    size_t n;
    int height, width, channels;
} pb_cuda_field;

/* Means over the neighbourhood of patch x patch places, for every place and channel. patch is odd. The order of arithmetic is
 * pb_ref_patch_features', as of the next; `out` may not overlap the field. */
cudaError_t pb_cuda_patch_means(cudaStream_t stream, pb_cuda_field tap, int patch, float *out, size_t stride);

/* The field at the places of a grid of another size, bilinear. */
cudaError_t pb_cuda_patch_blend(cudaStream_t stream, pb_cuda_field field, int height, int width, float *out, size_t stride);

/* Neighbourhoods of patch x patch places round every step-th place, each pooled to `dim` values; and rows [count][from] pooled to
 * [count][to]. The order of arithmetic is pb_ref_patchcore_features'. */
cudaError_t pb_cuda_patch_pool(cudaStream_t stream, pb_cuda_field tap, int patch, int step, int dim, float *out, size_t stride);
cudaError_t pb_cuda_row_pool(cudaStream_t stream, const float *rows, size_t count, int from, int to, float *out);

/* unit_rows.cu: pb_device_unit_rows. */
cudaError_t pb_cuda_unit_rows(cudaStream_t stream, float *rows, size_t n, int dim);

/* project.cu: pb_device_project. */
cudaError_t pb_cuda_project(cudaStream_t stream, const float *rows, size_t n, int dim, const float *matrix, int out_dim,
                            float *out);

/* smooth_maps.cu: one axis of pb_device_smooth_maps, of arrays whose neighbours along the axis, which has `length` places, are
 * `step` floats apart; values: floats of all arrays. from and to do not overlap. */
cudaError_t pb_cuda_smooth(cudaStream_t stream, const pb_smoothing *how, const float *from, size_t values, size_t step,
                           int length, float *to);

/* points_write.cu: copies rows [count][dim]. *not_finite becomes the least of itself and `first` + the number of a row with a
 * value that is not finite. distance2, unless NULL: [count], becomes +infinity. The caller sets *not_finite to UINT64_MAX
 * before. */
cudaError_t pb_cuda_points_write(cudaStream_t stream, const float *rows, size_t count, int dim, size_t first, float *points,
                                 float *distance2, uint64_t *not_finite);

/* greedy_step.cu: one textbook step over points [n][dim]; *best becomes the larger of itself and the packed maximum. The caller
 * sets *best to 0 before. distance2: [n], in and out. */
cudaError_t pb_cuda_greedy_step(cudaStream_t stream, const float *points, size_t n, int dim, uint32_t first_index,
                                const float *centre, float *distance2, uint64_t *best);

/* nearest.cu: pb_device_nearest over points [n][dim], for all queries, or for those *listed (read on the device, at most count)
 * whose numbers stand in `list`; list NULL: all. nearest: in and out, by number of the query. */
cudaError_t pb_cuda_nearest(cudaStream_t stream, int blocks, const float *points, size_t n, int dim, uint32_t first_index,
                            const float *queries, size_t count, const uint32_t *list, const uint64_t *listed, uint64_t *nearest);

/* ---- a search with a filter (search.c; why it is exact: nearest_filter.cu) ---- */

/* Sizes that the parts of a filtered search share; PB_CUDA_FILTER_DEPTH in halves. */
enum {
    PB_CUDA_FILTER_SIDE = 128,  /* points of a tile */
    PB_CUDA_FILTER_DEPTH = 32,  /* rows of halves are filled up to a multiple of it */
    PB_CUDA_FILTER_SAMPLE = 8,  /* every so many tiles give the first bounds */
    PB_CUDA_FILTER_ROOM = 64    /* candidates of a query */
};

/* Of a row of halves: what they are multiplied by, the squared norm of what that gives, and how far the true row is from it, at
 * most (+infinity: nothing is known). */
typedef struct pb_cuda_about {
    float scale, norm2, radius;
} pb_cuda_about;

/* Rows in half precision. halves: [rows][pitch], aligned to 16 bytes. tiles: [tiles of rows][2], the bits of the largest radius
 * and norm2 of each; NULL: not wanted. Filled up to the pitch with zeros. tiles takes maxima of bits, which for floats >= 0 order
 * as the values do. */
typedef struct pb_cuda_halves {
    uint16_t *halves;
    pb_cuda_about *about;
    uint64_t *tiles;
} pb_cuda_halves;

/* Halves of a row of `dim` values. */
static inline int pb_cuda_halves_pitch(int dim) {
    return (dim + PB_CUDA_FILTER_DEPTH - 1) / PB_CUDA_FILTER_DEPTH * PB_CUDA_FILTER_DEPTH;
}

/* nearest_halves.cu: rows [count][dim] in half precision. tiles must be 0 before. */
cudaError_t pb_cuda_nearest_halves(cudaStream_t stream, const float *rows, size_t count, int dim, pb_cuda_halves halves);

/* What is known of queries. Device memory of the caller, which sets it as said before the first pb_cuda_nearest_filter of a piece
 * of queries. */
typedef struct pb_cuda_candidates {
    uint64_t *most;         /* [count] bits of an upper bound of the least distance^2; before: UINT64_MAX */
    uint64_t *counts;       /* [count] candidates found, also when there are more than PB_CUDA_FILTER_ROOM; before: 0 */
    uint32_t *lists;        /* [count][PB_CUDA_FILTER_ROOM] places of points */
    uint32_t *beyond;       /* [count] queries that have more, in no order */
    uint64_t *beyond_count; /* one; before: 0 */
} pb_cuda_candidates;

/* nearest_filter.cu: adds the candidates among n points of dim values, the first of which has the place `first`, for queries that
 * have `nearest` already. Every point whose canonical distance^2 is not above a query's least, over all points so met and
 * `nearest`, is counted, and listed if there is room. bounds_only: lowers `most` by a sample of the points, and lists nothing.
 * May be called for one piece of the points after the other. */
cudaError_t pb_cuda_nearest_filter(cudaStream_t stream, int blocks, pb_cuda_halves points, size_t n, uint32_t first, int dim,
                                   pb_cuda_halves queries, size_t count, const uint64_t *nearest, pb_cuda_candidates candidates,
                                   bool bounds_only);

/* nearest_decide.cu: measures the candidates among points [..][dim] into `nearest`, and lists queries that had too many. beyond
 * and beyond_count are filled here. */
cudaError_t pb_cuda_nearest_decide(cudaStream_t stream, const float *points, int dim, uint32_t first_index, const float *queries,
                                   size_t count, pb_cuda_candidates candidates, uint64_t *nearest);

/* ---- covers (gpu/cover.h) ----
 *
 * state: of each point the packed nearest (distance^2, number of the centre) of those that it has met; met: it has met centres 0
 * to met - 1. The key of a point is that of its distance^2 and first_index + its place. */

/* cover_list.cu: points with key >= floor and met < limit, in rising order. block_counts: room for pb_cuda_cover_blocks(n). Sets
 * counts. */
typedef struct pb_cuda_cover_points {
    const uint64_t *state;
    const uint32_t *met;
    size_t n;
    uint32_t first_index;
} pb_cuda_cover_points;

/* What a list leaves, on the device. */
typedef struct pb_cuda_cover_counts {
    uint64_t count;      /* of points listed */
    uint64_t most;       /* largest key of all points, listed or not; 0 when there are none */
    uint64_t not_met;    /* UINT32_MAX less the least `met` of points listed; 0 when none is */
} pb_cuda_cover_counts;

/* Blocks of a list over n points. */
size_t pb_cuda_cover_blocks(size_t n);
cudaError_t pb_cuda_cover_list(cudaStream_t stream, pb_cuda_cover_points points, uint64_t floor, uint32_t limit,
                               uint32_t *block_counts, uint32_t *list, pb_cuda_cover_counts *counts);

/* cover_meet.cu: the counts->count (read on the device) points of a list meet centres begin .. begin + centre_count - 1, at most
 * PB_CUDA_CHUNK, of centres [..][dim], whatever of these they have met before. most: upper bound of counts->count. */
enum { PB_CUDA_CHUNK = 128 };

cudaError_t pb_cuda_cover_meet(cudaStream_t stream, int blocks, const float *rows, int dim, const uint32_t *list,
                               const pb_cuda_cover_counts *counts, size_t most, const float *centres, uint32_t begin,
                               uint32_t centre_count, uint64_t *state, uint32_t *met);

/* cover_candidates.cu. gather: for the listed points words [count][3] (global index, nearest centre, bits of the bound) and rows
 * [count][dim]. keys: *above += how many have a key >= least. restore: the words become the points' state again, and they have
 * met `met_now` centres. */
cudaError_t pb_cuda_cover_gather(cudaStream_t stream, const uint32_t *list, size_t count, const uint64_t *state,
                                 uint32_t first_index, const float *rows, int dim, uint32_t *words, float *gathered);
cudaError_t pb_cuda_cover_keys(cudaStream_t stream, const uint32_t *list, size_t count, const uint64_t *state,
                               uint32_t first_index, uint64_t least, uint64_t *above);
cudaError_t pb_cuda_cover_restore(cudaStream_t stream, const uint32_t *list, size_t count, const uint32_t *words,
                                 uint32_t met_now, uint64_t *state, uint32_t *met);

/* cover_select.cu: candidates of a round, in rising order of their global indices. begin: state of each becomes its canonical
 * distance^2 to centre nearest[i], *best the packed maximum of (distance^2, place). step: whoever leads in best[0] is the pick,
 * unless its key is below the floor or best[0] is 0; its row becomes centre number `number`, all candidates meet it, and best[1]
 * (0 before) becomes the new maximum. */
typedef struct pb_cuda_contest {
    const float *rows;     /* [count][dim] */
    const uint32_t *index; /* [count], rising */
    uint64_t *state;       /* [count] */
    size_t count;
    int dim;
    uint64_t floor;
} pb_cuda_contest;

cudaError_t pb_cuda_contest_begin(cudaStream_t stream, pb_cuda_contest contest, const uint32_t *nearest, const float *centres,
                                  uint64_t *best);
cudaError_t pb_cuda_contest_step(cudaStream_t stream, pb_cuda_contest contest, uint32_t number, float *centres, uint64_t *best);

#ifdef __cplusplus
}
#endif

#endif
