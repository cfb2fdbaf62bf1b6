/* resize.h: from decoded pixels to the network's input, bit for bit as Pillow and torchvision do it on 8-bit images.
 * Not collective, thread safe. */
#ifndef PB_IO_RESIZE_H
#define PB_IO_RESIZE_H

#include "base/size.h"
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

/* How an image becomes what the network sees: resized, then cut out of the middle. */
typedef struct pb_fit {
    pb_size resize; /* {n, 0}: the shorter side becomes n, the other int(n * long / short); {w, h}: both sides, whatever the
                     * shape; {0, 0}: it stays as it is */
    pb_size crop;   /* what is cut out */
    pb_filter filter;
} pb_fit;

/* Reads a resize: "256" the shorter side, "320x240" both, "0" as it is; sides up to PB_IMAGE_SIDE_MAX. Errors: PB_E_USAGE with
 * what is expected; *resize_out is then {0, 0}. */
PB_CHECKED pb_status pb_fit_parse_resize(const char *text, pb_size *resize_out);

/* torchvision's Resize(n or (h, w), filter), CenterCrop(crop): the first column of the cut round-half-even((width - crop.width) /
 * 2), its first row likewise; grey becomes RGB by copying. Only the cut is computed. out: [crop.height][crop.width][3]. Thread
 * safe. Not collective. Errors: PB_E_INPUT when the image, resized, is smaller than the cut (torchvision would pad it with
 * black), or so narrow that the resized one would exceed the limits of io/image.h; PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_image_to_input(const pb_image *image, const pb_fit *fit, uint8_t *out);

#endif
