/* A field at the places of a grid of another size, bilinear. A thread makes one value; neighbouring threads have neighbouring
 * channels.
 *
 * H100, 32 images, 14 x 14 places of 1,024 channels to 28 x 28: 25.7 MB read once, the rest from caches, 102.8 MB written: 38 us
 * at 3.35 TB/s. About 120 operations a value, most for the two places: 25.7 M x 120 / 29.7 T/s = 104 us: bound by them. 256
 * threads, 32 registers: 8 blocks a multiprocessor, all 64 warps.
 *
 * Along columns first, in both rows, then along rows (gpu/ref.h).
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum { BLEND_THREADS = 256 };

typedef struct blend_arguments {
    pb_cuda_field field;
    int height, width;
    size_t values; /* of the grid */
    float *out;
    size_t stride;
} blend_arguments;

/* Between low and high, `fraction` of the way: as in gpu/ref.h. In whole numbers of 64 bits, as pb_cpu_place_of. */
typedef struct blend_place {
    size_t low, high;
    float fraction;
} blend_place;

DEVICE blend_place blend_place_of(int i, int in, int out) {
    const long long denominator = 2 * (long long)out, most = denominator * (in - 1);
    long long numerator = (2 * (long long)i + 1) * in - out;
    blend_place place;
    numerator = numerator < 0 ? 0 : numerator > most ? most : numerator;
    place.low = (size_t)(numerator / denominator);
    place.high = place.low + 1 < (size_t)in ? place.low + 1 : place.low;
    place.fraction = (float)(numerator % denominator) / (float)denominator;
    return place;
}

DEVICE float between(float low, float high, float fraction) { return fmaf(fraction, high - low, low); }

KERNEL(patch_blend, blend_arguments, BLEND_THREADS, 8) {
    const size_t at = (size_t)blockIdx.x * BLEND_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    const size_t channels = (size_t)a.field.channels, width = (size_t)a.width, height = (size_t)a.height;
    const size_t place = at / channels, channel = at % channels, from = (size_t)a.field.width;
    const blend_place y = blend_place_of((int)(place / width % height), a.field.height, a.height);
    const blend_place x = blend_place_of((int)(place % width), a.field.width, a.width);
    const float *field = a.field.values + place / width / height * (size_t)a.field.height * from * channels + channel;
    const float *low = field + y.low * from * channels, *high = field + y.high * from * channels;
    a.out[place * a.stride + channel] = between(between(low[x.low * channels], low[x.high * channels], x.fraction),
                                                between(high[x.low * channels], high[x.high * channels], x.fraction), y.fraction);
}

cudaError_t pb_cuda_patch_blend(cudaStream_t stream, pb_cuda_field field, int height, int width, float *out, size_t stride) {
    const size_t values = field.n * (size_t)height * (size_t)width * (size_t)field.channels;
    if (values == 0)
        return cudaSuccess;
    const blend_arguments arguments = {field, height, width, values, out, stride};
    LAUNCH(patch_blend, (unsigned)((values + BLEND_THREADS - 1) / BLEND_THREADS), BLEND_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
