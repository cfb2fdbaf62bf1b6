#include "mpi/watchdog.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const long LOOK_PERIOD_NS = 250000000;

/* Not MPI_Abort: that call may itself wait for the lock of the library in which the main thread is stuck. A process that ends
 * with a code other than 0 is enough for mpiexec and srun to end the rest. */
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

static void *watch(void *argument) {
    pb_watchdog *watchdog = argument;
    pthread_mutex_lock(&watchdog->lock);
    while (watchdog->running) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
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

pb_status pb_watchdog_start(pb_watchdog *watchdog, int rank) {
    *watchdog = (pb_watchdog){.running = true, .rank = rank};
    pthread_mutex_init(&watchdog->lock, NULL);
    pthread_cond_init(&watchdog->wake, NULL);
    int error = pthread_create(&watchdog->thread, NULL, watch, watchdog);
    if (error) {
        watchdog->running = false;
        return pb_fail(PB_E_SYSTEM, "the watchdog thread cannot be started: %s", strerror(error));
    }
    return pb_ok();
}

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

void pb_watchdog_mark(pb_watchdog *watchdog, const char *what) {
    pthread_mutex_lock(&watchdog->lock);
    watchdog->waiting_for = what;
    watchdog->since = pb_clock_seconds();
    pthread_mutex_unlock(&watchdog->lock);
}
