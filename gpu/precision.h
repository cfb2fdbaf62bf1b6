/* precision.h: how exactly a network computes. A property of the features, not of the device: it is chosen by --precision, and a
 * bank tells whoever makes features like its own.
 *
 * Not collective; thread safe.
 */
#ifndef PB_GPU_PRECISION_H
#define PB_GPU_PRECISION_H

#include <stdbool.h>

/* Sums are float in all of them; taps are float too, whatever a network computed them in.
 *   fp32  float memory, float products
 *   tf32  float memory, products of values cut to 10 bits of mantissa
 *   fp16  half memory (10 bits of mantissa, up to 65504), exact products
 *   bf16  bfloat memory (7 bits of mantissa, float's range), exact products
 * Of the networks known here none comes near 65504. Where one did, sums of infinities would be NaN, and a ReLU after them makes 0
 * of a NaN: such features can be finite and wrong. A NaN or an infinity that does reach the features is an error of the job. */
typedef enum pb_precision { PB_PRECISION_FP32, PB_PRECISION_TF32, PB_PRECISION_FP16, PB_PRECISION_BF16 } pb_precision;

/* "fp32", "tf32", "fp16", "bf16"; static. */
const char *pb_precision_name(pb_precision precision);

/* The other way. Returns false for any other text; *precision_out is then left alone. */
bool pb_precision_parse(const char *name, pb_precision *precision_out);

#endif
