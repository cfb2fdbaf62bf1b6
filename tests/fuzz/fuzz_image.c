/* libFuzzer on the way of an image: decode whole and scaled, grey statistics, resize in every way with every filter. */
#include "fuzz.h"
#include "io/image.h"
#include "io/resize.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum { WIDTH = 32, HEIGHT = 27 };

static void use(pb_image *image, pb_status status, const uint8_t *bytes) {
    if (pb_failed(&status)) {
        PB_ASSERT(status.code == PB_E_INPUT && !image->pixels && image->width == 0 && !strchr(status.message, '\n'));
        return;
    }
    PB_ASSERT(image->width >= 1 && image->height >= 1 && (image->channels == 1 || image->channels == 3));
    PB_ASSERT((size_t)image->width * (size_t)image->height <= PB_IMAGE_PIXELS_MAX);
    double stats[PB_BRIGHTNESS_STATS];
    pb_image_brightness(image, stats);
    static const pb_size RESIZES[] = {{40, 0}, {33, 41}, {0, 0}};
    const pb_fit fit = {.resize = RESIZES[bytes[0] / 3 % 3], .crop = {WIDTH, HEIGHT}, .filter = (pb_filter)(bytes[0] % 3)};
    uint8_t out[WIDTH * HEIGHT * 3];
    pb_status resized = pb_image_to_input(image, &fit, out);
    PB_ASSERT(!pb_failed(&resized) || resized.code == PB_E_INPUT);
    pb_image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    pb_image image;
    pb_status status = pb_image_decode(bytes, size, &image);
    use(&image, status, bytes);
    if (size > 0) {
        status = pb_image_decode_scaled(bytes, size, 1 + bytes[size / 2], &image);
        use(&image, status, bytes);
    }
    return 0;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Makes the checksums of a PNG's chunks right again: nearly every change would otherwise end there. */
static void mend_png(uint8_t *bytes, size_t size) {
    enum { SIGNATURE = 8, HEAD = 8, TAIL = 4 };
    for (size_t at = SIGNATURE; size >= HEAD + TAIL && at <= size - HEAD - TAIL;) {
        size_t length = big_endian(bytes + at);
        if (length > size - at - HEAD - TAIL)
            return;
        uLong crc = crc32(0, bytes + at + 4, (uInt)length + 4);
        for (int i = 0; i < TAIL; i++)
            bytes[at + HEAD + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += HEAD + length + TAIL;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed) {
    size = LLVMFuzzerMutate(bytes, size, most);
    if (seed % 8 != 0 && size > 4 && memcmp(bytes, "\x89PNG", 4) == 0)
        mend_png(bytes, size);
    return size;
}
