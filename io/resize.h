/* resize.h: from decoded pixels to the network's input, bit for bit as Pillow and torchvision do it on 8-bit images.
 * Not collective, thread safe. */
#ifndef PB_IO_RESIZE_H
#define PB_IO_RESIZE_H

#include "base/status.h"
#include "io/image.h"

/* How pixels are mixed: a triangle of radius 1, Keys' cubic with a = -1/2 of radius 2, a sinc windowed by a sinc of radius 3. */
typedef enum pb_filter { PB_FILTER_BILINEAR, PB_FILTER_BICUBIC, PB_FILTER_LANCZOS } pb_filter;

/* The filter that "bilinear", "bicubic" or "lanczos" stands for. Errors: PB_E_INPUT with the name that is none. */
PB_CHECKED pb_status pb_filter_parse(const char *name, pb_filter *filter_out);

/* Resampling with antialiasing, as Pillow's Image.resize(size, filter): the filter's support is its radius * max(1, in / out)
 * input pixels to each side; coefficients in double, normalised, rounded to 22 fractional bits; one pass along rows, one along
 * columns, each rounded and cut to 8 bits; a pass whose size does not change is skipped.
 * pixels: [height][width][channels], 1 or 3 channels; out: [out_height][out_width][channels], no overlap; all sides from 1 to
 * PB_IMAGE_SIDE_MAX. Thread safe. Not collective.
 * Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_image_resize(const uint8_t *pixels, int width, int height, int channels, uint8_t *out, int out_width,
                                     int out_height, pb_filter filter);

/* torchvision's Resize(side, filter), CenterCrop(crop): the shorter side becomes `side`, the other int(side * long / short); the
 * middle crop x crop, its first row and column round-half-even((length - crop) / 2); grey becomes RGB by copying. crop <= side.
 * out: [crop][crop][3]. Only the crop is computed. Thread safe. Not collective. Errors: PB_E_INPUT when the image is so narrow
 * that the resized one would exceed the limits of io/image.h; PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_image_to_input(const pb_image *image, int side, int crop, pb_filter filter, uint8_t *out);

#endif
