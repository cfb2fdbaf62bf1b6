/* size.h: width and height: of images in pixels, of grids in places. */
#ifndef PB_BASE_SIZE_H
#define PB_BASE_SIZE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Width first, everywhere. Pixels of an image, or places of a grid. */
typedef struct pb_size {
    int width, height;
} pb_size;

/* Its pixels or places; sides must not be negative. */
static inline size_t pb_size_area(pb_size size) { return (size_t)size.width * (size_t)size.height; }

static inline bool pb_size_equal(pb_size a, pb_size b) { return a.width == b.width && a.height == b.height; }

/* What a stride leaves of a size: ceil(width / stride) x ceil(height / stride). */
static inline pb_size pb_size_over(pb_size size, int stride) {
    return (pb_size){(size.width + stride - 1) / stride, (size.height + stride - 1) / stride};
}

/* Reads "320x240", width first, or "224" for a square; digits only, at most six a number, both numbers from `least` to `most`, 0
 * <= least. Not collective. Errors: PB_E_USAGE with what was found and what is expected, without the name of the option;
 * *size_out is then 0 x 0. */
PB_CHECKED pb_status pb_size_parse(const char *text, int least, int most, pb_size *size_out);

/* Bytes of any size as text, with the closing 0. */
enum { PB_SIZE_TEXT = 24 };

/* The other way: "320x240", and "224" for a square. */
void pb_size_format(pb_size size, char text[PB_SIZE_TEXT]);

#endif
