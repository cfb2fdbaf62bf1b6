/* positions.h: position embeddings of a vision transformer for another number of patches than it was trained with.
 *
 * As DINOv2 does it (facebookresearch/dinov2, dinov2/models/vision_transformer.py, interpolate_pos_encoding, with the offset of
 * 0.1 and without antialiasing, as its published weights without registers are used): bicubic convolution with a = -0.75, and 0.1
 * added to the number of patches in the scale alone. Place i of n lies at (i + 0.5) * side / (n + 0.1) - 0.5 in the trained
 * square; what lies outside of it is its edge. Not collective, thread safe, no errors.
 */
#ifndef PB_GPU_POSITIONS_H
#define PB_GPU_POSITIONS_H

#include "base/size.h"

/* table: [side][side][channels], host memory. out: [size.height][size.width][channels], not overlapping. Computed in double and
 * rounded once. For size = side x side the table unchanged (which the formula, for its 0.1, would not give). */
void pb_positions_interpolate(const float *table, int side, int channels, pb_size size, float *out);

#endif
