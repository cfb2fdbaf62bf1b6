/* ref.h: the plain twin of every device operation: the specification, in host memory, one loop nest each, nothing clever.
 *
 * Same order of arguments as gpu/device.h, same layouts, same results: bit for bit where the operation is canonical (projection,
 * greedy step, nearest, patch features, smoothed maps), within a stated bound for convolutions, whose order of summation a
 * library chooses. Used by tests and by whoever writes a new device. All pointers are host memory of the caller; inputs are not
 * changed, outputs do not overlap them. Not collective, thread safe. No errors but where memory is asked for; shapes are
 * asserted. Covers have no twin of their own: theirs is pb_ref_greedy_step, pick by pick.
 */
#ifndef PB_GPU_REF_H
#define PB_GPU_REF_H

#include "gpu/device.h"

#include <stddef.h>
#include <stdint.h>

/* Twin of pb_device_run: taps as there. Direct convolution, accumulated in double, rounded to float once a layer.
 * Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_ref_run(const pb_network *network, const uint8_t *images, int n, float *const *taps);

/* One of its layers on one image. in, out: places of the layer's input and output; input: [places][inputs]; residual, output:
 * [places][outputs], residual NULL for none. The layer need not be in a network; its source and residual are not looked at.
 * Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_ref_layer(const pb_layer *layer, pb_size in, pb_size out, const float *input, const float *residual,
                                  float *output);

/* Twin of pb_device_patch_features. Arithmetic, all float:
 *   mean      s = +0; the patch * patch neighbours are added one by one, row by row, each from left to right, 0 for those
 *             outside; s * (1.0f / (patch * patch)). (From +0 on, adding a zero and leaving it out are the same bits.)
 *   place     output row or column i lies at p / q with the integers p = (2 i + 1) * in - out, q = 2 * out, p clamped to
 *             [0, q * (in - 1)]: low = p / q rounded down, high = min(low + 1, in - 1), fraction = (float)(p % q) / (float)q
 *   blend     fmaf(fraction, high - low, low) of the means, along columns first (in both rows), then of the two results along
 *             rows.
 * A tap of the grid's own size is not blended at all: its means are the features. */
void pb_ref_patch_features(int patch, int tap_count, const pb_layer_shape *shapes, const float *const *taps, int n,
                           float *features);

/* Twin of pb_device_patchcore_features. Arithmetic, all float:
 *   pooling   of values first to end - 1: s = +0; they are added one by one in their order; s * (1.0f / (end - first)). For a
 *             neighbourhood the order is channel by channel, then row by row, each from left to right, 0 for those outside.
 *   bilinear  places and blends are those of pb_ref_patch_features, of pooled values; a tap with the grid's own number of patches
 *             is not blended at all. */
void pb_ref_patchcore_features(const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes, const float *const *taps,
                               int n, float *features);

/* Twin of pb_device_unit_rows. Arithmetic, all float: s = +0; s = fmaf(x[k], x[k], s) in sequence over k; x[k] / sqrtf(s), both
 * rounded correctly; a row of s = 0 stays as it is, one of s = infinity becomes NaN (0 would look like a feature). */
void pb_ref_unit_rows(float *rows, size_t n, int dim);

/* Twin of pb_device_project. */
void pb_ref_project(const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out);

/* Twin of pb_device_smooth_maps. Arithmetic, all float:
 *   bilinear  places and blends of pb_ref_patch_features: along columns first, in both rows, then of the two results
 *   smooth    s = weights[0] * x[0]; for k = 1 .. reach in order: s = fmaf(weights[k], x[-k] + x[k], s), x[k] being the value k
 *             places away along the axis; down the columns first, then of the results along the rows */
void pb_ref_smooth_maps(const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size, float *pixels);

/* Canonical distance^2 (gpu/device.h) of two rows. */
float pb_ref_distance2(const float *x, const float *centre, int dim);

/* Twin of pb_device_greedy_step on row-major points; distance2: [n], in and out. Returns the packed maximum, 0 when n is 0. */
uint64_t pb_ref_greedy_step(const float *points, size_t n, int dim, const float *centre, float *distance2);

/* Twin of pb_device_nearest on row-major points [n][dim]. */
void pb_ref_nearest(const float *points, size_t n, int dim, uint32_t first_index, const float *queries, size_t count,
                    uint64_t *nearest);

#endif
