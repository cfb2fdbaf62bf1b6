/* resize.h: from decoded pixels to the network's input, bit for bit as Pillow and torchvision do it on 8-bit images. */
#ifndef PB_IO_RESIZE_H
#define PB_IO_RESIZE_H

#include "base/status.h"
#include "io/image.h"

/* Bilinear (triangle) resampling with antialiasing, as Pillow's Image.resize(size, BILINEAR): the filter's support is
 * max(1, in / out) input pixels to each side; coefficients in double, normalised, rounded to 22 fractional bits; one pass along
 * rows, one along columns, each rounded to 8 bits; a pass whose size does not change is skipped.
 * pixels: [height][width][channels], 1 or 3 channels; out: [out_height][out_width][channels], no overlap; all sides from 1 to
 * PB_IMAGE_SIDE_MAX. Thread safe. Not collective.
 * Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_resize_bilinear(const uint8_t *pixels, int width, int height, int channels, uint8_t *out, int out_width,
                                        int out_height);

/* torchvision's Resize(side), CenterCrop(crop): the shorter side becomes `side`, the other int(side * long / short); the middle
 * crop x crop, its first row and column round-half-even((length - crop) / 2); grey becomes RGB by copying. crop <= side.
 * out: [crop][crop][3]. Only the crop is computed. Thread safe. Not collective. Errors: PB_E_INPUT when the image is so narrow
 * that the resized one would exceed the limits of io/image.h; PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_image_to_input(const pb_image *image, int side, int crop, uint8_t *out);

#endif
