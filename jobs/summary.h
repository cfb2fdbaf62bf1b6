/* summary.h: private to jobs/: what a job did, how fast, and who held it up: --summary FILE, as JSON (docs/FORMATS.md).
 *
 * A job goes through steps one after the other ("extract", "select"). Every rank notes of each step how long it took, how much of
 * that it worked, waited in collectives and used processors, and what it got done; at the end rank 0 gathers all that and writes
 * one file, also when the job failed or was stopped. Only then do ranks exchange anything: a few hundred bytes a step and rank.
 * Nothing here goes into outputs that must be the same bytes whoever made them. Fault point: summary.write (ENOSPC).
 */
#ifndef PB_JOBS_SUMMARY_H
#define PB_JOBS_SUMMARY_H

#include "base/clock.h"
#include "base/usage.h"
#include "jobs/job.h"
#include "jobs/pulse.h"
#include "jobs/stages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PB_STEPS_MAX = 12, PB_STEP_NAME = 16, PB_SUMMARY_TEXT = 160 };

/* One rank's part of a step. Plain data, as it travels to rank 0. Times are seconds by the clock, but for processor_s, which is
 * of all threads. */
typedef struct pb_step {
    char name[PB_STEP_NAME], unit[PB_STEP_NAME]; /* unit: of what is done; "" where nothing is counted */
    uint64_t done;                               /* items of `unit` */
    double seconds, waiting_s, processor_s; /* waiting: in collectives, and part of `seconds` */
    uint64_t collectives, sent_bytes;       /* entered; sent in them */
    pb_stages stages; /* zeros where no images went through a pipeline */
} pb_step;

/* One rank's job. Plain data; nothing to release. */
struct pb_summary {
    pb_comm *comm;   /* borrowed */
    pb_pulse *pulse; /* borrowed; is told of the steps. NULL: nobody asks */
    char began[PB_TIMESTAMP_MAX]; /* UTC, of this rank */
    double begun; /* pb_clock_seconds */
    char device[PB_SUMMARY_TEXT], arithmetic[PB_SUMMARY_TEXT]; /* "" for jobs without a device */
    size_t count;                                              /* of steps, in the order in which they were first begun */
    pb_step steps[PB_STEPS_MAX];
    pb_step *open; /* the step that goes on, NULL between steps */
    double step_begun, step_processor_s; /* of the open step: pb_clock_seconds, and processor seconds used until then */
    pb_comm_counters step_counters;      /* likewise */
};

/* Not collective, as all that follow but the last. Begins an empty summary; keep it where it is, as `open` points into it. From
 * now on the job's time counts. comm is borrowed. */
void pb_summary_begin(pb_summary *summary, pb_comm *comm);

/* Begins a step and ends the one before; one of the same name goes on from what it was. Both texts are copied and shorter than
 * PB_STEP_NAME; at most PB_STEPS_MAX names, or it is an assertion. All ranks begin the same steps in the same order: steps are
 * compared by their numbers. */
void pb_summary_step(const pb_job *job, const char *name, const char *unit);

/* `more` items of the present step are done on this rank; there must be one. */
void pb_summary_done(const pb_job *job, uint64_t more);

/* What the pipeline did in the present step; its images are items done. */
void pb_summary_stages(const pb_job *job, const pb_stages *more);

/* What the ranks drive; texts of gpu/device.h, copied, cut at PB_SUMMARY_TEXT. Rank 0's are shown. */
void pb_summary_device(const pb_job *job, const char *description, const char *arithmetic);

/* On rank 0, before the work: whether --summary can be written. Errors: those of pb_output_begin. */
PB_CHECKED pb_status pb_summary_check(const pb_job *job);

/* Collective. Ends the last step and writes --summary, if one is wanted; `status`: how the job ended, agreed; a run
 * that was fenced off (jobs/run_state.h) leaves the file to its successor. A summary that
 * cannot be written is a warning: what the job made is there all the same. */
void pb_summary_write(const pb_job *job, const pb_status *status);

#endif
