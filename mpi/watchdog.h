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

typedef struct pb_watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;
    const char *waiting_for; /* the present collective; NULL outside of one */
    double since, limit_s;   /* limit 0: off */
    int rank;
} pb_watchdog;

PB_CHECKED pb_status pb_watchdog_start(pb_watchdog *watchdog, int rank);
void pb_watchdog_stop(pb_watchdog *watchdog);
void pb_watchdog_limit(pb_watchdog *watchdog, double limit_s);

/* Marks the begin of the collective `what` (static text) and, with NULL, its end. */
void pb_watchdog_mark(pb_watchdog *watchdog, const char *what);

#endif
