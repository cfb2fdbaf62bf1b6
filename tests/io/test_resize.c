#include "io/resize.h"

#include "oracle.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct resize_case {
    int width, height, channels, out_width, out_height;
} resize_case;

/* Pairs that a plan over sides does not reach: one long side, one pixel, hardly any change, real sizes. */
static const resize_case EXTREMES[] = {
    {4096, 1, 1, 1, 1},   {1, 4096, 3, 1, 1},     {1, 1, 3, 500, 400}, {1, 1, 1, 1, 1},       {3000, 2, 3, 7, 900},
    {256, 256, 1, 255, 257}, {255, 257, 3, 256, 256}, {300, 300, 1, 224, 224}, {1024, 768, 3, 341, 256}, {9, 9, 3, 9, 9},
    {9, 700, 1, 9, 64},   {700, 9, 3, 64, 9},
};
enum { EXTREME_COUNT = sizeof EXTREMES / sizeof *EXTREMES };

static const int SIDES[] = {1, 2, 3, 5, 8, 17, 64, 101, 224, 300};
enum { SIDE_COUNT = sizeof SIDES / sizeof *SIDES, CASE_COUNT = 2 * SIDE_COUNT * SIDE_COUNT + EXTREME_COUNT };

/* Every width with every output width, grey and RGB; heights run through the same sides in other orders. */
static resize_case case_of(int number) {
    if (number < EXTREME_COUNT)
        return EXTREMES[number];
    number -= EXTREME_COUNT;
    int channels = number % 2 ? 3 : 1, i = number / 2 % SIDE_COUNT, j = number / 2 / SIDE_COUNT;
    return (resize_case){SIDES[i], SIDES[(4 * i + j) % SIDE_COUNT], channels, SIDES[j], SIDES[(5 * j + i + 2) % SIDE_COUNT]};
}

static const char *const NAMES[] = {"bilinear", "bicubic", "lanczos"};

static pb_filter filter_named(const char *name) {
    pb_filter filter;
    pb_status status = pb_filter_parse(name, &filter);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    return filter;
}

static void check_against_pillow(const char *name) {
    pb_filter filter = filter_named(name);
    char requests[CASE_COUNT * 64] = "", words[64];
    size_t length = 0;
    for (int n = 0; n < CASE_COUNT; n++) {
        resize_case c = case_of(n);
        length += (size_t)snprintf(requests + length, sizeof requests - length, "%d %d %d %d %d %d\n", c.width, c.height,
                                   c.channels, c.out_width, c.out_height, n);
    }
    snprintf(words, sizeof words, "--filter %s --serve", name);
    char *answers = oracle_python("tests/golden/pillow_resize.py", words, requests), *rest = answers;
    for (int n = 0; n < CASE_COUNT; n++) {
        resize_case c = case_of(n);
        uint8_t *in = oracle_formula(c.width, c.height, c.channels, (uint32_t)n);
        size_t size = (size_t)c.out_width * (size_t)c.out_height * (size_t)c.channels;
        uint8_t *out = malloc(size);
        pb_status status = pb_image_resize(in, c.width, c.height, c.channels, out, c.out_width, c.out_height, filter);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        uint32_t expected = (uint32_t)strtoul(rest, &rest, 16), crc = oracle_crc32(out, size);
        cr_assert_eq(crc, expected, "%s: %d x %d x %d to %d x %d: %08x, in Pillow %08x", name, c.width, c.height, c.channels,
                     c.out_width, c.out_height, crc, expected);
        free(in);
        free(out);
    }
    cr_assert_str_eq(rest, "\n");
    free(answers);
}

Test(resize, bilinear_bit_for_bit_as_pillow) { check_against_pillow("bilinear"); }
Test(resize, bicubic_bit_for_bit_as_pillow) { check_against_pillow("bicubic"); }
Test(resize, lanczos_bit_for_bit_as_pillow) { check_against_pillow("lanczos"); }

Test(resize, other_names_are_no_filters) {
    static const char *const WRONG[] = {"", "bilinea", "bilinear ", "Lanczos", "nearest"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        pb_filter filter;
        pb_status status = pb_filter_parse(WRONG[i], &filter);
        cr_assert_eq(status.code, PB_E_INPUT);
        cr_assert_not_null(strstr(status.message, WRONG[i]));
    }
}

