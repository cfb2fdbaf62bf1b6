/* precision.h: private to gpu/cuda/: how exactly networks compute, and what then stands in memory.
 *
 * Not collective; thread safe.
 */
#ifndef PB_GPU_CUDA_PRECISION_H
#define PB_GPU_CUDA_PRECISION_H

#include <stdbool.h>
#include <stddef.h>

/* How exactly a network computes. Sums are float in all of them.
 *   fp32  float memory, float products
 *   tf32  float memory, products of values cut to 10 bits of mantissa
 *   fp16  half memory (10 bits of mantissa, up to 65504), exact products
 *   bf16  bfloat memory (7 bits of mantissa, float's range), exact products */
typedef enum pb_precision { PB_PRECISION_FP32, PB_PRECISION_TF32, PB_PRECISION_FP16, PB_PRECISION_BF16 } pb_precision;

/* "fp32", "tf32", "fp16", "bf16"; static. */
const char *pb_precision_name(pb_precision precision);

/* The other way. Returns false for any other text; *precision_out is then left alone. */
bool pb_precision_parse(const char *name, pb_precision *precision_out);

/* What stands in memory. */
typedef enum pb_element { PB_ELEMENT_FLOAT, PB_ELEMENT_HALF, PB_ELEMENT_BFLOAT } pb_element;

pb_element pb_precision_element(pb_precision precision);
size_t pb_element_bytes(pb_element element);

/* Channels of the network's input in memory: 3 and zeros up to a whole number of 16 bytes, which cuDNN's kernels read at once. */
int pb_precision_input_channels(pb_precision precision);

#endif
