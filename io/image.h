/* image.h: encoded bytes to pixels.
 *
 * JPEG (libjpeg-turbo: baseline and progressive; grey, YCbCr, RGB, CMYK, YCCK; the accurate integer DCT) and PNG (libpng: 1 to 16
 * bits; grey, RGB, palette, with or without alpha). The pixels are Pillow's:
 *   CMYK, YCCK  as Image.open and convert("RGB"): inks stored inverted, Adobe's way, with or without Adobe's marker
 *   16 bits     the upper byte of each value (v >> 8): what Pillow does to RGB, grey with alpha and RGBA; Pillow's convert() cuts
 *               grey of 16 bits at 255, which nobody wants, so there it is numpy's v >> 8
 *   alpha       dropped, not blended, as by convert("RGB"); grey with alpha is grey
 *   orientation as ImageOps.exif_transpose: the EXIF tag in a JPEG's first APP1 segment of EXIF or in a PNG's eXIf chunk; not
 *               one in XMP, nor in the text that ImageMagick once wrote into PNG. EXIF data that make no sense count as none
 * Gamma and colour profiles are not applied. Other formats are refused with their name. The format is told by the first bytes,
 * never by the file's name. A file that ends early or is damaged is an error, not a grey half of an image.
 * Not collective, thread safe.
 */
#ifndef PB_IO_IMAGE_H
#define PB_IO_IMAGE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Dimensions above these are refused before memory is allocated, and so are dimensions that the file is too short for, however
 * well it is compressed (a bit for a block of 8 x 8 in JPEG, unless it is of the rare arithmetic kind; a byte for 1032 in PNG):
 * what a decoder allocates is bounded by the size of the file as well. */
enum { PB_IMAGE_SIDE_MAX = 65535 };
#define PB_IMAGE_PIXELS_MAX ((size_t)1 << 28)

/* By the first bytes. The numbers are those of a shard's column. */
typedef enum pb_image_format { PB_IMAGE_JPEG = 1, PB_IMAGE_PNG = 2 } pb_image_format;

/* Decoded pixels, [height][width][channels] bytes, rows without padding. Owned by the caller, released by pb_image_free. */
typedef struct pb_image {
    int width, height;
    int channels; /* 1 grey, 3 RGB */
    pb_image_format format;
    int orientation; /* EXIF's 1 to 8 as the file has it, already applied; from 5 on width and height are exchanged */
    uint8_t *pixels;
} pb_image;

/* Decodes. Errors: PB_E_INPUT with what is wrong, without the name of the file (the caller has it): "not a JPEG or PNG file",
 * "truncated JPEG (...)", "empty file"; PB_E_SYSTEM when memory is out. *image is empty on error. */
PB_CHECKED pb_status pb_image_decode(const void *bytes, size_t size, pb_image *image_out);

/* As pb_image_decode, but a JPEG whose shorter side is at least twice, four or eight times `side` (> 0) is decoded to 1/2, 1/4 or
 * 1/8 of its size, rounded up, by a smaller inverse DCT, as after Pillow's draft(). THIS CHANGES PIXELS: what is then resized
 * to `side` is close to the resized whole image, not equal. Of a large photograph it saves about half of the decoding (12
 * megapixels: 50 ms, then 27 ms; the entropy coding remains) and nearly all of the resizing. PNG: no difference. */
PB_CHECKED pb_status pb_image_decode_scaled(const void *bytes, size_t size, int side, pb_image *image_out);

/* Frees the pixels and zeroes the image; a zeroed one is fine. */
void pb_image_free(pb_image *image);

/* Numbers that pb_image_brightness gives, in the order below. */
enum { PB_BRIGHTNESS_STATS = 4 };

/* What a glance at the grey values alone tells: mean, standard deviation (of all pixels, divided by their number), mean absolute
 * difference of horizontal neighbours (0 when the image is one pixel wide), 1st percentile (the smallest value v such that at
 * least 1 % of the pixels are <= v), of the luma (19595 R + 38470 G + 7471 B + 32768) >> 16, which is Pillow's "L". Integers are
 * summed exactly, so the result does not depend on any order. The floor that a detector must beat. */
void pb_image_brightness(const pb_image *image, double stats[PB_BRIGHTNESS_STATS]);

#endif