/* Same size: nothing may change. Constant images stay constant, at the ends of the range too. */
Test(resize, keeps_what_needs_no_change) {
    uint8_t *in = oracle_formula(31, 22, 3, 5), out[31 * 22 * 3], flat[40 * 30];
    for (int f = 0; f < 3; f++) {
        pb_filter filter = filter_named(NAMES[f]);
        pb_status status = pb_image_resize(in, 31, 22, 3, out, 31, 22, filter);
        cr_assert_eq(status.code, PB_OK);
        cr_assert_arr_eq(in, out, sizeof out);
        for (int value = 0; value < 256; value += 51) {
            memset(flat, value, sizeof flat);
            status = pb_image_resize(flat, 40, 30, 1, out, 23, 37, filter);
            cr_assert_eq(status.code, PB_OK);
            for (int i = 0; i < 23 * 37; i++)
                cr_assert_eq(out[i], value);
        }
    }
    free(in);
}

typedef struct input_case {
    int width, height, channels;
    pb_size resize, crop;
} input_case;

static const input_case INPUTS[] = {
    {300, 300, 1, {256, 0}, {224, 224}}, {301, 257, 1, {256, 0}, {224, 224}}, {240, 275, 3, {256, 0}, {224, 224}},
    {400, 300, 3, {224, 0}, {224, 224}}, {300, 401, 1, {224, 0}, {224, 224}}, {224, 224, 3, {224, 0}, {224, 224}},
    {500, 224, 3, {224, 0}, {224, 224}}, {224, 777, 1, {224, 0}, {223, 223}}, {97, 31, 3, {64, 0}, {33, 33}},
    {31, 97, 3, {64, 0}, {32, 32}},      {1, 1, 3, {9, 0}, {4, 4}},           {2, 31, 1, {8, 0}, {8, 8}},
    {640, 481, 3, {33, 0}, {32, 32}},    {481, 640, 1, {35, 0}, {32, 32}},    {75, 76, 3, {37, 0}, {30, 30}},
    {1000, 3, 3, {3, 0}, {2, 2}},        {1023, 767, 3, {255, 0}, {224, 224}},
    /* cuts that are wider than high and the other way round, with odd and even margins, and of the whole */
    {400, 300, 3, {128, 0}, {160, 96}},  {301, 400, 1, {128, 0}, {97, 150}},  {300, 301, 3, {65, 0}, {64, 33}},
    {640, 480, 3, {120, 0}, {160, 120}}, {97, 31, 1, {31, 0}, {96, 30}},
    /* both sides, whatever the shape of the image: neither, one and both axes change */
    {400, 300, 3, {320, 240}, {320, 240}}, {300, 400, 1, {320, 240}, {224, 160}}, {97, 31, 3, {31, 97}, {30, 64}},
    {64, 48, 3, {64, 48}, {63, 48}},       {64, 48, 1, {64, 30}, {33, 29}},       {5, 300, 3, {33, 32}, {32, 32}},
    /* as they are */
    {64, 48, 3, {0, 0}, {64, 48}},         {65, 48, 1, {0, 0}, {32, 33}},         {33, 90, 3, {0, 0}, {32, 64}},
};
enum { INPUT_COUNT = sizeof INPUTS / sizeof *INPUTS };

static void check_inputs(const char *name) {
    char requests[INPUT_COUNT * 64] = "", words[64];
    size_t length = 0;
    for (int n = 0; n < INPUT_COUNT; n++) {
        input_case c = INPUTS[n];
        length += (size_t)snprintf(requests + length, sizeof requests - length, "%d %d %d %d %d %d %d %d\n", c.width, c.height,
                                   c.channels, c.resize.width, c.resize.height, c.crop.width, c.crop.height, n);
    }
    snprintf(words, sizeof words, "input %s", name);
    char *answers = oracle_python("tests/io/images.py", words, requests), *rest = answers;
    for (int n = 0; n < INPUT_COUNT; n++) {
        input_case c = INPUTS[n];
        pb_image image = {.width = c.width, .height = c.height, .channels = c.channels};
        image.pixels = oracle_formula(c.width, c.height, c.channels, (uint32_t)n);
        const pb_fit fit = {c.resize, c.crop, filter_named(name)};
        size_t size = pb_size_area(c.crop) * 3;
        uint8_t *out = malloc(size);
        pb_status status = pb_image_to_input(&image, &fit, out);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        uint32_t expected = (uint32_t)strtoul(rest, &rest, 16), crc = oracle_crc32(out, size);
        cr_assert_eq(crc, expected, "%s: %d x %d x %d, resize %d x %d, crop %d x %d: %08x, in Pillow %08x", name, c.width,
                     c.height, c.channels, c.resize.width, c.resize.height, c.crop.width, c.crop.height, crc, expected);
        free(image.pixels);
        free(out);
    }
    cr_assert_str_eq(rest, "\n");
    free(answers);
}

