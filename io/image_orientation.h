/* image_orientation.h, private to io/: which way up an image is. Not collective, thread safe. */
#ifndef PB_IO_IMAGE_ORIENTATION_H
#define PB_IO_IMAGE_ORIENTATION_H

#include "base/status.h"
#include "io/image.h"

#include <stddef.h>
#include <stdint.h>

/* The orientation in EXIF data (a TIFF header and its first directory, without the "Exif" mark of a JPEG): 1 to 8; 1 when there
 * is none or the data make no sense. Of several tags the last counts, as in Pillow. Nothing outside of tiff[0 .. size - 1] is
 * read. */
int pb_exif_orientation(const uint8_t *tiff, size_t size);

/* Turns and mirrors the image from `orientation` (1 to 8, asserted) to upright, as Pillow's ImageOps.exif_transpose; width and
 * height change places from 5 on. image->orientation stays what it was. Needs a second array of pixels for the time. Errors:
 * PB_E_SYSTEM when memory is out; the image is then unchanged. */
PB_CHECKED pb_status pb_image_orient(pb_image *image, int orientation);

#endif
