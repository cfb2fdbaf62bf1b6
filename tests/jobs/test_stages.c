/* Checks jobs/stages.c: which stage is the bottleneck, and sums. What is logged is seen in test_pipeline.c. */
#include "jobs/stages.h"

#include <criterion/criterion.h>

Test(stages, the_bottleneck_is_busy_for_the_greatest_share) {
    pb_stages stages = {.read_busy_s = 1, .read_wait_s = 9, .decode_busy_s = 8, .decode_wait_s = 2, .device_busy_s = 5,
                        .device_wait_s = 5};
    cr_assert_str_eq(pb_stages_bottleneck(&stages), "decode");
    stages.device_wait_s = 1;
    cr_assert_str_eq(pb_stages_bottleneck(&stages), "device");
    stages.read_wait_s = 0.1;
    cr_assert_str_eq(pb_stages_bottleneck(&stages), "read");
    cr_assert_str_eq(pb_stages_bottleneck(&(pb_stages){0}), "device"); /* a rank without images: no NaN decides */
}

Test(stages, sums) {
    pb_stages sum = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const pb_stages more = {10, 20, 30, 40, 50, 60, 70, 80, 90};
    pb_stages_add(&sum, &more);
    cr_assert(sum.read_busy_s == 11 && sum.read_wait_s == 22 && sum.decode_busy_s == 33 && sum.decode_wait_s == 44);
    cr_assert(sum.device_busy_s == 55 && sum.device_wait_s == 66 && sum.images == 77 && sum.bytes == 88 && sum.read_again == 99);
}