Test(resize, input_is_torchvisions_resize_and_crop) {
    for (int f = 0; f < 3; f++)
        check_inputs(NAMES[f]);
}

/* torchvision would pad it with black, which no training image has. */
Test(resize, refuses_images_smaller_than_the_cut) {
    static const struct {
        int width, height;
        pb_size resize;
        const char *words;
    } CASES[] = {{400, 100, {96, 0}, NULL},
                 {100, 400, {96, 0}, "an image of 100 x 400 pixels becomes 96 x 384, smaller than the 128 x 96"},
                 {128, 96, {0, 0}, NULL},
                 {127, 96, {0, 0}, "127 x 96 pixels becomes 127 x 96, smaller"},
                 {128, 95, {0, 0}, "128 x 95 pixels becomes 128 x 95, smaller"},
                 {5, 5, {128, 96}, NULL}};
    static uint8_t pixels[400 * 400], out[128 * 96 * 3];
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_image image = {.width = CASES[c].width, .height = CASES[c].height, .channels = 1, .pixels = pixels};
        const pb_fit fit = {.resize = CASES[c].resize, .crop = {128, 96}, .filter = PB_FILTER_BILINEAR};
        pb_status status = pb_image_to_input(&image, &fit, out);
        cr_assert_eq(status.code, CASES[c].words ? PB_E_INPUT : PB_OK, "case %zu: %s", c, status.message);
        cr_assert(!CASES[c].words || strstr(status.message, CASES[c].words), "case %zu: %s", c, status.message);
    }
}

Test(resize, a_resize_is_a_side_a_size_or_nothing) {
    static const struct {
        const char *text;
        pb_size resize;
    } GOOD[] = {{"0", {0, 0}}, {"256", {256, 0}}, {"1", {1, 0}}, {"320x240", {320, 240}}, {"65535x1", {65535, 1}}};
    static const char *const BAD[] = {"", "00", "0x0", "0x240", "65536", "256x", "x256", "-1", "whole", "256 "};
    for (size_t g = 0; g < sizeof GOOD / sizeof *GOOD; g++) {
        pb_size resize = {-1, -1};
        pb_status status = pb_fit_parse_resize(GOOD[g].text, &resize);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        cr_assert(pb_size_equal(resize, GOOD[g].resize), "%s: %d x %d", GOOD[g].text, resize.width, resize.height);
    }
    for (size_t b = 0; b < sizeof BAD / sizeof *BAD; b++) {
        pb_size resize;
        pb_status status = pb_fit_parse_resize(BAD[b], &resize);
        cr_assert_eq(status.code, PB_E_USAGE, "%s", BAD[b]);
        cr_assert_not_null(strstr(status.message, BAD[b]), "%s", status.message);
    }
}

Test(resize, refuses_too_narrow_images) {
    static uint8_t pixels[PB_IMAGE_SIDE_MAX], out[224 * 224 * 3];
    const pb_fit fit = {.resize = {224, 0}, .crop = {224, 224}, .filter = PB_FILTER_BILINEAR};
    pb_image image = {.width = PB_IMAGE_SIDE_MAX, .height = 1, .channels = 1, .pixels = pixels};
    pb_status status = pb_image_to_input(&image, &fit, out);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert_not_null(strstr(status.message, "65535 x 1"), "%s", status.message);
    image.width = 1;
    image.height = 293; /* 224 * 293 = 65632 rows; 292 would just do */
    status = pb_image_to_input(&image, &fit, out);
    cr_assert_eq(status.code, PB_E_INPUT);
    image.height = 292;
    status = pb_image_to_input(&image, &fit, out);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
}
