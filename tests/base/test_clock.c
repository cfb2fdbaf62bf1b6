#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

Test(clock, does_not_go_back_and_counts_seconds) {
    double begun = pb_clock_seconds(), before = begun;
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    nanosleep(&pause, NULL);
    for (int i = 0; i < 1000; i++) {
        double now = pb_clock_seconds();
        cr_assert(now >= before);
        before = now;
    }
    cr_assert(before - begun >= 0.05);
    cr_assert(before - begun < 30, "seconds, not milliseconds");
}

Test(clock, timestamp_is_now_in_utc) {
    char text[PB_TIMESTAMP_MAX];
    setenv("TZ", "JST-9", 1); /* so that local time is not UTC */
    tzset();
    time_t before = time(NULL);
    pb_clock_timestamp(text);
    time_t after = time(NULL);
    int milliseconds, end = 0;
    struct tm utc = {0};
    int fields = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour,
                        &utc.tm_min, &utc.tm_sec, &milliseconds, &end);
    cr_assert_eq(fields, 7);
    cr_assert_eq(strlen(text), strlen("2026-11-24T05:15:37.123Z"));
    cr_assert_eq((size_t)end, strlen(text));
    cr_assert(milliseconds >= 0 && milliseconds <= 999);
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    time_t stamped = timegm(&utc);
    cr_assert(stamped >= before && stamped <= after);
}
