/* image_decoders.h, private to io/: what image.c asks of the decoder of one format.
 *
 * A decoder gets bytes that begin with its format's signature and an empty image. It fills the image or reports why not; what it
 * allocated before a failure is left in the image, and image.c frees it. Thread safe.
 */
#ifndef PB_IO_IMAGE_DECODERS_H
#define PB_IO_IMAGE_DECODERS_H

#include "base/status.h"
#include "io/image.h"

#include <stddef.h>
#include <stdint.h>

/* side: of pb_image_decode_scaled; 0: the whole size. The pixels are as stored, image->orientation is what to do about it. bytes:
 * borrowed, [size]. Errors: PB_E_INPUT with what is wrong, without a name; PB_E_SYSTEM. */
PB_CHECKED pb_status pb_jpeg_decode(const uint8_t *bytes, size_t size, int side, pb_image *image);
PB_CHECKED pb_status pb_png_decode(const uint8_t *bytes, size_t size, pb_image *image);

/* Checks the sides that a header claims against the limits of io/image.h: to be called before anything is allocated by them.
 * Errors: PB_E_INPUT with the sides. */
PB_CHECKED pb_status pb_image_check_sides(size_t width, size_t height);

/* Allocates the pixels for sides that were checked. Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_image_reserve(pb_image *image, size_t width, size_t height, int channels);

#endif
