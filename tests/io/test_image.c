#include "io/image.h"

#include "oracle.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each test has its own folder: Criterion runs them in processes of their own, side by side. */
static char folder[ORACLE_PATH];

static void setup(void) {
    oracle_folder(folder);
    char words[ORACLE_PATH + 16];
    snprintf(words, sizeof words, "make '%s'", folder);
    free(oracle_python("tests/io/images.py", words, NULL));
}

static void teardown(void) { oracle_remove(folder); }

static uint8_t *read_made(const char *name, size_t *size) { return oracle_read(oracle_join(folder, name), size); }

/* Decodes bytes that must be refused with a message that contains `part`. The bytes lie in a block of their own size, so that
 * the address sanitizer sees a read beyond the end. */
static void expect_refused(const char *what, const void *bytes, size_t size, const char *part) {
    void *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    pb_image image = {.width = 7};
    pb_status status = pb_image_decode(exact, size, &image);
    cr_assert_eq(status.code, PB_E_INPUT, "%s of %zu bytes: %s %s", what, size, pb_code_name(status.code), status.message);
    cr_assert_not_null(strstr(status.message, part), "%s of %zu bytes: \"%s\" lacks \"%s\"", what, size, status.message, part);
    cr_assert_null(strchr(status.message, '\n'));
    cr_assert(image.pixels == NULL && image.width == 0 && image.height == 0 && image.channels == 0);
    free(exact);
}

static void expect_file_refused(const char *name, const char *part) {
    size_t size;
    uint8_t *bytes = read_made(name, &size);
    expect_refused(name, bytes, size, part);
    free(bytes);
}

/* --- good files ------------------------------------------------------------------------------------------------- */

static void check_decoded(const char *name, int side, const char *expected) {
    size_t size;
    uint8_t *bytes = oracle_read(name, &size);
    pb_image image;
    pb_status status = side ? pb_image_decode_scaled(bytes, size, side, &image) : pb_image_decode(bytes, size, &image);
    cr_assert_eq(status.code, PB_OK, "%s: %s", name, status.message);
    char line[64];
    uint32_t crc = oracle_crc32(image.pixels, (size_t)image.width * (size_t)image.height * (size_t)image.channels);
    snprintf(line, sizeof line, "%d %d %d %08x", image.width, image.height, image.channels, crc);
    cr_assert_str_eq(line, expected, "%s: here %s, in Pillow %s", name, line, expected);
    cr_assert_eq(image.format, strstr(name, ".jpg") ? PB_IMAGE_JPEG : PB_IMAGE_PNG, "%s", name);
    pb_image_free(&image);
    cr_assert_null(image.pixels);
    pb_image_free(&image); /* of an empty image: nothing happens */
    free(bytes);
}

/* Every file in the folder "made", whole, or at a shorter side of at least `side`. */
static int check_folder(const char *made, int side) {
    char good[ORACLE_PATH + 16], words[ORACLE_PATH + 64];
    snprintf(good, sizeof good, "%s/%s", folder, made);
    snprintf(words, sizeof words, "--draft %d %s/*", side, good);
    char *answers = oracle_python("tests/golden/pillow_decode.py", words, NULL), *rest = answers;
    struct dirent **entries;
    int count = scandir(good, &entries, NULL, NULL), checked = 0;
    cr_assert_gt(count, 0);
    qsort(entries, (size_t)count, sizeof *entries, (int (*)(const void *, const void *))alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char path[sizeof good + sizeof entries[i]->d_name];
            snprintf(path, sizeof path, "%s/%s", good, entries[i]->d_name);
            char *line = strsep(&rest, "\n");
            cr_assert_not_null(rest, "no answer for %s", path);
            check_decoded(path, side, line);
            checked++;
        }
        free(entries[i]);
    }
    free(entries);
    free(answers);
    return checked;
}

Test(image, same_pixels_as_pillow, .init = setup, .fini = teardown) { cr_assert_gt(check_folder("good", 0), 300); }

