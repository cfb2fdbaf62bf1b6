/* watchdog.h: private to mpi/: a thread that ends the job when a collective does not end.
 *
 * A peer that died, hangs in a system call or took another way leaves the others waiting in MPI for ever; the batch system then
 * burns the whole allocation. The watchdog looks every quarter of a second; once the present collective is older than the
 * limit it writes which one it is and ends this process, upon which mpiexec or srun ends the others.
 */
#ifndef PB_MPI_WATCHDOG_H
#define PB_MPI_WATCHDOG_H

#include "base/status.h"

#include <pthread.h>

/* A watchdog and what it looks at. It must not move: the thread has its address. Everything from `running` on is guarded by
 * `lock`, but for `rank`, which never changes. */
typedef struct pb_watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;
    const char *waiting_for; /* the present collective; NULL outside of one */
    double since, limit_s;   /* pb_clock_seconds of the last mark; seconds, 0: off */
    int rank;                /* for the message */
} pb_watchdog;

/* Starts the thread, without a limit. Errors: PB_E_SYSTEM; the others may then be called all the same and do nothing. Stop ends
 * it and waits for it to end; of one that is not running it does nothing. Limit: seconds that a collective may last, 0 for ever;
 * a collective that is under way is judged by it as well. Not collective, all of them. */
PB_CHECKED pb_status pb_watchdog_start(pb_watchdog *watchdog, int rank);
void pb_watchdog_stop(pb_watchdog *watchdog);
void pb_watchdog_limit(pb_watchdog *watchdog, double limit_s);

/* Marks the begin of the collective `what` (static text) and, with NULL, its end. Each mark begins the time anew. From any thread
 * but the watchdog's. */
void pb_watchdog_mark(pb_watchdog *watchdog, const char *what);

#endif
