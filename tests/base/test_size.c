#include "base/size.h"

#include <criterion/criterion.h>
#include <string.h>

Test(size, reads_squares_and_rectangles) {
    static const struct {
        const char *text;
        pb_size size;
    } cases[] = {{"224", {224, 224}}, {"320x240", {320, 240}}, {"32x32", {32, 32}}, {"4096x33", {4096, 33}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pb_size size;
        pb_status status = pb_size_parse(cases[i].text, 32, 4096, &size);
        cr_expect_eq(status.code, PB_OK, "%s", status.message);
        cr_expect(pb_size_equal(size, cases[i].size), "%s", cases[i].text);
    }
}

Test(size, refuses_everything_else) {
    static const char *const bad[] = {"", "x", "224x", "x224", "31", "4097", "32x31", "4097x32", "-224", "+224", " 224",
                                      "224 ", "2e2", "224X224", "224x224x224", "99999999999999999999", "0x40"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pb_size size = {1, 1};
        pb_status status = pb_size_parse(bad[i], 32, 4096, &size);
        cr_expect_eq(status.code, PB_E_USAGE, "%s", bad[i]);
        cr_expect(strstr(status.message, "320x240"), "%s", status.message);
        cr_expect(pb_size_equal(size, (pb_size){0, 0}), "%s", bad[i]);
    }
}

Test(size, is_written_as_it_is_read) {
    char text[PB_SIZE_TEXT];
    pb_size_format((pb_size){224, 224}, text);
    cr_expect_str_eq(text, "224");
    pb_size_format((pb_size){65535, 8}, text);
    cr_expect_str_eq(text, "65535x8");
}

Test(size, over_a_stride_rounds_up) {
    cr_expect(pb_size_equal(pb_size_over((pb_size){280, 17}, 16), (pb_size){18, 2}));
    cr_expect_eq(pb_size_area((pb_size){65535, 65535}), (size_t)65535 * 65535);
}
