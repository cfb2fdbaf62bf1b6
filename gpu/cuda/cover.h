/* cover.h: private to gpu/cuda/: covers of the "cuda" device (contract: gpu/cover.h), shared by its files:
 *   cover.c         a cover, its points and centres; refresh, and what is asked about candidates
 *   cover_select.c  selection among candidates
 *
 * Every bound is canonical, and every distance of a point above the floor to a centre that it has missed is evaluated: the plain
 * way of gpu/cpu_cover.h, 128 centres at a time. That needs no margins and gives the same picks; a filter by places would be the
 * next step.
 */
#ifndef PB_GPU_CUDA_COVER_H
#define PB_GPU_CUDA_COVER_H

#include "gpu/cuda/cuda.h"

struct pb_cover {
    int dim;
    uint32_t first_index;
    size_t capacity, count;
    float *rows;            /* [capacity][dim] */
    uint64_t *state;        /* [capacity] */
    uint32_t *met;          /* [capacity] */
    uint32_t *list;         /* [capacity]: points of the last list, the candidates after a refresh */
    uint32_t *block_counts; /* for lists */
    pb_cuda_cover_counts *counts;

    size_t centre_count, centre_room;
    float *centres; /* [room][dim] */

    uint64_t floor;         /* of the last refresh or raise */
    size_t candidate_count; /* since */
    pb_cuda_room scratch;   /* those of a selection */
};

/* Room for `count` centres in all. */
pb_status pb_cuda_cover_reserve(const pb_device *device, pb_cover *cover, size_t count);

#endif