/* Every reduction and the sides at which the next one begins. */
Test(image, scaled_as_after_pillows_draft, .init = setup, .fini = teardown) {
    static const int SIDES[] = {1, 16, 17, 60, 61, 120, 121, 165, 166, 240, 241, 1000};
    for (size_t i = 0; i < sizeof SIDES / sizeof *SIDES; i++)
        cr_assert_gt(check_folder("large", SIDES[i]), 20);
    cr_assert_gt(check_folder("good", 20), 300);
}

Test(image, says_how_it_was_turned, .init = setup, .fini = teardown) {
    for (int turn = 0; turn < 10; turn++) {
        char name[64];
        snprintf(name, sizeof name, "good/turned%d-rgb.png", turn);
        size_t size;
        uint8_t *bytes = read_made(name, &size);
        pb_image image;
        pb_status status = pb_image_decode(bytes, size, &image);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        cr_assert_eq(image.orientation, turn >= 1 && turn <= 8 ? turn : 1, "%s: %d", name, image.orientation);
        cr_assert_eq(image.width, turn >= 5 && turn <= 8 ? 5 : 7, "%s: %d wide", name, image.width);
        pb_image_free(&image);
        free(bytes);
    }
}

/* --- bad files -------------------------------------------------------------------------------------------------- */

Test(image, refuses_what_is_no_image) {
    expect_refused("nothing", "", 0, "empty file");
    expect_refused("text", "hello\n", 6, "not a JPEG or PNG file");
    expect_refused("a byte", "\xff", 1, "not a JPEG or PNG file");
    expect_refused("PNG spoilt by a text-mode transfer", "\x89PNG\n\x1a\n\0\0\0\rIHDR", 16, "PNG");
}

Test(image, names_other_formats, .init = setup, .fini = teardown) {
    expect_file_refused("bad/a.gif", "GIF");
    expect_file_refused("bad/a.bmp", "BMP");
    expect_file_refused("bad/a.tif", "TIFF");
    expect_file_refused("bad/a.webp", "WebP");
    expect_file_refused("bad/a.jp2", "JPEG 2000");
    expect_file_refused("bad/two.jpg", "a JPEG of 2 components is not supported");
    expect_file_refused("bad/five.jpg", "a JPEG of 5 components is not supported");
}

Test(image, refuses_impossible_headers, .init = setup, .fini = teardown) {
    expect_file_refused("bad/huge.png", "60000 x 60000 pixels is refused");
    expect_file_refused("bad/bomb.png", "cannot hold 16000 x 16000 pixels");
    expect_file_refused("bad/bomb-deep.png", "cannot hold 16000 x 100 pixels");
    expect_file_refused("bad/endless-exif.png", "truncated PNG");
    expect_file_refused("bad/wide.png", "2147483647 x 2 pixels is refused");
    expect_file_refused("bad/flat.png", "PNG");
    expect_file_refused("bad/short-data.png", "Not enough image data");
    expect_file_refused("bad/colourless.png", "colour 11 of a palette of 11");
    size_t size;
    uint8_t *bytes = read_made("attack/baseline.jpg", &size);
    uint8_t *frame = memmem(bytes, size, "\xff\xc0\0\x11\x08", 5); /* then height and width, two bytes each */
    cr_assert_not_null(frame);
    memset(frame + 5, 0xfd, 4);
    expect_refused("JPEG", bytes, size, "65021 x 65021 pixels is refused");
    memcpy(frame + 5, "\xff\xdc\xff\xdc", 4);
    expect_refused("JPEG", bytes, size, "65500 x 65500 pixels is refused");
    memcpy(frame + 5, "\x3e\x80\x3e\x80", 4);
    expect_refused("JPEG", bytes, size, "cannot hold 16000 x 16000 pixels");
    frame[1] = 0xca; /* progressive, with arithmetic coding: half a gigabyte of coefficients */
    expect_refused("JPEG", bytes, size, "cannot hold 16000 x 16000 pixels");
    free(bytes);
}

