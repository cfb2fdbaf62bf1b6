/* watchdog.c: the thread that ends a job whose collective does not end.
 *
 * The main thread marks what it enters and leaves (pb_watchdog_mark); the watchdog looks four times a second, and never calls
 * MPI. Both use the members under `lock`, which the main thread holds for a few instructions only, so a look costs it nothing.
 * The watch sleeps on a condition rather than by nanosleep, so that pb_watchdog_stop need not wait for a period to end.
 *
 * Ending is by _exit, without exit handlers: the main thread is in the midst of MPI and HDF5, whose state nobody knows. What is
 * complete on the disk stays, what is not has no final name (invariant 6).
 */
#include "mpi/watchdog.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A quarter of a second: small beside any limit worth setting, and too rare to be seen in a profile. */
static const long LOOK_PERIOD_NS = 250000000;

/* Says what did not end, and ends the process. Called with the lock held: nobody else is going to need it.
 *
 * Not MPI_Abort: that call may itself wait for the lock of the library in which the main thread is stuck. A process that ends
 * with a code other than 0 is enough for mpiexec and srun to end the rest.
 */
static _Noreturn void end_job(const char *what, double seconds, double limit_s, int rank) {
    char host[256] = "unknown host";
    gethostname(host, sizeof host - 1);
    pb_status status = pb_fail(PB_E_SYSTEM,
                               "%s: not all ranks arrived: waited %.0f s of at most %.0f s (--watchdog) on host %s; a peer "
                               "is lost or much slower",
                               what, seconds, limit_s, host);
    pb_log_failure(&status, rank);
    _exit(status.code);
}

/* The thread. Waits by the monotonic clock (pb_watchdog_start): a clock that is set makes no look late. */
static void *watch(void *argument) {
    pb_watchdog *watchdog = argument;
    pthread_mutex_lock(&watchdog->lock);
    while (watchdog->running) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_PERIOD_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &until);
        double waited = pb_clock_seconds() - watchdog->since;
        if (watchdog->running && watchdog->waiting_for && watchdog->limit_s > 0 && waited > watchdog->limit_s)
            end_job(watchdog->waiting_for, waited, watchdog->limit_s, watchdog->rank);
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

/* The lock is made before the thread and stays when that cannot be started: pb_watchdog_mark may still be called, by whoever
 * tells the others of the failure. */
pb_status pb_watchdog_start(pb_watchdog *watchdog, int rank) {
    *watchdog = (pb_watchdog){.running = true, .rank = rank};
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int error = pthread_create(&watchdog->thread, NULL, watch, watchdog);
    if (error) {
        watchdog->running = false;
        return pb_fail(PB_E_SYSTEM, "the watchdog thread cannot be started: %s", strerror(error));
    }
    return pb_ok();
}

/* A watchdog that was never started has no thread to join. */
void pb_watchdog_stop(pb_watchdog *watchdog) {
    if (!watchdog->running)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->running = false;
    pthread_cond_signal(&watchdog->wake);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
}

void pb_watchdog_limit(pb_watchdog *watchdog, double limit_s) {
    pthread_mutex_lock(&watchdog->lock);
    watchdog->limit_s = limit_s;
    pthread_mutex_unlock(&watchdog->lock);
}

/* Under the lock, so that the watchdog never sees a new name with an old time. */
void pb_watchdog_mark(pb_watchdog *watchdog, const char *what) {
    pthread_mutex_lock(&watchdog->lock);
    watchdog->waiting_for = what;
    watchdog->since = pb_clock_seconds();
    pthread_mutex_unlock(&watchdog->lock);
}
