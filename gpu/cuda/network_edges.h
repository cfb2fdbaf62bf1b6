/* network_edges.h: private to gpu/cuda/: the kernels at both ends of a network: from bytes, and to floats.
 *
 * Pointers are device memory. Each function queues its work on `stream` and returns what the launch says. Nothing to do is no
 * launch. Not collective.
 */
#ifndef PB_GPU_CUDA_NETWORK_EDGES_H
#define PB_GPU_CUDA_NETWORK_EDGES_H

#include "gpu/cuda/precision.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels of 3 bytes become `channels` (3 to 8) values: channel c < 3 is (byte - mean[c]) * scale[c] in float, those from the
 * fourth on 0; rounded to the nearest of the type. mean, scale: host memory. */
cudaError_t pb_cuda_network_input(cudaStream_t stream, const uint8_t *images, size_t pixels, const float mean[3],
                                  const float scale[3], int channels, pb_element element, void *out);

/* Values of a type as floats, exactly. out: [count]. */
cudaError_t pb_cuda_network_tap(cudaStream_t stream, const void *values, size_t count, pb_element element, float *out);

#ifdef __cplusplus
}
#endif

#endif
