/* Rows to length 1: the square of each row as in step.h, then every value divided by its row's length, in place.
 *
 * H100, 25,088 rows of 1,024 values: 102.8 MB read twice and written once, the second time perhaps from the second cache of 50
 * MB: 61 to 92 us at 3.35 TB/s; a correctly rounded division takes about 10 operations: 257 M / 29.7 T/s = 9 us. 98 blocks of 256
 * rows do not fill 132 multiprocessors: about 130 us. Occupancy as in step.h.
 *
 * A NaN is a NaN on every device, but not the same bits.
 *
 * A warp divides one row after the other, so that it reads and writes 128 bytes at a time; the lengths come through shared
 * memory.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/step.h"

typedef struct unit_rows_arguments {
    float *rows;
    size_t n;
    int dim;
} unit_rows_arguments;

KERNEL(unit_rows, unit_rows_arguments, STEP_THREADS, 6) {
    SHARED(packed_pair, shared);
    const step_memory memory = step_memory_of(shared);
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const size_t first = (size_t)blockIdx.x * STEP_THREADS, dim = (size_t)a.dim;
    const unsigned count = a.n - first < STEP_THREADS ? (unsigned)(a.n - first) : STEP_THREADS;
    float *rows = a.rows + first * dim, *lengths = memory.rows;
    const float square = step_distance2(memory, rows, count, a.dim, NULL);
    __syncthreads(); /* all have read the last slab, where the lengths go */
    lengths[threadIdx.x] = __float_as_uint(square) == 0x7F800000u ? __uint_as_float(0x7FC00000u) : sqrtf(square);
    __syncthreads();
    for (unsigned row = warp; row < count; row += STEP_THREADS / WARP) {
        const float length = lengths[row];
        for (size_t k = lane; k < dim && !(length <= 0); k += WARP)
            rows[row * dim + k] /= length;
    }
}

cudaError_t pb_cuda_unit_rows(cudaStream_t stream, float *rows, size_t n, int dim) {
    if (n == 0)
        return cudaSuccess;
    const unit_rows_arguments arguments = {rows, n, dim};
    LAUNCH(unit_rows, (unsigned)((n + STEP_THREADS - 1) / STEP_THREADS), STEP_THREADS, STEP_SHARED, stream, arguments);
    return cudaGetLastError();
}
