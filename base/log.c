#include "base/log.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static int this_rank;
static const char *this_job;
static pb_log_level least_level = PB_LOG_INFO;
static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error"};

void pb_log_setup(int rank, const char *job, pb_log_level least) {
    this_rank = rank;
    this_job = job;
    least_level = least;
}

/* One write(2) a line keeps lines of different ranks apart on pipes and files. A log that cannot be written is no reason to
 * end a run, so the result is ignored on purpose. */
static void put_line(char *line, size_t length) {
    if (length > LINE_MAX_BYTES - 2)
        length = LINE_MAX_BYTES - 2;
    line[length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}

static void put_event(pb_log_level level, const char *event, const char *format, va_list arguments) {
    char line[LINE_MAX_BYTES], timestamp[PB_TIMESTAMP_MAX];
    pb_clock_timestamp(timestamp);
    int length = snprintf(line, sizeof line, "%s %-5s rank=%d%s%s event=%s ", timestamp, LEVEL_NAMES[level], this_rank,
                          this_job ? " job=" : "", this_job ? this_job : "", event);
    int more = vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    put_line(line, (size_t)length + (more > 0 ? (size_t)more : 0));
}

void pb_log(pb_log_level level, const char *event, const char *format, ...) {
    if (level < least_level)
        return;
    va_list arguments;
    va_start(arguments, format);
    put_event(level, event, format, arguments);
    va_end(arguments);
}

void pb_log_once(pb_log_level level, const char *event, const char *format, ...) {
    if (level < least_level || this_rank != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    put_event(level, event, format, arguments);
    va_end(arguments);
}

void pb_log_failure(const pb_status *status, int rank) {
    char line[LINE_MAX_BYTES], where[32] = "";
    if (rank >= 0)
        snprintf(where, sizeof where, " (rank %d)", rank);
    int length = snprintf(line, sizeof line, "patchbank%s%s: error%s: %s [%s:%d, exit %d: %s]", this_job ? " " : "",
                          this_job ? this_job : "", where, status->message, status->file, status->line, (int)status->code,
                          pb_code_advice(status->code));
    put_line(line, (size_t)length);
}
