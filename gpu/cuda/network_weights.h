/* network_weights.h: private to gpu/cuda/: weights in the order and the type that a graph wants them in.
 *
 * Host memory throughout; not collective; thread safe.
 */
#ifndef PB_GPU_CUDA_NETWORK_WEIGHTS_H
#define PB_GPU_CUDA_NETWORK_WEIGHTS_H

#include "gpu/cuda/network_graph.h"

#include <stdint.h>

/* The nearest half (IEEE 754 binary16) and bfloat (the upper 16 bits of a float), ties to the even one; what is too large becomes
 * infinite, a NaN stays one. Bits. Not the processor's instructions: every host gives the same bits. */
uint16_t pb_half_bits(float value);
uint16_t pb_bfloat_bits(float value);

/* The values of such bits. */
float pb_half_value(uint16_t bits);
float pb_bfloat_value(uint16_t bits);

/* Bytes of the tensor of a role in memory; 0 when the graph has none. */
size_t pb_graph_bytes(const pb_graph *graph, pb_graph_role role);

/* Writes the weights [outputs][inputs / groups][kernel][kernel] of a convolution as its graph's weights lie,
 * [outputs][kernel][kernel][channels] of its type; channels that the layer has not (of a padded input) are zeros. out:
 * pb_graph_bytes of it. Errors: PB_E_UNSUPPORTED, with layer and channel, for a weight too large for the type. */
PB_CHECKED pb_status pb_graph_weights(const pb_layer *layer, const pb_graph *graph, void *out);

/* Likewise the bias [outputs]. */
PB_CHECKED pb_status pb_graph_bias(const pb_layer *layer, const pb_graph *graph, void *out);

#endif
