/* Places to tokens and back.
 *
 * A thread makes one value; neighbours lie side by side, so that a warp reads and writes 64 or 128 bytes at a time. H100, ViT-B,
 * 64 images of 224 x 224 pixels, half precision: 12.6 M values, 25 MB read and 25 MB written, at 3.35 TB/s 15 us, once a network
 * and once a tap; the embeddings, 0.8 MB, stay in the cache. 256 threads and about 24 registers: 8 blocks a multiprocessor, all
 * 64 warps.
 *
 * Token 0 of an image is the class token, which is weights alone; PATCHES leaves it out.
 */
#include "gpu/cuda/elements.h"
#include "gpu/cuda/network_kernels.h"

enum { TOKENS_THREADS = 256 };

static unsigned tokens_blocks(size_t values) { return (unsigned)((values + TOKENS_THREADS - 1) / TOKENS_THREADS); }

typedef struct tokens_arguments {
    elements_in places;
    elements_out out;
    const float *weights;
    size_t channels, each, values; /* each: values of an image */
} tokens_arguments;

/* i is the place in the image's output; its input lies one token before. */
KERNEL(network_tokens, tokens_arguments, TOKENS_THREADS, 8) {
    const size_t at = (size_t)blockIdx.x * TOKENS_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    const size_t image = at / a.each, i = at % a.each;
    float value = a.weights[i];
    if (i >= a.channels)
        value += element_get(a.places, image * (a.each - a.channels) + i - a.channels);
    element_put(a.out, at, value);
}

cudaError_t pb_cuda_network_tokens(cudaStream_t stream, pb_cuda_tokens shape, const void *places, const float *weights,
                                   void *out) {
    const size_t channels = (size_t)shape.channels, each = (size_t)shape.tokens * channels, values = shape.images * each;
    if (values == 0)
        return cudaSuccess;
    const tokens_arguments arguments = {elements_from(places, shape.element), elements_to(out, shape.element), weights, channels,
                                        each, values};
    LAUNCH(network_tokens, tokens_blocks(values), TOKENS_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}

typedef struct patches_arguments {
    elements_in in;
    elements_out out;
    size_t channels, each, values; /* each: values of an image's patches */
} patches_arguments;

/* Each image has one token less than the input: at / each images and one more were left out before `at`. */
KERNEL(network_patches, patches_arguments, TOKENS_THREADS, 8) {
    const size_t at = (size_t)blockIdx.x * TOKENS_THREADS + threadIdx.x;
    if (at >= a.values)
        return;
    element_put(a.out, at, element_get(a.in, at + (at / a.each + 1) * a.channels));
}

cudaError_t pb_cuda_network_patches(cudaStream_t stream, pb_cuda_tokens shape, const void *in, void *out) {
    const size_t channels = (size_t)shape.channels, each = (size_t)(shape.tokens - 1) * channels, values = shape.images * each;
    if (values == 0)
        return cudaSuccess;
    const patches_arguments arguments = {elements_from(in, shape.element), elements_to(out, shape.element), channels, each,
                                         values};
    LAUNCH(network_patches, tokens_blocks(values), TOKENS_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
