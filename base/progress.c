/* progress.c: the display of a step: a line that is redrawn on a terminal, log lines elsewhere, and a listener (the status file
 * of jobs/pulse.h). An update that shows nothing costs a look at the clock. */
#include "base/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/log_terminal.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* Between two outputs: fast enough to look alive, and slow enough for a log of a night. */
static const double TERMINAL_PERIOD_S = 1.0 / 6, LOG_PERIOD_S = 60.0;

/* One for the process, set before steps begin. */
static pb_progress_listener *listening;
static void *listening_context;

void pb_progress_listen(pb_progress_listener *listener, void *context) {
    listening = listener;
    listening_context = context;
}

/* Only of visible steps: the listener is rank 0's, as the display is. */
static void tell(const pb_progress *progress) {
    if (listening && progress->visible)
        listening(listening_context, progress);
}

/* shown is now: the first output comes a period later, so that short steps show nothing. */
void pb_progress_begin(pb_progress *progress, const char *step, uint64_t total, const char *unit, bool visible) {
    double now = pb_clock_seconds();
    *progress = (pb_progress){.step = step, .unit = unit, .total = total, .begun = now, .shown = now, .visible = visible};
    progress->terminal = visible && isatty(STDERR_FILENO);
    tell(progress);
}

/* The limit of 9e7 s keeps the text within 16 bytes, and the rounded seconds within an unsigned. */
void pb_progress_duration(double seconds, char text[16]) {
    if (!isfinite(seconds) || seconds < 0 || seconds > 9e7) {
        snprintf(text, 16, "?");
        return;
    }
    unsigned whole = (unsigned)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 16, "%u:%02u:%02u", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 16, "%u:%02u", whole / 60, whole % 60);
}

/* Overwrites the line and leaves it without a newline; the log is told, so that it erases it before its next line. */
static void show_on_terminal(const pb_progress *progress, double rate, const char *left) {
    unsigned long long done = progress->done, total = progress->total;
    fprintf(stderr, PB_TERMINAL_ERASE "%s %llu", progress->step, done);
    if (total > 0)
        fprintf(stderr, "/%llu %s, %.1f/s, %s left", total, progress->unit, rate, left);
    else
        fprintf(stderr, " %s, %.1f/s", progress->unit, rate);
    if (progress->note[0])
        fprintf(stderr, ", %s", progress->note);
    pb_log_progress_shown(true);
}

/* Over the whole step, not the last moments: what is left is estimated by it, and should not jump. */
double pb_progress_rate(const pb_progress *progress) {
    double elapsed = pb_clock_seconds() - progress->begun;
    return elapsed > 0 ? (double)progress->done / elapsed : 0;
}

double pb_progress_left(const pb_progress *progress) {
    double rate = pb_progress_rate(progress);
    return progress->total > 0 && rate > 0 ? (double)(progress->total - progress->done) / rate : -1;
}

/* A line of either kind, with the time left by the rate so far. */
static void show(const pb_progress *progress) {
    double rate = pb_progress_rate(progress);
    char left_text[16];
    pb_progress_duration(pb_progress_left(progress), left_text);
    if (progress->terminal)
        show_on_terminal(progress, rate, left_text);
    else
        pb_log(PB_LOG_INFO, "progress", "step=%s done=%llu total=%llu unit=%s per_s=%.1f left=%s %s", progress->step,
               (unsigned long long)progress->done, (unsigned long long)progress->total, progress->unit, rate, left_text,
               progress->note);
}

/* The listener hears of every update, the display only of one a period. More than the total is the total: estimates of other
 * ranks' shares round up. */
void pb_progress_update(pb_progress *progress, uint64_t done) {
    progress->done = progress->total && done > progress->total ? progress->total : done;
    if (!progress->visible)
        return;
    tell(progress);
    double now = pb_clock_seconds();
    if (now - progress->shown < (progress->terminal ? TERMINAL_PERIOD_S : LOG_PERIOD_S))
        return;
    progress->shown = now;
    show(progress);
}

/* The line of the terminal goes; what was reached the caller logs, with its own figures. */
double pb_progress_end(pb_progress *progress) {
    if (progress->terminal) {
        fprintf(stderr, PB_TERMINAL_ERASE);
        pb_log_progress_shown(false);
    }
    return pb_clock_seconds() - progress->begun;
}
