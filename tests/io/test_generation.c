#include "io/generation.h"
#include "sample.h"

#include <criterion/criterion.h>

Test(generation, reads_writes_and_orders) {
    static const char *const ORDERED[] = {"0", "0.1", "1", "1.2", "1.10", "2.0", "9007199254740991.0", "9007199254740992.1"};
    static const char *const WRONG[] = {
        "", ".", "1.", ".1", "-1", "+1", " 1", "1 ", "1.2.3", "x", "0x1", "1e3", "9007199254740993", "99999999999999999999"};
    enum { COUNT = sizeof ORDERED / sizeof ORDERED[0] };
    pb_generation parsed[COUNT], none;
    char text[PB_GENERATION_TEXT];
    for (int i = 0; i < COUNT; i++)
        sample_assert_ok(pb_generation_parse(ORDERED[i], &parsed[i]));
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            int order = pb_generation_compare(parsed[i], parsed[j]);
            cr_assert((order > 0) - (order < 0) == (i > j) - (i < j), "%s, %s", ORDERED[i], ORDERED[j]);
        }
    pb_generation_text(parsed[2], text);
    cr_assert_str_eq(text, "1.0");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        sample_assert_failed(pb_generation_parse(WRONG[i], &none), PB_E_USAGE, "must be JOB or JOB.RESTART");
}
