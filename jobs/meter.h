/* meter.h: private to jobs/: measuring the constants of jobs/constants.h; the parts of bench_constants.c. Each function measures
 * one kind and puts what it finds into m->found. Seconds by the clock or of processors, of this rank.
 *
 * Each needs what those before it have left in the meter: selection the rows that extraction kept, search the coreset, the disk
 * the bank's paths. */
#ifndef PB_JOBS_METER_H
#define PB_JOBS_METER_H

#include "coreset/coreset.h"
#include "coreset/projection.h"
#include "io/bank_file.h"
#include "jobs/constants.h"
#include "jobs/setup.h"

/* One rank's state. Zeroed it is empty. */
typedef struct pb_meter {
    const pb_job *job;
    pb_attributes attributes; /* the command's recorded options, as texts */
    pb_request request;       /* of these */
    pb_setup setup;
    pb_rejects rejects; /* of the present pass */
    pb_projection *projection;
    pb_comm *self;         /* this rank alone */
    pb_device_comm *alone; /* likewise */
    uint64_t *images;      /* [count] that were good, archive indices */
    size_t count, wanted;
    float *rows; /* [select_images * patches][selection dim]: projected patches of the first ones, host memory */
    size_t select_images;
    pb_coreset coreset; /* of the smaller selection */
    pb_bank bank;       /* its rows */
    pb_constants found; /* filled by all the parts */
} pb_meter;

/* Patches of an image; bytes of one as selection sees it. */
static inline size_t pb_meter_patches(const pb_meter *m) { return pb_pipeline_patches(m->setup.pipeline); }

static inline size_t pb_meter_row_bytes(const pb_meter *m) {
    return (size_t)pb_projection_dim(m->projection) * sizeof(float);
}

/* --- meter_select.c: not collective --- */

/* What selection costs, from m->rows; m->coreset is its result. Errors: the device's; PB_E_INPUT when the sample is too small or
 * too much alike for two sizes of selection. */
PB_CHECKED pb_status pb_meter_selection(pb_meter *m);

/* What comparing the patches of a place costs, from m->rows: to find the nearest; lof costs a few hundredths more. Errors:
 * PB_E_SYSTEM. */
PB_CHECKED pb_status pb_meter_comparison(pb_meter *m);

/* What search costs, in the bank of m->coreset, which m->bank then is: a batch's patches against all its rows. Also the mean
 * length of paths. Errors: those of the pipeline and the device. */
PB_CHECKED pb_status pb_meter_search(pb_meter *m);

/* --- meter_machine.c --- */

/* Rank 0, not collective: how fast a file is written beside --json, and what the results of an image cost. Its own files there
 * are removed. Errors: those of writing. */
PB_CHECKED pb_status pb_meter_disk(pb_meter *m);

/* Not collective. How fast memory is copied. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_meter_memory(pb_meter *m);

/* Collective: messages between the ranks, all of them at once. On one rank nothing is measured and the constants stay 0. Errors,
 * agreed: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_meter_link(pb_meter *m);

#endif
