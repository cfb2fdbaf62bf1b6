/* stop.h: being asked to stop: SIGUSR1, which Slurm sends some time before a job's limit (sbatch --signal), and SIGTERM (scancel,
 * preemption, a node that is drained). The signal only sets a flag. A job with state (jobs/run_state.h) looks at it between two
 * pieces of work, on every rank, and hands what it finds to its next pb_agree: one rank that was asked is enough for all to stop.
 */
#ifndef PB_BASE_STOP_H
#define PB_BASE_STOP_H

#include "base/status.h"

/* From now on SIGUSR1 and SIGTERM ask this process to stop instead of ending it, those too that pb_stop_hold has held back. Only
 * main.c calls it, for jobs that keep state: any other is better ended by the signal at once. Before MPI_Init, in which ranks
 * wait for each other: one that was ended there would be a lost rank to the others. */
void pb_stop_on_signals(void);

/* Holds both signals back until pb_stop_on_signals, across an exec too, which would forget handlers. */
void pb_stop_hold(void);

/* PB_OK, or, once a signal has come, always PB_E_REQUEUE naming it (the first, should both have come). Costs a load. Not
 * collective: who stops must agree on it. Thread safe. */
PB_CHECKED pb_status pb_stop_check(void);

#endif
