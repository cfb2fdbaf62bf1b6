/* image_orientation.c: the orientation tag of EXIF data, and turning pixels by it. EXIF is a TIFF structure: a header with the
 * byte order and the place of a directory, whose entries have 12 bytes: tag, type, count and value. Only this one tag of the
 * first directory is looked for. The data are of anybody, so nothing is read that is not inside (fuzzed: tests/fuzz). */
#include "io/image_orientation.h"

#include "base/memory.h"

#include <string.h>

/* --- EXIF ------------------------------------------------------------------------------------------------------- */

/* Of TIFF 6.0; the tag is EXIF's. */
enum { HEADER_BYTES = 8, ENTRY_BYTES = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4 };

/* The bytes of a TIFF structure, in either order. */
typedef struct tiff_view {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
} tiff_view;

/* The unsigned number of `width` bytes at `at`; the caller has made sure that they are there. */
static uint32_t number(const tiff_view *tiff, size_t at, int width) {
    uint32_t value = 0;
    for (int i = 0; i < width; i++)
        value = value << 8 | tiff->bytes[at + (size_t)(tiff->big_endian ? i : width - 1 - i)];
    return value;
}

/* 0: the entry at `at` is none of an orientation. */
static int orientation_of_entry(const tiff_view *tiff, size_t at) {
    uint32_t type = number(tiff, at + 2, 2), count = number(tiff, at + 4, 4);
    if (number(tiff, at, 2) != TAG_ORIENTATION || (type != TYPE_SHORT && type != TYPE_LONG) || count != 1)
        return 0;
    uint32_t value = number(tiff, at + 8, type == TYPE_SHORT ? 2 : 4);
    return value >= 1 && value <= 8 ? (int)value : 1;
}

/* at stays within the data: the loop goes on only while a whole entry is left. */
int pb_exif_orientation(const uint8_t *bytes, size_t size) {
    tiff_view tiff = {.bytes = bytes, .size = size};
    if (size < HEADER_BYTES)
        return 1;
    tiff.big_endian = memcmp(bytes, "MM\0*", 4) == 0;
    if (!tiff.big_endian && memcmp(bytes, "II*\0", 4) != 0)
        return 1;
    size_t directory = number(&tiff, 4, 4);
    if (directory > size || size - directory < 2)
        return 1;
    size_t entries = number(&tiff, directory, 2), at = directory + 2;
    int orientation = 1;
    for (size_t i = 0; i < entries && size - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        int here = orientation_of_entry(&tiff, at);
        orientation = here ? here : orientation;
    }
    return orientation;
}

/* --- pixels ----------------------------------------------------------------------------------------------------- */

/* How to walk the stored pixels so that they come in the order of the upright image; steps in bytes. */
typedef struct walk {
    int width, height; /* upright */
    ptrdiff_t first, right, down;
} walk;

/* Each orientation is a mirroring of the stored columns, one of the stored rows, and from 5 on an exchange of the two. */
static walk walk_of(const pb_image *image, int orientation) {
    bool columns_back = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool rows_back = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    ptrdiff_t pixel = image->channels, row = pixel * image->width;
    ptrdiff_t column_step = columns_back ? -pixel : pixel, row_step = rows_back ? -row : row;
    ptrdiff_t first = (columns_back ? row - pixel : 0) + (rows_back ? row * (image->height - 1) : 0);
    if (orientation >= 5)
        return (walk){image->height, image->width, first, row_step, column_step};
    return (walk){image->width, image->height, first, column_step, row_step};
}

/* A new array, in the order of the upright image; the old one is read by steps of walk_of. */
pb_status pb_image_orient(pb_image *image, int orientation) {
    PB_ASSERT(orientation >= 1 && orientation <= 8);
    if (orientation == 1)
        return pb_ok();
    walk way = walk_of(image, orientation);
    size_t channels = (size_t)image->channels;
    uint8_t *upright, *to;
    PB_TRY(pb_allocate(&upright, (size_t)way.width * (size_t)way.height, channels, "the pixels of an image"));
    to = upright;
    for (int y = 0; y < way.height; y++)
        for (int x = 0; x < way.width; x++, to += channels)
            memcpy(to, image->pixels + way.first + y * way.down + x * way.right, channels);
    pb_release(&image->pixels);
    image->pixels = upright;
    image->width = way.width;
    image->height = way.height;
    return pb_ok();
}
