/* precision.h: private to gpu/cuda/: what stands in memory when a network computes in a precision (gpu/precision.h).
 *
 * Not collective; thread safe.
 */
#ifndef PB_GPU_CUDA_PRECISION_H
#define PB_GPU_CUDA_PRECISION_H

#include "gpu/precision.h"

#include <stddef.h>

typedef enum pb_element { PB_ELEMENT_FLOAT, PB_ELEMENT_HALF, PB_ELEMENT_BFLOAT } pb_element;

pb_element pb_precision_element(pb_precision precision);
size_t pb_element_bytes(pb_element element);

/* Channels of the network's input in memory: 3 and zeros up to a whole number of 16 bytes, which cuDNN's kernels read at once. */
int pb_precision_input_channels(pb_precision precision);

#endif
