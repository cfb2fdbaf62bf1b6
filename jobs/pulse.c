/* pulse.c: status.json, written by a thread. The job's thread says how far it is under a lock, in a structure of fixed size; the
 * writer copies that under the lock and writes without it, so that a slow file system never holds up the job.
 *
 * Time is what tells a dead job from a slow one: the file's `written` goes on as long as the process lives, `still_s` grows when
 * nothing is done. */
#include "jobs/pulse.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/usage.h"
#include "io/file.h"
#include "jobs/json.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_S = 2 }; /* from one writing to the next */

/* How far the job is, as text is not: fixed size, so that it can be copied under the lock and written outside. */
typedef struct position {
    char step[32], unit[32], note[48];
    uint64_t done, total;
    double per_s, left_s; /* left_s: -1 when not known */
    double begun, moved;  /* pb_clock_seconds: of the step, and when `done` or the step last changed */
} position;

struct pb_pulse {
    char path[PB_PATH_MAX], temporary[PB_PATH_MAX];
    char host[PB_HOST_MAX], generation[64], began[PB_TIMESTAMP_MAX];
    const char *job;
    int ranks;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    position now;
    bool stop;
    pthread_t thread;
};

/* Runs in the writer's thread and reads only what never changes, and its own copy `at`. */
static json_t *pulse_json(const pb_pulse *pulse, const position *at) {
    char written[PB_TIMESTAMP_MAX];
    double now = pb_clock_seconds();
    pb_clock_timestamp(written);
    return json_pack("{s:s,s:i,s:s,s:s,s:I,s:I,s:s,s:f,s:f,s:o,s:f,s:f,s:i,s:o,s:i,s:o,s:s,s:s,s:f}", "format",
                     "patchbank-status", "version", 1, "job", pulse->job, "step", at->step, "done", (json_int_t)at->done, "total",
                     (json_int_t)at->total, "unit", at->unit, "per_s", at->per_s, "left_s", at->left_s, "note",
                     pb_json_text(at->note), "step_s", now - at->begun, "still_s", now - at->moved, "ranks", pulse->ranks, "host",
                     pb_json_text(pulse->host), "pid", (int)getpid(), "generation", pb_json_text(pulse->generation), "began",
                     pulse->began, "written", written, "written_unix_s", (double)time(NULL));
}

/* Whoever reads sees the old file or the new one, since it comes by a rename. Not flushed to the disk: after a power cut nobody
 * asks for it. A failure leaves the old file, whose age then says so. "e": not for programs that the job starts. */
static void write_pulse(const pb_pulse *pulse, const position *at) {
    json_t *answer = pulse_json(pulse, at);
    char *text = json_dumps(answer, JSON_INDENT(2));
    FILE *file = text ? fopen(pulse->temporary, "we") : NULL;
    json_decref(answer);
    if (file) {
        bool written = fputs(text, file) >= 0;
        written = fclose(file) == 0 && written;
        if (!written || rename(pulse->temporary, pulse->path) != 0)
            unlink(pulse->temporary);
    }
    free(text);
}

/* Writes, then waits for the period or the end, whichever comes first. The condition is waited for by the clock of the day, as
 * pthread_cond_timedwait does by default: where that clock is set, one period is longer or shorter. */
static void *run(void *context) {
    pb_pulse *pulse = context;
    pthread_mutex_lock(&pulse->lock);
    while (!pulse->stop) {
        position at = pulse->now;
        pthread_mutex_unlock(&pulse->lock);
        write_pulse(pulse, &at);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += PERIOD_S;
        pthread_mutex_lock(&pulse->lock);
        while (!pulse->stop && pthread_cond_timedwait(&pulse->ended, &pulse->lock, &until) == 0) {
        }
    }
    pthread_mutex_unlock(&pulse->lock);
    return NULL;
}

/* What progress said of the step before is forgotten. */
void pb_pulse_step(pb_pulse *pulse, const char *name) {
    if (!pulse)
        return;
    double now = pb_clock_seconds();
    pthread_mutex_lock(&pulse->lock);
    pulse->now = (position){.left_s = -1, .begun = now, .moved = now};
    snprintf(pulse->now.step, sizeof pulse->now.step, "%s", name);
    pthread_mutex_unlock(&pulse->lock);
}

/* The listener of base/progress.h, in the job's thread. A step of progress that begins anew has moved, though `done` may be the
 * same 0. */
static void listen(void *context, const pb_progress *progress) {
    pb_pulse *pulse = context;
    pthread_mutex_lock(&pulse->lock);
    position *now = &pulse->now;
    bool moved = progress->done != now->done || progress->begun != now->begun;
    now->done = progress->done;
    now->total = progress->total;
    now->per_s = pb_progress_rate(progress);
    now->left_s = pb_progress_left(progress);
    now->begun = progress->begun;
    now->moved = moved ? pb_clock_seconds() : now->moved;
    snprintf(now->step, sizeof now->step, "%s", progress->step);
    snprintf(now->unit, sizeof now->unit, "%s", progress->unit);
    snprintf(now->note, sizeof now->note, "%s", progress->note);
    pthread_mutex_unlock(&pulse->lock);
}

/* What never changes. The temporary file lies in the run's folder, too, and goes with it. */
static pb_status prepare(pb_pulse *pulse, const char *folder, const char *generation) {
    snprintf(pulse->generation, sizeof pulse->generation, "%s", generation);
    pb_usage_host(pulse->host);
    pb_clock_timestamp(pulse->began);
    PB_TRY(pb_path_join(folder, PB_PULSE_FILE, pulse->path));
    return pb_path_join(folder, PB_PULSE_FILE ".part", pulse->temporary);
}

/* The thread starts last, and writes at once. */
pb_status pb_pulse_begin(const char *job, int ranks, const char *folder, const char *generation, pb_pulse **pulse_out) {
    *pulse_out = NULL;
    pb_pulse *pulse;
    PB_TRY(pb_allocate(&pulse, 1, sizeof *pulse, "the status of the job"));
    pulse->job = job;
    pulse->ranks = ranks;
    pb_status status = prepare(pulse, folder, generation);
    pthread_mutex_init(&pulse->lock, NULL);
    pthread_cond_init(&pulse->ended, NULL);
    pb_pulse_step(pulse, "begin");
    int error = pb_failed(&status) ? 0 : pthread_create(&pulse->thread, NULL, run, pulse);
    if (error != 0)
        status = pb_fail(PB_E_SYSTEM, "cannot start a thread that says how far the job is: %s", strerror(error));
    if (pb_failed(&status)) {
        pb_release(&pulse);
        return status;
    }
    pb_progress_listen(listen, pulse);
    *pulse_out = pulse;
    return pb_ok();
}

/* The listener goes first, so that nobody uses a pulse that is gone; the file goes after the thread has ended, or it would come
 * back. */
void pb_pulse_end(pb_pulse **pulse_inout) {
    pb_pulse *pulse = *pulse_inout;
    if (!pulse)
        return;
    pb_progress_listen(NULL, NULL);
    pthread_mutex_lock(&pulse->lock);
    pulse->stop = true;
    pthread_cond_signal(&pulse->ended);
    pthread_mutex_unlock(&pulse->lock);
    pthread_join(pulse->thread, NULL);
    unlink(pulse->path);
    pthread_mutex_destroy(&pulse->lock);
    pthread_cond_destroy(&pulse->ended);
    pb_release(pulse_inout);
}