static void cut_everywhere(const char *name, const char *word, size_t least) {
    size_t size;
    uint8_t *bytes = read_made(name, &size);
    for (size_t cut = least; cut < size; cut++)
        expect_refused(name, bytes, cut, word);
    pb_image image;
    pb_status status = pb_image_decode(bytes, size, &image);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    pb_image_free(&image);
    free(bytes);
}

Test(image, truncated_files_are_errors, .init = setup, .fini = teardown) {
    cut_everywhere("attack/baseline.jpg", "truncated JPEG", 2);
    cut_everywhere("attack/progressive.jpg", "truncated JPEG", 2);
    cut_everywhere("attack/plain.png", "PNG", 4);
    cut_everywhere("attack/plain.png", "truncated PNG", 8);
    cut_everywhere("attack/palette.png", "truncated PNG", 8);
}

Test(image, every_flipped_byte_of_a_png_is_an_error, .init = setup, .fini = teardown) {
    static const char *const NAMES[] = {"attack/plain.png", "attack/palette.png"};
    for (int n = 0; n < 2; n++) {
        size_t size;
        uint8_t *bytes = read_made(NAMES[n], &size);
        for (size_t i = 0; i < size * 8; i++) {
            bytes[i / 8] ^= (uint8_t)(1 << i % 8);
            expect_refused(NAMES[n], bytes, size, i < 32 ? "not a JPEG or PNG file" : "PNG");
            bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        free(bytes);
    }
}

/* A JPEG has no checksums, so not every flip can be seen; none may crash, and a failure leaves nothing behind. */
Test(image, flipped_bytes_of_a_jpeg_do_no_harm, .init = setup, .fini = teardown) {
    static const char *const NAMES[] = {"attack/baseline.jpg", "attack/progressive.jpg"};
    int refused = 0;
    for (int n = 0; n < 2; n++) {
        size_t size;
        uint8_t *bytes = read_made(NAMES[n], &size);
        for (size_t i = 0; i < size; i++) {
            bytes[i] ^= 0xff;
            pb_image image;
            pb_status status = pb_image_decode(bytes, size, &image);
            cr_assert(status.code == PB_OK ? image.pixels != NULL : status.code == PB_E_INPUT && image.pixels == NULL);
            refused += pb_failed(&status);
            pb_image_free(&image);
            bytes[i] ^= 0xff;
        }
        free(bytes);
    }
    cr_assert_gt(refused, 100);
}

/* Damage that libjpeg merely warns of. */
Test(image, corrupt_jpeg_data_is_an_error, .init = setup, .fini = teardown) {
    size_t size;
    uint8_t *bytes = read_made("attack/baseline.jpg", &size);
    enum { EXTRA = 40 }; /* libjpeg does not miss the up to 8 bytes in its bit buffer */
    uint8_t *longer = malloc(size + EXTRA);
    memcpy(longer, bytes, size);
    memset(longer + size - 2, 0x55, EXTRA);
    memcpy(longer + size + EXTRA - 2, "\xff\xd9", 2);
    expect_refused("more data than pixels", longer, size + EXTRA, "extraneous bytes");
    memcpy(longer, bytes, size);
    memcpy(longer + size, "tail", 4); /* behind the end marker: not part of the image */
    pb_image image;
    pb_status status = pb_image_decode(longer, size + 4, &image);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    pb_image_free(&image);
    memcpy(bytes + size - 60, "\xff\xd9", 2);
    expect_refused("end marker within the data", bytes, size, "premature end of data");
    memcpy(bytes + size - 60, "\xff\xd3", 2);
    expect_refused("restart marker within the data", bytes, size, "JPEG");
    free(longer);
    free(bytes);
}

Test(image, limits_the_scans_of_a_jpeg, .init = setup, .fini = teardown) {
    size_t size;
    uint8_t *bytes = read_made("attack/scans3.jpg", &size);
    pb_image image;
    pb_status status = pb_image_decode(bytes, size, &image);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    pb_image_free(&image);
    free(bytes);
    expect_file_refused("attack/scans5000.jpg", "more than 500 scans");
}

/* --- brightness ------------------------------------------------------------------------------------------------- */

static bool near(double value, double expected) { return fabs(value - expected) <= 1e-12 * (1 + fabs(expected)); }

static void expect_stats(const pb_image *image, const double expected[PB_BRIGHTNESS_STATS], const char *what) {
    double stats[PB_BRIGHTNESS_STATS];
    pb_image_brightness(image, stats);
    for (int i = 0; i < PB_BRIGHTNESS_STATS; i++)
        cr_assert(near(stats[i], expected[i]), "%s: number %d is %.17g, expected %.17g", what, i, stats[i], expected[i]);
}

Test(image, brightness_by_formula) {
    uint8_t ramp[2 * 100];
    for (int i = 0; i < 200; i++)
        ramp[i] = (uint8_t)(100 + i % 100); /* two rows of 100 .. 199 */
    pb_image image = {.width = 100, .height = 2, .channels = 1, .pixels = ramp};
    expect_stats(&image, (double[]){149.5, sqrt((100.0 * 100 - 1) / 12), 1, 100}, "ramp");
    memset(ramp, 77, sizeof ramp);
    expect_stats(&image, (double[]){77, 0, 0, 77}, "constant");
    ramp[5] = 3; /* 1 of 200 pixels is not yet 1 % */
    expect_stats(&image, (double[]){76.63, 74 * sqrt(0.005 * 0.995), 2 * 74 / 198.0, 77}, "one dark pixel");
    ramp[9] = 4;
    double stats[PB_BRIGHTNESS_STATS];
    pb_image_brightness(&image, stats);
    cr_assert(near(stats[3], 4));
    pb_image column = {.width = 1, .height = 3, .channels = 1, .pixels = (uint8_t[]){0, 255, 0}};
    expect_stats(&column, (double[]){85, 255 * sqrt(2) / 3, 0, 0}, "column");
    pb_image colours = {.width = 3, .height = 1, .channels = 3, .pixels = (uint8_t[]){255, 0, 0, 0, 255, 0, 0, 0, 255}};
    /* lumas 76, 150, 29 */
    expect_stats(&colours, (double[]){85, sqrt((9. * 9 + 65 * 65 + 56 * 56) / 3), (74 + 121) / 2.0, 29}, "RGB");
}

Test(image, brightness_as_pillow_and_numpy, .init = setup, .fini = teardown) {
    static const char *const NAMES[] = {"fine.jpg", "coarse.jpg", "grey-131x90.jpg", "rgb-37x53.png", "kind6-own-9x2.png"};
    enum { COUNT = sizeof NAMES / sizeof *NAMES };
    char words[COUNT * (ORACLE_PATH + 32)] = "brightness";
    for (int i = 0; i < COUNT; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), " %s/good/%s", folder, NAMES[i]);
    char *answers = oracle_python("tests/io/images.py", words, NULL), *rest = answers;
    for (int i = 0; i < COUNT; i++) {
        char path[ORACLE_PATH + 64];
        snprintf(path, sizeof path, "%s/good/%s", folder, NAMES[i]);
        size_t size;
        uint8_t *bytes = oracle_read(path, &size);
        pb_image image;
        pb_status status = pb_image_decode(bytes, size, &image);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        double expected[PB_BRIGHTNESS_STATS];
        for (int k = 0; k < PB_BRIGHTNESS_STATS; k++)
            expected[k] = strtod(rest, &rest);
        expect_stats(&image, expected, NAMES[i]);
        pb_image_free(&image);
        free(bytes);
    }
    free(answers);
}
