/* pulse.h: private to jobs/: how far a running job is, in a small file for `patchbank top` (docs/FORMATS.md, status.json).
 *
 * Rank 0 writes it every other second from a thread of its own, so that a file that has not been touched for long means a job
 * that is gone, and a long `still_s` one that makes no progress. It listens to base/progress.h and is told of
 * steps, so jobs do nothing for it. What cannot be written is left out: nobody's work may fail for this. The thread calls neither
 * MPI nor HDF5, logs nothing and passes no fault point. Not collective.
 */
#ifndef PB_JOBS_PULSE_H
#define PB_JOBS_PULSE_H

#include "base/status.h"

typedef struct pb_pulse pb_pulse;

/* The name of the file in the folder of a run. */
#define PB_PULSE_FILE "status.json"

/* Writes `folder`/status.json from now on. job: its name, borrowed for the life of the pulse; generation: what fences this run,
 * as the user gave it, copied. Becomes the one listener of progress, too. Owned by the caller. Errors: PB_E_SYSTEM; PB_E_INPUT
 * when the path is too long; *pulse_out is NULL then. */
PB_CHECKED pb_status pb_pulse_begin(const char *job, int ranks, const char *folder, const char *generation,
                                    pb_pulse **pulse_out);

/* The job's step is `name`, from now on, cut at 31 bytes; nothing is counted in it before progress says so. Called by the job's
 * thread. NULL pulse: nothing happens. */
void pb_pulse_step(pb_pulse *pulse, const char *name);

/* Ends the thread, which may be writing, and removes the file: a job that has ended is no running one. Sets *pulse to NULL; NULL
 * is fine. */
void pb_pulse_end(pb_pulse **pulse);

#endif
