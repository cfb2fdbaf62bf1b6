/* pairs.h: private to gpu/cuda/: sums over the dimensions for all pairs of a tile of "left" and a tile of "right" vectors: what
 * projection, search and covers spend their time with.
 *
 * A block of 256 threads, as 16 by 16, makes the sums of 128 x 128 pairs, each thread 8 x 8 of them in registers: left vectors y,
 * y + 16, ... and right ones x, x + 16, ... The vectors come through shared memory in slabs of 16 dimensions, dimension by
 * dimension, so that the lanes of a warp read neighbouring words (right) or two words (left). Each sum goes through the
 * dimensions in order: the canonical order of gpu/device.h.
 *
 * Cost: of a slab a thread reads 16 words of shared memory a dimension for 64 pairs. A distance takes 2 operations a pair and
 * dimension, a product 1. H100: 132 multiprocessors x 128 lanes x 1.755 GHz = 29.7 T operations/s; of shared memory a
 * multiprocessor delivers one word a lane and cycle to one warp, so a dimension takes a warp 16 cycles of it against 128 / 4 = 32
 * (distance) or 16 (product) of arithmetic: distances are bound by arithmetic, products by both alike. 16.1 KiB of shared memory
 * and at most 128 registers: 2 blocks, 16 of 64 warps.
 */
#ifndef PB_GPU_CUDA_PAIRS_H
#define PB_GPU_CUDA_PAIRS_H

#include "gpu/cuda/lanes.h"

enum {
    PAIRS_THREADS = 256,
    PAIRS_SIDE = 128,            /* vectors of a tile */
    PAIRS_EACH = 8,              /* of a tile, for a thread */
    PAIRS_STEP = PAIRS_SIDE / PAIRS_EACH, /* from one of a thread's vectors to its next, and threads along a side */
    PAIRS_DEPTH = 16,            /* dimensions of a slab */
    PAIRS_PITCH = PAIRS_SIDE + 1 /* words from one dimension to the next: rows are laid down without two lanes at one bank */
};

#define PAIRS_SHARED (2 * PAIRS_DEPTH * PAIRS_PITCH * sizeof(float))

/* Place of this thread's vector number i of the left or right tile. 0 to PAIRS_SIDE - 1; over all i and threads of a side each
 * place comes once. */
DEVICE unsigned pairs_left(int i) { return threadIdx.x / PAIRS_STEP + (unsigned)i * PAIRS_STEP; }
DEVICE unsigned pairs_right(int j) { return threadIdx.x % PAIRS_STEP + (unsigned)j * PAIRS_STEP; }

/* Sums begin at +0, as gpu/device.h has it. */
DEVICE void pairs_clear(float sums[PAIRS_EACH][PAIRS_EACH]) {
    UNROLL for (int i = 0; i < PAIRS_EACH; i++)
        UNROLL for (int j = 0; j < PAIRS_EACH; j++)
            sums[i][j] = 0.0f;
}

/* Rows of a tile: rows + i * dim, or with `which` rows + which[i] * dim, of `count` i. count is at most PAIRS_SIDE. */
typedef struct pairs_rows {
    const float *rows;
    const unsigned *which;
    unsigned count;
} pairs_rows;

/* Lays dimensions begin .. begin + depth - 1 of rows into a slab; rows beyond are 0. All threads take part. Neighbouring threads
 * read neighbouring dimensions of a row: half a warp 64 bytes. */
DEVICE void pairs_lay_rows(float *slab, const pairs_rows from, int dim, int begin, int depth) {
    for (unsigned at = threadIdx.x; at < PAIRS_SIDE * PAIRS_DEPTH; at += PAIRS_THREADS) {
        const unsigned row = at / PAIRS_DEPTH, k = at % PAIRS_DEPTH;
        float value = 0.0f;
        if (row < from.count && (int)k < depth)
            value = from.rows[(size_t)(from.which ? from.which[row] : row) * (size_t)dim + (size_t)begin + k];
        slab[k * PAIRS_PITCH + row] = value;
    }
}

/* Lays dimensions begin .. begin + depth - 1 of `count` columns of a matrix, whose rows are `stride` long, into a slab.
 * Neighbouring threads read neighbouring columns. */
DEVICE void pairs_lay_columns(float *slab, const float *columns, unsigned count, int stride, int begin, int depth) {
    for (unsigned at = threadIdx.x; at < PAIRS_SIDE * PAIRS_DEPTH; at += PAIRS_THREADS) {
        const unsigned k = at / PAIRS_SIDE, column = at % PAIRS_SIDE;
        float value = 0.0f;
        if (column < count && (int)k < depth)
            value = columns[(size_t)(begin + (int)k) * (size_t)stride + column];
        slab[k * PAIRS_PITCH + column] = value;
    }
}

/* One dimension of the slabs. */
DEVICE void pairs_add_one(const float *left, const float *right, float sums[PAIRS_EACH][PAIRS_EACH], const bool distance) {
    float l[PAIRS_EACH], r[PAIRS_EACH];
    UNROLL for (int i = 0; i < PAIRS_EACH; i++) {
        l[i] = left[pairs_left(i)];
        r[i] = right[pairs_right(i)];
    }
    UNROLL for (int i = 0; i < PAIRS_EACH; i++)
        UNROLL for (int j = 0; j < PAIRS_EACH; j++) {
            const float t = l[i] - r[j];
            sums[i][j] = distance ? fmaf(t, t, sums[i][j]) : fmaf(l[i], r[j], sums[i][j]);
        }
}

/* Adds `depth` dimensions of the slabs to the sums. Not more: adding 0 * 0 is not always nothing (-0 becomes +0). The full slab
 * has a constant number of steps, which can be written out. */
DEVICE void pairs_add(const float *left, const float *right, int depth, float sums[PAIRS_EACH][PAIRS_EACH], const bool distance) {
    if (depth == PAIRS_DEPTH)
        UNROLL for (int k = 0; k < PAIRS_DEPTH; k++)
            pairs_add_one(left + k * PAIRS_PITCH, right + k * PAIRS_PITCH, sums, distance);
    else
        for (int k = 0; k < depth; k++)
            pairs_add_one(left + k * PAIRS_PITCH, right + k * PAIRS_PITCH, sums, distance);
}

/* Canonical distances^2 between rows of dim values. slabs: PAIRS_SHARED bytes. All threads take part. On return slabs may still
 * be read by others: the next call begins with a barrier. */
DEVICE void pairs_distances(float *slabs, const pairs_rows left, const pairs_rows right, int dim,
                            float sums[PAIRS_EACH][PAIRS_EACH]) {
    float *left_slab = slabs, *right_slab = slabs + PAIRS_DEPTH * PAIRS_PITCH;
    pairs_clear(sums);
    for (int begin = 0; begin < dim; begin += PAIRS_DEPTH) {
        const int depth = dim - begin < PAIRS_DEPTH ? dim - begin : PAIRS_DEPTH;
        __syncthreads(); /* the slabs have been read */
        pairs_lay_rows(left_slab, left, dim, begin, depth);
        pairs_lay_rows(right_slab, right, dim, begin, depth);
        __syncthreads();
        pairs_add(left_slab, right_slab, depth, sums, true);
    }
}

#endif
