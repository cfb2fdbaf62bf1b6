/* log.c: lines on standard error. A line is made in a buffer of fixed size on the stack and written by one call, so that the
 * lines of many ranks, which share a terminal, pipe or file, do not mix. No memory is taken: what is to be said may be that there
 * is none. */
#include "base/log.h"

#include "base/clock.h"
#include "base/log_terminal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes of a line with its newline. With the bytes that erase a terminal's line it is below PIPE_BUF (4096 on Linux), up to which
 * writes to a pipe do not mix. */
enum { LINE_MAX_BYTES = 2048 };

/* A line under construction. */
typedef struct log_line {
    char text[LINE_MAX_BYTES];
    size_t length; /* < LINE_MAX_BYTES: the place of the newline is always free */
} log_line;

/* Set once, before other threads begin; progress_shown alone changes later. */
static int this_rank;
static const char *this_job;
static pb_log_level least_level = PB_LOG_INFO;
static atomic_bool progress_shown;
static pb_log_writer *writer = pb_log_write;
static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error"};

void pb_log_setup(int rank, const char *job, pb_log_level least) {
    this_rank = rank;
    this_job = job;
    least_level = least;
}

/* Whoever takes the flag away erases the line: an exchange, so that of two threads only one does. */
void pb_log_progress_shown(bool shown) { atomic_store(&progress_shown, shown); }

/* Adds formatted text. What does not fit is cut; of text that was cut vsnprintf still gives the full length. */
__attribute__((format(printf, 2, 0))) static void append_list(log_line *line, const char *format, va_list arguments) {
    size_t room = sizeof line->text - line->length;
    int wanted = vsnprintf(line->text + line->length, room, format, arguments);
    if (wanted > 0)
        line->length += (size_t)wanted < room ? (size_t)wanted : room - 1;
}

__attribute__((format(printf, 2, 3))) static void append(log_line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_list(line, format, arguments);
    va_end(arguments);
}

/* A value may be a file name, which may hold any byte: a line stays one line, and no terminal is steered by it. Blanks at the
 * end, of formats whose last value is empty, go. */
static void keep_one_line(log_line *line) {
    for (size_t i = 0; i < line->length; i++)
        if ((unsigned char)line->text[i] < 0x20 || line->text[i] == 0x7f)
            line->text[i] = '?';
    while (line->length > 0 && line->text[line->length - 1] == ' ')
        line->length--;
}

/* One write a line keeps lines of different ranks apart on pipes and files. A log that cannot be written is no reason to end a
 * run, so failures are ignored on purpose, and a write that was cut short is not gone on with; errno is kept because callers log
 * between a failure and its report. */
static void put_line(log_line *line) {
    int kept_errno = errno;
    keep_one_line(line);
    line->text[line->length++] = '\n';
    /* A progress line that stands on the terminal is erased in the same write, so that nothing comes between. */
    char erase[] = PB_TERMINAL_ERASE;
    size_t erase_length = atomic_exchange(&progress_shown, false) ? strlen(erase) : 0;
    struct iovec parts[] = {{erase, erase_length}, {line->text, line->length}};
    while (writev(STDERR_FILENO, parts, 2) < 0 && errno == EINTR) {
    }
    errno = kept_errno;
}

void pb_log_forward(pb_log_writer *to) { writer = to; }

/* A whole line of an event. job is quoted where it has a blank ("bench extract"), as every value. */
__attribute__((format(printf, 3, 0))) static void put_event(pb_log_level level, const char *event, const char *format,
                                                            va_list arguments) {
    char timestamp[PB_TIMESTAMP_MAX];
    log_line line = {.length = 0};
    pb_clock_timestamp(timestamp);
    append(&line, "%s %-5s rank=%d", timestamp, LEVEL_NAMES[level], this_rank);
    if (this_job)
        append(&line, strchr(this_job, ' ') ? " job=\"%s\"" : " job=%s", this_job);
    append(&line, " event=%s ", event);
    append_list(&line, format, arguments);
    put_line(&line);
}

void pb_log_write(pb_log_level level, bool once, const char *event, const char *format, va_list arguments) {
    if (level >= least_level && !(once && this_rank != 0))
        put_event(level, event, format, arguments);
}

void pb_log(pb_log_level level, const char *event, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    writer(level, false, event, format, arguments);
    va_end(arguments);
}

void pb_log_once(pb_log_level level, const char *event, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    writer(level, true, event, format, arguments);
    va_end(arguments);
}

void pb_log_failure(const pb_status *status, int rank) {
    log_line line = {.length = 0};
    append(&line, "patchbank");
    if (this_job)
        append(&line, " %s", this_job);
    append(&line, ": error");
    if (rank >= 0)
        append(&line, " (rank %d)", rank);
    append(&line, ": %s [%s:%d, exit %d: %s]", status->message, status->file, status->line, (int)status->code,
           pb_code_advice(status->code));
    put_line(&line);
}
