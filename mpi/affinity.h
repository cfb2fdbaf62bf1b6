/* affinity.h: private to mpi/: which cores a rank may run on, and its share of them.
 *
 * A rank is not alone on its cores when the batch system binds several ranks to one set (a job of half a node, say), and the
 * host's number of cores then says nothing.
 */
#ifndef PB_MPI_AFFINITY_H
#define PB_MPI_AFFINITY_H

#include <sched.h>

/* The cores that this process may run on; the host's first CPU_SETSIZE ones when the system does not say. */
cpu_set_t pb_affinity_mine(void);

/* Threads for the process with masks[mine] when masks[count] are those of all processes of a host: its cores divided by the
 * number of processes whose masks overlap its own (itself included), at least 1. */
int pb_affinity_share(const cpu_set_t *masks, int count, int mine);

#endif
