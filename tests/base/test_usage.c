#include "base/usage.h"

#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Test(usage, processor_time_of_work_and_not_of_sleep) {
    pb_usage before = pb_usage_now();
    usleep(200000);
    pb_usage slept = pb_usage_now();
    cr_assert(slept.processor_s - before.processor_s < 0.1);
    volatile double sum = 0;
    for (double begun = pb_clock_seconds(); pb_usage_now().processor_s - slept.processor_s < 0.05;) {
        for (int i = 0; i < 100000; i++)
            sum = sum + i;
        cr_assert(pb_clock_seconds() - begun < 60, "work does not count");
    }
}

/* The peak stays when the memory is gone. */
Test(usage, memory_now_and_at_most) {
    enum { BYTES = 64 << 20 };
    pb_usage before = pb_usage_now();
    cr_assert(before.memory_bytes > 0 && before.peak_bytes >= before.memory_bytes);
    char *block = malloc(BYTES);
    memset(block, 1, BYTES);
    cr_assert(block[BYTES / 2] == 1);
    pb_usage with = pb_usage_now();
    free(block);
    pb_usage after = pb_usage_now();
    cr_assert(with.memory_bytes >= before.memory_bytes + BYTES / 2);
    cr_assert(with.peak_bytes >= before.memory_bytes + BYTES / 2);
    cr_assert(after.peak_bytes >= before.memory_bytes + BYTES / 2); /* the system counts in shares of a processor, not exactly */
    cr_assert(pb_usage_host_memory() > with.peak_bytes);
}

Test(usage, the_host_has_a_name) {
    char name[PB_HOST_MAX], expected[PB_HOST_MAX];
    gethostname(expected, sizeof expected);
    pb_usage_host(name);
    cr_assert_str_eq(name, expected);
}
