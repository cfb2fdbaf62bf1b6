/* PatchCore's adaptive average pooling: of neighbourhoods of a tap, and of the joined values of all taps. A thread makes one
 * value; neighbouring threads have neighbouring values of a patch, whose terms lie in neighbouring channels.
 *
 * H100, 32 images of 28 x 28 places and 512 channels, 3 x 3, to 1,024 values: 51.4 MB read once, 102.8 MB written: 46 us at 3.35
 * TB/s; 25.7 M values x 5.5 terms x about 15 operations and 100 more a value: 158 us: bound by them. Rows of 2,048 values to
 * 1,024: 205 MB read, 103 MB written: 92 us. 256 threads, 38 registers: 6 blocks a multiprocessor, 48 of 64 warps.
 *
 * The order of a sum is that of a flattened neighbourhood: channel, row, column; places outside are left out, which from +0 on is
 * adding zeros (gpu/ref.h).
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum { POOL_THREADS = 256 };

/* What value j of `to` is the mean of, when `from` values are pooled to so many. */
typedef struct pool_bin {
    int first, end;
    float factor;
} pool_bin;

DEVICE pool_bin pool_bin_of(size_t j, int from, int to) {
    const long long wide = (long long)j;
    pool_bin bin;
    bin.first = (int)(wide * from / to);
    bin.end = (int)(((wide + 1) * from + to - 1) / to);
    bin.factor = 1.0f / (float)(bin.end - bin.first);
    return bin;
}

typedef struct patch_pool_arguments {
    pb_cuda_field tap;
    int patch, step, dim;
    int grid_height, grid_width; /* of patches */
    size_t values;
    float *out;
    size_t stride;
} patch_pool_arguments;

KERNEL(patch_pool, patch_pool_arguments, POOL_THREADS, 6) {
    const size_t at = (size_t)blockIdx.x * POOL_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    const int area = a.patch * a.patch, height = a.tap.height, width = a.tap.width;
    const size_t place = at / (size_t)a.dim, j = at % (size_t)a.dim, channels = (size_t)a.tap.channels;
    const size_t row = place / (size_t)a.grid_width, image = row / (size_t)a.grid_height;
    const int top = (int)(row % (size_t)a.grid_height) * a.step - a.patch / 2;
    const int left = (int)(place % (size_t)a.grid_width) * a.step - a.patch / 2;
    const float *tap = a.tap.values + image * (size_t)height * (size_t)width * channels;
    const pool_bin bin = pool_bin_of(j, a.tap.channels * area, a.dim);
    float sum = 0.0f;
    for (int term = bin.first; term < bin.end; term++) {
        const int y = top + term % area / a.patch, x = left + term % a.patch; /* area is a multiple of patch */
        if (y >= 0 && y < height && x >= 0 && x < width)
            sum += tap[((size_t)y * (size_t)width + (size_t)x) * channels + (size_t)(term / area)];
    }
    a.out[place * a.stride + j] = sum * bin.factor;
}

typedef struct row_pool_arguments {
    const float *rows;
    int from, to;
    size_t values;
    float *out;
} row_pool_arguments;

KERNEL(row_pool, row_pool_arguments, POOL_THREADS, 6) {
    const size_t at = (size_t)blockIdx.x * POOL_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    const float *row = a.rows + at / (size_t)a.to * (size_t)a.from;
    const pool_bin bin = pool_bin_of(at % (size_t)a.to, a.from, a.to);
    float sum = 0.0f;
    for (int term = bin.first; term < bin.end; term++)
        sum += row[term];
    a.out[at] = sum * bin.factor;
}

static unsigned pool_blocks(size_t values) { return (unsigned)((values + POOL_THREADS - 1) / POOL_THREADS); }

cudaError_t pb_cuda_patch_pool(cudaStream_t stream, pb_cuda_field tap, int patch, int step, int dim, float *out, size_t stride) {
    const int height = (tap.height + step - 1) / step, width = (tap.width + step - 1) / step;
    const size_t values = tap.n * (size_t)height * (size_t)width * (size_t)dim;
    if (values == 0)
        return cudaSuccess;
    const patch_pool_arguments arguments = {tap, patch, step, dim, height, width, values, out, stride};
    LAUNCH(patch_pool, pool_blocks(values), POOL_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}

cudaError_t pb_cuda_row_pool(cudaStream_t stream, const float *rows, size_t count, int from, int to, float *out) {
    const size_t values = count * (size_t)to;
    if (values == 0)
        return cudaSuccess;
    const row_pool_arguments arguments = {rows, from, to, values, out};
    LAUNCH(row_pool, pool_blocks(values), POOL_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
