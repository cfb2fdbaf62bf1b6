#include "gpu/precision.h"

#include <criterion/criterion.h>

Test(precision, has_a_name) {
    static const struct {
        pb_precision precision;
        const char *name;
    } EXPECTED[] = {{PB_PRECISION_FP32, "fp32"}, {PB_PRECISION_TF32, "tf32"}, {PB_PRECISION_FP16, "fp16"},
                    {PB_PRECISION_BF16, "bf16"}};
    for (int i = 0; i < 4; i++) {
        pb_precision parsed;
        cr_assert(pb_precision_parse(EXPECTED[i].name, &parsed) && parsed == EXPECTED[i].precision);
        cr_assert_str_eq(pb_precision_name(EXPECTED[i].precision), EXPECTED[i].name);
    }
}

Test(precision, other_names_are_none) {
    static const char *const NAMES[] = {"", "fp", "fp160", "FP16", "half", " fp16"};
    for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++) {
        pb_precision parsed = PB_PRECISION_BF16;
        cr_assert(!pb_precision_parse(NAMES[n], &parsed) && parsed == PB_PRECISION_BF16, "\"%s\"", NAMES[n]);
    }
}
