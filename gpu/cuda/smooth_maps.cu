/* Maps smoothed along one axis; the map of patches has been raised to pixels by patch_blend before. A thread makes one pixel and
 * reads its neighbours along the axis; along rows neighbouring threads read neighbouring floats, down columns whole rows of them.
 *
 * H100, 32 maps of 224 x 224 pixels, reach 16: a pass reads 6.4 MB from memory once, else from the first cache, and writes as
 * much: 4 us at 3.35 TB/s. 1.6 M x 33 reads of a float at 132 x 32 a cycle: 7 us; about 16 operations for each of 16 steps:
 * 1.6 M x 256 / 29.7 T/s = 14 us: bound by them, two passes 28 us. 256 threads, 32 registers: 8 blocks a multiprocessor, all 64
 * warps; the weights are arguments, which a warp reads at one address.
 *
 * The weights are the host's, so that no exponential of a device decides (decision 0028).
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum { SMOOTH_THREADS = 256 };

typedef struct smooth_arguments {
    pb_smoothing how;
    const float *from;
    float *to;
    size_t values, step; /* step: floats from a pixel to the next along the axis */
    int length;          /* pixels of the axis */
} smooth_arguments;

/* As pb_smoothing_mirror. */
DEVICE int mirrored(int i, int length) {
    if (i >= 0 && i < length)
        return i;
    i %= 2 * length;
    i = i < 0 ? i + 2 * length : i;
    return i < length ? i : 2 * length - 1 - i;
}

KERNEL(smooth_maps, smooth_arguments, SMOOTH_THREADS, 8) {
    const size_t at = (size_t)blockIdx.x * SMOOTH_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    const int place = (int)(at / a.step % (size_t)a.length);
    const float *line = a.from + (at - (size_t)place * a.step);
    float sum = a.how.weights[0] * a.from[at];
    for (int k = 1; k <= a.how.reach; k++)
        sum = fmaf(a.how.weights[k], line[(size_t)mirrored(place - k, a.length) * a.step] +
                                         line[(size_t)mirrored(place + k, a.length) * a.step], sum);
    a.to[at] = sum;
}

cudaError_t pb_cuda_smooth(cudaStream_t stream, const pb_smoothing *how, const float *from, size_t values, size_t step,
                           int length, float *to) {
    if (values == 0)
        return cudaSuccess;
    const smooth_arguments arguments = {*how, from, to, values, step, length};
    LAUNCH(smooth_maps, (unsigned)((values + SMOOTH_THREADS - 1) / SMOOTH_THREADS), SMOOTH_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
