/* cover.h: private to gpu/cuda/: covers of the "cuda" device (contract: gpu/cover.h), shared by its files:
 *   cover.c         a cover, its points and centres; refresh, and what is asked about candidates
 *   cover_select.c  selection among candidates
 *
 * Every bound is canonical, and every distance of a point above the floor to a centre that it has missed is evaluated: the plain
 * way of gpu/cpu_cover.h, 128 centres at a time. That needs no margins and gives the same picks; a filter by places would be the
 * next step.
 *
 * A point is three words beside its row: its packed nearest, how many centres it has met, and its place in a list. The host has
 * the numbers of points, centres and candidates; everything else is device memory, in the order of the stream.
 */
#ifndef PB_GPU_CUDA_COVER_H
#define PB_GPU_CUDA_COVER_H

#include "gpu/cuda/cuda.h"

/* state: packed nearest of those met, (distance^2, centre), so that a minimum of it is right with ties; met as in gpu/cover.h.
 * list and counts are what cover_list.cu leaves. */
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
    pb_cuda_room scratch;   /* candidates of a selection */
};

/* Room for `count` centres in all. Centres there are stay, at a new place. Errors: PB_E_SYSTEM; the cover is then as it was. */
pb_status pb_cuda_cover_reserve(const pb_device *device, pb_cover *cover, size_t count);

#endif
