#include "gpu/cuda/precision.h"

#include <criterion/criterion.h>

Test(precision, has_a_name_and_a_size) {
    static const struct {
        pb_precision precision;
        const char *name;
        size_t bytes;
        int channels;
    } EXPECTED[] = {{PB_PRECISION_FP32, "fp32", 4, 4}, {PB_PRECISION_TF32, "tf32", 4, 4}, {PB_PRECISION_FP16, "fp16", 2, 8},
                    {PB_PRECISION_BF16, "bf16", 2, 8}};
    for (int i = 0; i < 4; i++) {
        pb_precision parsed;
        cr_assert(pb_precision_parse(EXPECTED[i].name, &parsed) && parsed == EXPECTED[i].precision);
        cr_assert_str_eq(pb_precision_name(EXPECTED[i].precision), EXPECTED[i].name);
        cr_assert_eq(pb_element_bytes(pb_precision_element(EXPECTED[i].precision)), EXPECTED[i].bytes);
        cr_assert_eq(pb_precision_input_channels(EXPECTED[i].precision), EXPECTED[i].channels);
    }
}

Test(precision, other_names_are_none) {
    static const char *const NAMES[] = {"", "fp", "fp160", "FP16", "half", " fp16"};
    for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++) {
        pb_precision parsed = PB_PRECISION_BF16;
        cr_assert(!pb_precision_parse(NAMES[n], &parsed) && parsed == PB_PRECISION_BF16, "\"%s\"", NAMES[n]);
    }
}
