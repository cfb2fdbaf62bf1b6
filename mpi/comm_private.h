/* comm_private.h: private to mpi/: the communicator's inside, and the bracket that every collective stands in. */
#ifndef PB_MPI_COMM_PRIVATE_H
#define PB_MPI_COMM_PRIVATE_H

#include "mpi/comm.h"
#include "mpi/watchdog.h"

#include <mpi.h>

/* A communicator. All of it is the main thread's but the watchdog, which has a lock of its own. */
struct pb_comm {
    MPI_Comm world; /* MPI_COMM_WORLD, whose end is the end of MPI, or MPI_COMM_SELF */
    int rank, size, local_rank, fair_threads;
    int *counts; /* [2 * size] counts and places of MPI calls */
    pb_watchdog watchdog;
    pb_comm_counters counters; /* since it was made */
    int depth;      /* collectives entered and not left: one may use another */
    double entered; /* pb_clock_seconds, of the outermost */
};

/* Every collective runs between these two, so that the watchdog knows what the rank waits for and the counters are true. what:
 * static text, kept until the bracket is left. bytes: what this rank sends in it. They may nest; after an inner one is left the
 * watchdog has no name until it is marked again. Not collective; the main thread's. */
void pb_comm_enter(pb_comm *comm, const char *what, size_t bytes);
void pb_comm_leave(pb_comm *comm);

#endif
