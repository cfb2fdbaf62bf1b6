/* network_kernels.h: private to gpu/cuda/: the kernels of a vision transformer's layers that are no graph of cuDNN's
 * (network_graph.h): what they compute stands in gpu/network.h.
 *
 *   network_tokens.cu     TOKENS and PATCHES
 *   network_norm.cu       LAYER_NORM
 *   network_attention.cu  ATTENTION
 *
 * Arithmetic is float whatever the type of the memory, a sum's order is fixed, and what is stored is rounded once to the nearest
 * of the type; a NaN stays one. Pointers are device memory. Each function queues its work on `stream` and returns what the launch
 * says. Nothing to do is no launch. Not collective.
 */
#ifndef PB_GPU_CUDA_NETWORK_KERNELS_H
#define PB_GPU_CUDA_NETWORK_KERNELS_H

#include "gpu/cuda/precision.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memory [images][tokens][channels]: the class token and the places, as PB_OPERATION_TOKENS orders them. The type of `element`
 * for input and output alike; weights and biases are floats. */
typedef struct pb_cuda_tokens {
    size_t images;
    int tokens, channels;
    pb_element element;
} pb_cuda_tokens;

/* places: [images][tokens - 1][channels] of the same type; weights: floats [tokens][channels]; out: of `shape`. */
cudaError_t pb_cuda_network_tokens(cudaStream_t stream, pb_cuda_tokens shape, const void *places, const float *weights,
                                   void *out);

/* The other way: in is of `shape`, out without the class tokens. out: [images][tokens - 1][channels]. */
cudaError_t pb_cuda_network_patches(cudaStream_t stream, pb_cuda_tokens shape, const void *in, void *out);

/* weights, bias: floats [channels]; in, out: of `shape`. They may be the same. */
cudaError_t pb_cuda_network_norm(cudaStream_t stream, pb_cuda_tokens shape, const void *in, const float *weights,
                                 const float *bias, float epsilon, void *out);

/* in: [images][tokens][3 * channels]: queries, keys, values; out: of `shape`. channels is a multiple of heads, and a head has at
 * most PB_CUDA_HEAD_MAX of them. */
enum { PB_CUDA_HEAD_MAX = 64 };
cudaError_t pb_cuda_network_attention(cudaStream_t stream, pb_cuda_tokens shape, int heads, const void *in, void *out);

#ifdef __cplusplus
}
#endif

#endif
