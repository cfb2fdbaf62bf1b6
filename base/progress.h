/* progress.h: how far a long step has come, with rate and time left.
 *
 * On a terminal one line is redrawn, at most six times a second; elsewhere (a batch job's log) a log line is written at most
 * once a minute, so that silence means trouble. Only rank 0 shows anything, and only what its caller reports: its own share of
 * the work, which a caller who gives the whole job's total scales up itself. Not collective: no rank waits.
 *
 * Life: pb_progress_begin; pb_progress_update as items are done, a note being put into the struct by the caller; pb_progress_end,
 * after a failure too.
 */
#ifndef PB_BASE_PROGRESS_H
#define PB_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A running display. Plain data, owned by the caller, nothing to release; ended by pb_progress_end. */
typedef struct pb_progress {
    const char *step;     /* "extract"; borrowed */
    const char *unit;     /* "images"; borrowed */
    uint64_t total, done; /* items */
    double begun, shown;  /* pb_clock_seconds of the start and of the last output */
    bool visible, terminal;
    char note[48];        /* shown after the counts, "radius=21.7"; "" for none */
} pb_progress;

/* Begins a step of `total` items (0: unknown, then no time left is shown). step and unit are borrowed until it ends. `visible` is
 * true on rank 0. Not thread safe, like all of these; for one step at a time, since they share a line of the terminal. */
void pb_progress_begin(pb_progress *progress, const char *step, uint64_t total, const char *unit, bool visible);

/* `done` items of the step are finished. Cheap enough for once an item. Not thread safe. */
void pb_progress_update(pb_progress *progress, uint64_t done);

/* Rate so far in items a second, and by it the seconds that are left: -1 where nothing can be said. */
double pb_progress_rate(const pb_progress *progress);
double pb_progress_left(const pb_progress *progress);

/* Has `listener` called with every visible step when it begins and with each update, in the caller's thread: it must be quick.
 * NULL ends that. One for the process; not thread safe. */
typedef void pb_progress_listener(void *context, const pb_progress *progress); /* progress: borrowed during the call */
void pb_progress_listen(pb_progress_listener *listener, void *context);

/* Removes the terminal line. To be called also when the step fails. Returns the seconds since begin. */
double pb_progress_end(pb_progress *progress);

/* "1:02:03" or "0:07" of a number of seconds, into text of 16 bytes; "?" when seconds is negative, not finite, or above
 * 9e7 (almost three years: no estimate, only a rate near 0). */
void pb_progress_duration(double seconds, char text[16]);

#endif
