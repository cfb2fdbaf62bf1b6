/* run_state.c: the run of a job in its state folder. Rank 0 claims the folder and settles it; in between each rank makes its
 * files in it by itself. Why this fences off an earlier run, and what is not done instead, is in docs/decisions/0024 and
 * io/state.h. */
#include "jobs/run_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "jobs/summary.h"

#include <string.h>
#include <unistd.h>

static const double COST_MOST = 0.05; /* of the time goes into saving */

/* On rank 0. */
static pb_status claim(const pb_job *job, const char *output, pb_state *state) {
    pb_generation generation;
    PB_TRY(pb_generation_parse(job->options->generation, &generation));
    return pb_state_claim(output, generation, state);
}

/* On rank 0. That nobody can see how far a job is, is no reason not to do it. */
static void show(const pb_job *job, pb_run *run) {
    pb_status status = pb_pulse_begin(job->name, pb_comm_size(job->comm), run->state.run, job->options->generation,
                                      &job->summary->pulse);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "not-shown", "reason=\"%s\"", status.message);
    if (job->summary->open)
        pb_pulse_step(job->summary->pulse, job->summary->open->name);
    run->pulse = &job->summary->pulse;
}

/* The claim is rank 0's: of several one would fence off the others. All get its folder by a broadcast, never by making up the
 * name themselves. Only afterwards is run->comm set, which makes it a run that must be ended. */
pb_status pb_run_begin(const pb_job *job, const char *output, pb_run *run) {
    pb_comm *comm = job->comm;
    double now = pb_clock_seconds();
    *run = (pb_run){.begun = now, .interval_s = job->options->checkpoint, .saved = now};
    bool claims = pb_comm_rank(comm) == 0;
    pb_status status = pb_agree(comm, claims ? claim(job, output, &run->state) : pb_ok());
    if (status.code == PB_E_NO)
        pb_log_once(PB_LOG_WARN, "fenced", "reason=\"%s\"", status.message);
    if (pb_failed(&status))
        return status;
    run->comm = comm;
    pb_comm_broadcast(comm, &run->state, sizeof run->state, 0, "the state folder");
    status = pb_agree(comm, pb_output_room(run->state.run, pb_comm_rank(comm)));
    if (pb_failed(&status))
        pb_run_end(run, &status);
    else if (claims)
        show(job, run);
    return status;
}

/* `saved` is when the run began until something is saved, so that a job that is shorter than --checkpoint saves nothing. */
bool pb_run_due(const pb_run *run) {
    double since = pb_clock_seconds() - run->saved;
    return since >= run->interval_s && since * COST_MOST >= run->cost_s;
}

bool pb_run_is_long(const pb_run *run) { return pb_clock_seconds() - run->begun >= run->interval_s; }

void pb_run_saved(pb_run *run, double began) {
    run->saved = pb_clock_seconds();
    run->cost_s = run->interval_s > 0 ? run->saved - began : 0; /* 0: as often as possible, whatever it costs */
}

/* A run that is fenced off must not go on: its work belongs to another now. */
pb_status pb_run_tolerate(pb_status status) {
    if (!pb_failed(&status) || status.code == PB_E_NO)
        return status;
    pb_log(PB_LOG_WARN, "no-checkpoint", "reason=\"%s\"", status.message);
    return pb_ok();
}

/* On rank 0, after all others have ended their writing. A run that was stopped but has lost its folder meanwhile was fenced off,
 * too: another run does its work by now, and that is said. What is removed or left is the state's, by io/state.h, which looks
 * again who owns it. */
static void settle(pb_run *run, const pb_status *status) {
    if (status->code == PB_OK) {
        pb_status removed = pb_state_remove(&run->state);
        if (pb_failed(&removed))
            pb_log(PB_LOG_WARN, "state-left", "reason=\"%s\"", removed.message);
        return;
    }
    bool owns = access(run->state.run, F_OK) == 0;
    if (status->code == PB_E_REQUEUE && owns)
        pb_log(PB_LOG_INFO, "stopped", "state=\"%s\"", run->state.folder);
    if (status->code == PB_E_NO || (status->code == PB_E_REQUEUE && !owns))
        pb_log(PB_LOG_WARN, "fenced", "reason=\"%s\"", status->message);
    pb_state_leave(&run->state);
}

/* The barrier is what makes settling safe: no rank writes into the folder any more. */
void pb_run_end(pb_run *run, const pb_status *status) {
    if (!run->comm)
        return;
    if (run->pulse)
        pb_pulse_end(run->pulse);
    pb_comm_barrier(run->comm, "the end of a run");
    pb_status reset = pb_output_room(NULL, 0); /* cannot fail */
    (void)reset;
    if (pb_comm_rank(run->comm) == 0)
        settle(run, status);
    *run = (pb_run){0};
}

/* Claiming first fences off a run that may still be alive; what it has in hand can get no final name then, so nothing is removed
 * that somebody still makes. */
void pb_run_tidy(const pb_job *job, const char *output) {
    char folder[PB_PATH_MAX];
    pb_state state;
    pb_status status = pb_state_name(output, folder);
    if (!pb_failed(&status) && !pb_is_folder(folder))
        return;
    if (!pb_failed(&status))
        status = claim(job, output, &state);
    if (!pb_failed(&status))
        status = pb_state_remove(&state);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "state-left", "reason=\"%s\"", status.message);
    else
        pb_log(PB_LOG_INFO, "state-removed", "state=\"%s\" reason=\"nothing goes on from it any more\"", folder);
}

/* A missing attribute is a difference: a file of an older version that did not know it may have been made in another way. */
const char *pb_run_misfit(const pb_attributes *saved, const pb_attributes *expected) {
    for (size_t i = 0; i < expected->count; i++) {
        const char *other = pb_attributes_get(saved, expected->names[i]);
        if (!other || strcmp(other, expected->values[i]) != 0)
            return expected->names[i];
    }
    return "";
}
