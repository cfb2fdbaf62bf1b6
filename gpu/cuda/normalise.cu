/* Bytes to the network's input.
 *
 * A thread makes the values of one pixel: 3 bytes in, 4 channels of 4 or 2 bytes out. H100, a batch of 256 images of 224 x 224
 * pixels, half precision padded to 8 channels: 12.8 M pixels, 38.5 MB read and 206 MB written, at 3.35 TB/s 73 us. 256 threads
 * and about 20 registers: 8 blocks a multiprocessor, all 64 warps.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

typedef struct normalise_arguments {
    const uint8_t *images;
    size_t pixels;
    pb_cuda_normalisation how;
    int channels;
    float *floats; /* one of the two, the other is NULL */
    uint16_t *halves;
} normalise_arguments;

enum { NORMALISE_THREADS = 256 };

KERNEL(normalise, normalise_arguments, NORMALISE_THREADS, 8) {
    const size_t pixel = (size_t)blockIdx.x * NORMALISE_THREADS + threadIdx.x;
    if (pixel >= a.pixels)
        return;
    for (int c = 0; c < a.channels; c++) {
        const float value = c < 3 ? ((float)a.images[pixel * 3 + (size_t)c] - a.how.mean[c]) * a.how.scale[c] : 0.0f;
        if (a.halves)
            a.halves[pixel * (size_t)a.channels + (size_t)c] = half_bits(value);
        else
            a.floats[pixel * (size_t)a.channels + (size_t)c] = value;
    }
}

cudaError_t pb_cuda_normalise(cudaStream_t stream, const uint8_t *images, size_t pixels, pb_cuda_normalisation how, int channels,
                              int half, void *out) {
    if (pixels == 0)
        return cudaSuccess;
    const normalise_arguments arguments = {images, pixels, how, channels, half ? NULL : (float *)out,
                                           half ? (uint16_t *)out : NULL};
    LAUNCH(normalise, (unsigned)((pixels + NORMALISE_THREADS - 1) / NORMALISE_THREADS), NORMALISE_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
