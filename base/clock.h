/* clock.h: time, in seconds. Not collective: clocks of different hosts differ. Thread safe. */
#ifndef PB_BASE_CLOCK_H
#define PB_BASE_CLOCK_H

/* Seconds since an arbitrary moment; never goes back, whatever is done to the time of day. For durations and rates, within one
 * host. */
double pb_clock_seconds(void);

/* Bytes of a timestamp, with the closing 0. */
enum { PB_TIMESTAMP_MAX = 32 };

/* The present in UTC, ISO 8601 with milliseconds ("2026-11-24T05:15:37.123Z"). text must hold PB_TIMESTAMP_MAX bytes.
 * For log lines, and for the bank store's note of when a version was published: no other output file may depend on it (banks are
 * compared bit for bit). */
void pb_clock_timestamp(char *text);

#endif
