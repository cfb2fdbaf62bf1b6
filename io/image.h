/* image.h: encoded bytes to pixels.
 *
 * JPEG (libjpeg-turbo: baseline and progressive, grey and YCbCr; the accurate integer DCT, the same pixels as Pillow) and PNG
 * (libpng: 8 bits; grey, RGB, palette; alpha is dropped as Pillow's convert("RGB") does). What this build does not take (16 bits,
 * CMYK, other formats) is refused with its name. The format is told by the first bytes, never by the file's name. Orientation
 * tags, gamma and colour profiles are not applied. A file that ends early or is damaged is an error, not a grey half of an image.
 * Not collective, thread safe.
 */
#ifndef PB_IO_IMAGE_H
#define PB_IO_IMAGE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Dimensions above these are refused before memory is allocated. */
enum { PB_IMAGE_SIDE_MAX = 65535 };
#define PB_IMAGE_PIXELS_MAX ((size_t)1 << 28)

typedef enum pb_image_format { PB_IMAGE_JPEG = 1, PB_IMAGE_PNG = 2 } pb_image_format;

/* Decoded pixels, [height][width][channels] bytes, rows without padding. Owned by the caller, released by pb_image_free. */
typedef struct pb_image {
    int width, height;
    int channels; /* 1 grey, 3 RGB */
    pb_image_format format;
    uint8_t *pixels;
} pb_image;

/* Decodes. Errors: PB_E_INPUT with what is wrong, without the name of the file (the caller has it): "not a JPEG or PNG file",
 * "truncated JPEG (...)", "empty file"; PB_E_SYSTEM when memory is out. *image is empty on error. */
PB_CHECKED pb_status pb_image_decode(const void *bytes, size_t size, pb_image *image_out);

/* Frees the pixels and empties the image. */
void pb_image_free(pb_image *image);

enum { PB_BRIGHTNESS_STATS = 4 };

/* What a glance at the grey values alone tells: mean, standard deviation (of all pixels, divided by their number), mean absolute
 * difference of horizontal neighbours (0 when the image is one pixel wide), 1st percentile (the smallest value v such that at
 * least 1 % of the pixels are <= v), of the luma (19595 R + 38470 G + 7471 B + 32768) >> 16, which is Pillow's "L". Integers are
 * summed exactly, so the result does not depend on any order. The floor that a detector must beat. */
void pb_image_brightness(const pb_image *image, double stats[PB_BRIGHTNESS_STATS]);

#endif
