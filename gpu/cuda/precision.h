/* precision.h: private to gpu/cuda/: what stands in memory when a network computes in a precision (gpu/precision.h).
 *
 * Not collective; thread safe.
 */
#ifndef PB_GPU_CUDA_PRECISION_H
#define PB_GPU_CUDA_PRECISION_H

#include "gpu/precision.h"

#include <stddef.h>

/* The type of a value in memory: float, IEEE half, or bfloat (the upper half of a float). */
typedef enum pb_element { PB_ELEMENT_FLOAT, PB_ELEMENT_HALF, PB_ELEMENT_BFLOAT } pb_element;

/* tf32 has floats in memory: only products are cut. The second: bytes of a value. */
pb_element pb_precision_element(pb_precision precision);
size_t pb_element_bytes(pb_element element);

/* Channels of the network's input in memory: 3 and zeros up to a whole number of 16 bytes, which cuDNN's kernels read at once. */
int pb_precision_input_channels(pb_precision precision);

#endif
