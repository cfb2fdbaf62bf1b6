/* clock.c: the two clocks: a monotonic one for durations, which no correction of the time can turn back, and the time of day for
 * people. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

double pb_clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void pb_clock_timestamp(char *text) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(text, PB_TIMESTAMP_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, PB_TIMESTAMP_MAX - length, ".%03dZ", (int)(now.tv_nsec / 1000000 % 1000));
}
