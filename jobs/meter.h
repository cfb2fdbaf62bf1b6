/* meter.h: private to jobs/: measuring the constants of jobs/constants.h; the parts of bench_constants.c. Each function measures
 * one kind and puts what it finds into m->found. */
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
    pb_attributes attributes;
    pb_request request;
    pb_setup setup;
    pb_rejects rejects;
    pb_projection *projection;
    pb_comm *self;         /* this rank alone */
    pb_device_comm *alone; /* likewise */
    uint64_t *images;      /* [count] that were good, archive indices */
    size_t count, wanted;
    float *rows; /* [select_images * patches][selection dim]: projected patches of the first ones, host memory */
    size_t select_images;
    pb_coreset coreset; /* of the smaller selection */
    pb_bank bank;       /* its rows */
    pb_constants found;
} pb_meter;

static inline size_t pb_meter_patches(const pb_meter *m) { return pb_pipeline_patches(m->setup.pipeline); }

static inline size_t pb_meter_row_bytes(const pb_meter *m) {
    return (size_t)pb_projection_dim(m->projection) * sizeof(float);
}

/* --- meter_select.c: not collective --- */

/* What selection costs, from m->rows; m->coreset is its result. */
PB_CHECKED pb_status pb_meter_selection(pb_meter *m);

/* What search costs, in the bank of m->coreset, which m->bank then is. */
PB_CHECKED pb_status pb_meter_search(pb_meter *m);

/* --- meter_machine.c --- */

/* Rank 0, not collective: how fast a file is written beside --json, and what the results of an image cost. */
PB_CHECKED pb_status pb_meter_disk(pb_meter *m);

/* Not collective. */
PB_CHECKED pb_status pb_meter_memory(pb_meter *m);

/* Collective: messages between the ranks, all of them at once. */
PB_CHECKED pb_status pb_meter_link(pb_meter *m);

#endif
