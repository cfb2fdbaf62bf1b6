/* step.h: private to gpu/cuda/: canonical distances^2 of a block's rows to one centre: the textbook step, over all points
 * (greedy_step.cu) or over the candidates of a round (cover_select.cu). Or their squares (unit_rows.cu).
 *
 * A thread has a row. Rows come through shared memory in slabs of 32 dimensions: a warp reads 128 bytes of one row at a time, all
 * of which it needs, and 32 reads of a thread are on the way at once; then each thread adds up its own row, in order, with lanes
 * at different banks because of the odd pitch. 33 KiB of shared memory: 6 blocks a multiprocessor, 48 of 64 warps.
 */
#ifndef PB_GPU_CUDA_STEP_H
#define PB_GPU_CUDA_STEP_H

#include "gpu/cuda/lanes.h"

enum { STEP_THREADS = 256, STEP_DEPTH = WARP, STEP_PITCH = STEP_DEPTH + 1 };

/* The slab, a slab of the centre, and the slots of block_most. 33 KiB and some; within the 48 KiB of LAUNCH. */
#define STEP_SHARED (STEP_THREADS * STEP_PITCH * sizeof(float) + WARP * sizeof(packed_pair) + STEP_DEPTH * sizeof(float))

/* Shared memory, divided. */
typedef struct step_memory {
    packed_pair *slots; /* [WARP], first: they are aligned to 8 bytes */
    float *centre;      /* [STEP_DEPTH] */
    float *rows;        /* [STEP_THREADS][STEP_PITCH] */
} step_memory;

DEVICE step_memory step_memory_of(packed_pair *shared) {
    step_memory memory;
    memory.slots = shared;
    memory.centre = (float *)(shared + WARP);
    memory.rows = memory.centre + STEP_DEPTH;
    return memory;
}

/* Distance^2 of row number threadIdx.x of `count` rows [count][dim] to the centre, its square with centre NULL; of no meaning
 * beyond count. All threads take part. Two barriers a slab: before it is laid, when all have read the one before; after it,
 * before it is read. Each sum is one chain in the order of the dimensions; a row's dimensions are never divided among threads. */
DEVICE float step_distance2(step_memory memory, const float *rows, unsigned count, int dim, const float *centre) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    float sum = 0.0f;
    for (int begin = 0; begin < dim; begin += STEP_DEPTH) {
        const int depth = dim - begin < STEP_DEPTH ? dim - begin : STEP_DEPTH;
        __syncthreads(); /* the slab has been read */
        if ((int)lane < depth) {
            for (unsigned row = warp; row < count; row += STEP_THREADS / WARP)
                memory.rows[row * STEP_PITCH + lane] = rows[(size_t)row * (size_t)dim + (size_t)begin + lane];
            if (warp == 0 && centre)
                memory.centre[lane] = centre[(size_t)begin + lane];
        }
        __syncthreads();
        if (threadIdx.x < count)
            for (int k = 0; k < depth; k++) {
                const float x = memory.rows[threadIdx.x * STEP_PITCH + (unsigned)k], t = centre ? x - memory.centre[k] : x;
                sum = fmaf(t, t, sum);
            }
    }
    return sum;
}

#endif
