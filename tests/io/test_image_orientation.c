#include "io/image_orientation.h"

#include "base/memory.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* --- EXIF ------------------------------------------------------------------------------------------------------- */

/* A little-endian directory at 8 with two entries; orientation 6 is the second. */
static const uint8_t PLAIN[] = {'I', 'I', '*', 0, 8, 0, 0, 0, 2, 0, /* two entries */
                                0x00, 1, 4, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0};
enum { SECOND = 8 + 2 + 12, SECOND_END = SECOND + 12 };

/* In a block of its own size, so that the address sanitizer sees a read beyond the end. */
static int orientation_in_block(const uint8_t *bytes, size_t size) {
    uint8_t *block = malloc(size ? size : 1);
    memcpy(block, bytes, size);
    int orientation = pb_exif_orientation(block, size);
    free(block);
    return orientation;
}

/* What PLAIN becomes with one byte changed. */
static int changed(size_t at, uint8_t value) {
    uint8_t bytes[sizeof PLAIN];
    memcpy(bytes, PLAIN, sizeof PLAIN);
    bytes[at] = value;
    return orientation_in_block(bytes, sizeof bytes);
}

Test(image_orientation, of_every_value) {
    for (int value = 0; value < 256; value++)
        cr_assert_eq(changed(SECOND + 8, (uint8_t)value), value >= 1 && value <= 8 ? value : 1, "%d", value);
    cr_assert_eq(changed(SECOND + 9, 1), 1, "262 is no orientation");
}

Test(image_orientation, both_byte_orders_and_widths) {
    static const uint8_t BIG[] = {'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 5, 0, 0};
    static const uint8_t BIG_LONG[] = {'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 4, 0, 0, 0, 1, 0, 0, 0, 7};
    cr_assert_eq(orientation_in_block(BIG, sizeof BIG), 5);
    cr_assert_eq(orientation_in_block(BIG_LONG, sizeof BIG_LONG), 7);
    cr_assert_eq(changed(SECOND + 2, 4), 6);
}

Test(image_orientation, the_last_tag_counts) {
    uint8_t bytes[sizeof PLAIN];
    memcpy(bytes, PLAIN, sizeof PLAIN);
    memcpy(bytes + SECOND - 12, PLAIN + SECOND, 12);
    bytes[SECOND - 12 + 8] = 3;
    cr_assert_eq(orientation_in_block(bytes, sizeof bytes), 6);
}

Test(image_orientation, cut_anywhere) {
    for (size_t size = 0; size <= sizeof PLAIN; size++)
        cr_assert_eq(orientation_in_block(PLAIN, size), size >= SECOND_END ? 6 : 1, "%zu bytes", size);
}

Test(image_orientation, what_makes_no_sense_is_no_orientation) {
    cr_assert_eq(changed(0, 'M'), 1, "mixed byte orders");
    cr_assert_eq(changed(2, '+'), 1, "another kind of TIFF");
    cr_assert_eq(changed(4, sizeof PLAIN - 1), 1, "half a number of entries");
    cr_assert_eq(changed(4, sizeof PLAIN), 1, "a directory at the end");
    cr_assert_eq(changed(7, 0xff), 1, "a directory beyond the end");
    cr_assert_eq(changed(9, 0xff), 6, "more entries than bytes: those that are there count");
    cr_assert_eq(changed(8, 1), 1, "fewer entries");
    cr_assert_eq(changed(SECOND + 2, 2), 1, "a text");
    cr_assert_eq(changed(SECOND + 4, 2), 1, "two values");
}

Test(image_orientation, no_damage_is_read_outside) {
    for (size_t at = 0; at < sizeof PLAIN; at++)
        for (int value = 0; value < 256; value++) {
            int orientation = changed(at, (uint8_t)value);
            cr_assert(orientation >= 1 && orientation <= 8);
        }
}

/* --- pixels: against what the tag means, spelled out ------------------------------------------------------------ */

enum { WIDTH = 4, HEIGHT = 3 };

/* Where pixel (x, y) of the upright image is stored. Orientation n: EXIF 2.3, "the 0th row is at ..., the 0th column at ...". */
static void stored_place(int orientation, int x, int y, int *column, int *row) {
    static const struct {
        bool exchanged, from_right, from_bottom;
    } MEANING[9] = {{0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 0}, {1, 0, 1}, {1, 1, 1}, {1, 1, 0}};
    *column = MEANING[orientation].exchanged ? y : x;
    *row = MEANING[orientation].exchanged ? x : y;
    if (MEANING[orientation].from_right)
        *column = WIDTH - 1 - *column;
    if (MEANING[orientation].from_bottom)
        *row = HEIGHT - 1 - *row;
}

static void check_orient(int orientation, int channels) {
    pb_image image = {.width = WIDTH, .height = HEIGHT, .channels = channels};
    pb_status status = pb_allocate(&image.pixels, WIDTH * HEIGHT, (size_t)channels, "test");
    cr_assert_eq(status.code, PB_OK);
    for (int i = 0; i < WIDTH * HEIGHT * channels; i++)
        image.pixels[i] = (uint8_t)i;
    status = pb_image_orient(&image, orientation);
    cr_assert_eq(status.code, PB_OK);
    cr_assert_eq(image.width, orientation >= 5 ? HEIGHT : WIDTH);
    cr_assert_eq(image.height, orientation >= 5 ? WIDTH : HEIGHT);
    for (int y = 0; y < image.height; y++)
        for (int x = 0; x < image.width; x++)
            for (int c = 0; c < channels; c++) {
                int column, row;
                stored_place(orientation, x, y, &column, &row);
                cr_assert_eq(image.pixels[(y * image.width + x) * channels + c], (row * WIDTH + column) * channels + c,
                             "orientation %d at %d, %d", orientation, x, y);
            }
    pb_image_free(&image);
}

Test(image_orientation, every_turn) {
    for (int orientation = 1; orientation <= 8; orientation++) {
        check_orient(orientation, 1);
        check_orient(orientation, 3);
    }
}
