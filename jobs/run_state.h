/* run_state.h: private to jobs/: a job's state folder (io/state.h) as its ranks use it: claimed by one, used by all.
 *
 * A job that keeps state begins a run when its input is known to be good, looks between two pieces of work whether it was asked
 * to stop (base/stop.h) and whether what it has done is due to be saved, and ends the run with its status: done, and the state is
 * removed; stopped or failed, and it stays. The next run finds it by the output's name alone. So does one that comes after a run
 * which was killed between its output and the removal of its state: a job that replaces its output makes the same one again from
 * the state, and one that does not (pack) tidies up.
 */
#ifndef PB_JOBS_RUN_STATE_H
#define PB_JOBS_RUN_STATE_H

#include "base/status.h"
#include "io/attributes.h"
#include "io/state.h"
#include "jobs/job.h"
#include "jobs/pulse.h"

/* One rank's. Zeroed: no run, which pb_run_end takes. */
typedef struct pb_run {
    pb_comm *comm;             /* borrowed; NULL: no run */
    pb_state state;            /* the same on every rank */
    pb_pulse **pulse;          /* rank 0's, in the summary of the job, which tells it of steps */
    double begun;              /* pb_clock_seconds */
    double interval_s;         /* --checkpoint */
    double saved, cost_s;      /* when something was saved last (pb_clock_seconds), and how long that took */
} pb_run;

/* Collective. Claims the state of `output` for this run under --generation; from now on the temporary files of all ranks are in
 * the run's folder, and rank 0 says there how far the job is (jobs/pulse.h). Errors, agreed: pb_state_claim's, of which PB_E_NO
 * (a newer run is there) is also logged; *run is one that pb_run_end takes then, too. */
PB_CHECKED pb_status pb_run_begin(const pb_job *job, const char *output, pb_run *run);

/* Whether it is time to save: --checkpoint seconds after the last time, and so that saving takes a twentieth of the time at most.
 * Not collective: each rank saves what it has when it finds the time right, so the answer differs between ranks. */
bool pb_run_due(const pb_run *run);

/* Whether the run is longer than --checkpoint seconds: then what is small and comes seldom is saved at once. Not collective. */
bool pb_run_is_long(const pb_run *run);

/* Notes that saving began at `began` (pb_clock_seconds) and is over, well or not. Not collective. */
void pb_run_saved(pb_run *run, double began);

/* What becomes of a failed saving: a warning, because the job can still end well; only PB_E_NO, this run being fenced off, is
 * handed on. Not collective. */
PB_CHECKED pb_status pb_run_tolerate(pb_status status);

/* Collective. Ends the run; `status` is agreed, and all files in the run's folder are closed. PB_OK: the outputs have their
 * names, and the state is removed. Else it stays; a run that was fenced off or stopped says so. A zeroed run is fine. */
void pb_run_end(pb_run *run, const pb_status *status);

/* On one rank. The job of `output` ends without work, because that is there, whole, or can never be made from this state: removes
 * the state, which a run that was killed has left, by claiming it, and says so. Nothing happens where there is none; that it
 * cannot be removed, because a run of a newer generation has it, say, is a warning. */
void pb_run_tidy(const pb_job *job, const char *output);

/* What differs between the attributes of a saved file and those expected of it: the name of the first, which is borrowed; "" when
 * nothing does. What the file says beyond is not looked at. Not collective. */
const char *pb_run_misfit(const pb_attributes *saved, const pb_attributes *expected);

#endif
