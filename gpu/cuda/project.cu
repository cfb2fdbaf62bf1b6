/* Linear projection, canonical: 128 rows by 128 columns of the result a block (pairs.h).
 *
 * H100, 32 images of 784 patches, 1,024 values each, to 128: 25,088 x 1,024 x 128 = 3.29 G fused multiply-adds. Bytes: rows 102.8
 * MB once (one tile of columns), matrix 0.5 MB for each of 196 blocks from the second cache, result 12.8 MB: 35 us at 3.35 TB/s.
 * Arithmetic: 3.29 G / 29.7 T/s = 111 us, and as long for shared memory; 196 blocks on 264 places leave a quarter idle: about 150
 * us. Occupancy as in pairs.h.
 *
 * A sum goes through the dimensions slab by slab, in order; a block's rows and columns beyond the edges are zeros and not stored.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/pairs.h"

typedef struct project_arguments {
    const float *rows;
    size_t n;
    int dim;
    const float *matrix;
    int out_dim;
    float *out;
} project_arguments;

/* Block number b has tile b / tiles of rows and tile b % tiles of columns. */
KERNEL(project, project_arguments, PAIRS_THREADS, 2) {
    SHARED(float, slabs);
    float *left = slabs, *right = slabs + PAIRS_DEPTH * PAIRS_PITCH, sums[PAIRS_EACH][PAIRS_EACH];
    const unsigned tiles = ((unsigned)a.out_dim + PAIRS_SIDE - 1) / PAIRS_SIDE;
    const size_t row = (size_t)(blockIdx.x / tiles) * PAIRS_SIDE;
    const unsigned column = blockIdx.x % tiles * PAIRS_SIDE;
    const unsigned rows = a.n - row < PAIRS_SIDE ? (unsigned)(a.n - row) : PAIRS_SIDE;
    const unsigned columns = (unsigned)a.out_dim - column < PAIRS_SIDE ? (unsigned)a.out_dim - column : PAIRS_SIDE;
    const pairs_rows from = {a.rows + row * (size_t)a.dim, NULL, rows};
    pairs_clear(sums);
    for (int begin = 0; begin < a.dim; begin += PAIRS_DEPTH) {
        const int depth = a.dim - begin < PAIRS_DEPTH ? a.dim - begin : PAIRS_DEPTH;
        __syncthreads(); /* the slabs have been read */
        pairs_lay_rows(left, from, a.dim, begin, depth);
        pairs_lay_columns(right, a.matrix + column, columns, a.out_dim, begin, depth);
        __syncthreads();
        pairs_add(left, right, depth, sums, false);
    }
    UNROLL for (int i = 0; i < PAIRS_EACH; i++)
        UNROLL for (int j = 0; j < PAIRS_EACH; j++)
            if (pairs_left(i) < rows && pairs_right(j) < columns)
                a.out[(row + pairs_left(i)) * (size_t)a.out_dim + column + pairs_right(j)] = sums[i][j];
}

cudaError_t pb_cuda_project(cudaStream_t stream, const float *rows, size_t n, int dim, const float *matrix, int out_dim,
                            float *out) {
    if (n == 0)
        return cudaSuccess;
    const size_t tiles = ((size_t)out_dim + PAIRS_SIDE - 1) / PAIRS_SIDE;
    const project_arguments arguments = {rows, n, dim, matrix, out_dim, out};
    LAUNCH(project, (unsigned)((n + PAIRS_SIDE - 1) / PAIRS_SIDE * tiles), PAIRS_THREADS, PAIRS_SHARED, stream, arguments);
    return cudaGetLastError();
}
