/* cpu_cover.h: private to gpu/: covers of the "cpu" device (contract: gpu/cover.h), shared by its files:
 *   cpu_cover.c         a cover and its centres
 *   cpu_cover_rounds.c  refresh and what follows it: the same for both ways of working
 *   cpu_cover_exact.c   the plain way: all distances canonical, by the kernels of cpu_kernels.h
 *
 * A point is named by its place in the cover (local index); in keys and candidates stands first_index more.
 */
#ifndef PB_GPU_CPU_COVER_H
#define PB_GPU_CPU_COVER_H

#include "gpu/cpu.h"

enum {
    PB_COVER_BLOCK = 4096, /* points of a piece of work for one thread: enough to share what is read of the centres */
    PB_COVER_CHUNK = 256   /* centres that a point meets before it is looked at whether it still is a candidate */
};

/* What a thread works with. */
typedef struct pb_cover_work {
    uint32_t active[PB_COVER_BLOCK], order[PB_COVER_BLOCK];
    uint64_t packed[PB_ROWS_CHUNK];
    float *rows;     /* [PB_ROWS_CHUNK][dim] */
    uint32_t *heads; /* one for each chunk of centres and two more */
} pb_cover_work;

struct pb_cover {
    const pb_cpu_kernels *kernels;
    int threads, dim;
    uint32_t first_index;
    size_t capacity, count, stride; /* stride: floats from row to row */

    float *rows;      /* [capacity][stride], zeros beyond dim */
    float *bounds;    /* [capacity] >= the canonical distance^2 to the nearest centre met */
    uint32_t *nearest; /* [capacity] the number of that centre */
    uint32_t *met;    /* [capacity] the point has met centres 0 .. met - 1 */

    size_t centre_count, centre_room;
    float *centres;      /* [room][stride] */
    float *centre_tiles; /* the same as tiles of PB_LANES, as cpu_kernels.h has them */

    uint64_t floor;       /* of the last refresh or raise */
    uint32_t *candidates; /* [capacity]; candidate_count of them since */
    size_t candidate_count;

    pb_cover_work *work; /* [threads] */
    size_t *left;        /* survivors of each block */
};

static inline uint64_t pb_cover_key_of(const pb_cover *cover, uint32_t point) {
    return pb_pack_farthest(cover->bounds[point], cover->first_index + point);
}

/* Appends a centre (dim floats, may be a row of the cover itself), without letting any point meet it. */
pb_status pb_cover_append(pb_cover *cover, const float *row);

/* Lets `count` points meet centres begin .. end - 1, at most PB_COVER_CHUNK, none of which is past a multiple of that. Those whose key is still
 * >= floor are moved to the front of points; returns how many. */
size_t pb_cover_exact_advance(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                              uint64_t floor);

/* pb_device_cover_select, the plain way. */
pb_status pb_cover_exact_select(pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count, uint64_t floor,
                                size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next);

#endif
