/* collect.h: private to jobs/: from picked patches to the rows of a memory bank.
 *
 * Selection keeps only projections, so the images that own a picked patch are extracted once more for the full features
 * (docs/decisions/0007). The result of an image depends on nothing but the image, so these are the features that were projected.
 * Cost: one extraction of each image that owns a pick, at most one a pick. Memory: a rank's rows; on rank 0 all rows twice, as
 * they arrived and as the bank. */
#ifndef PB_JOBS_COLLECT_H
#define PB_JOBS_COLLECT_H

#include "base/status.h"
#include "io/bank_file.h"
#include "jobs/pipeline.h"
#include "jobs/run_state.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* What is collected, one rank's view. Everything is borrowed, and but for images, image_count and first_patch the same on every
 * rank. */
typedef struct pb_collect_input {
    pb_comm *comm;
    pb_device *device;
    pb_archive *archive;
    pb_pipeline *pipeline;
    const uint64_t *images; /* [image_count] this rank's training images, archive indices, in the order of its points */
    size_t image_count;
    uint64_t first_patch;   /* global index of this rank's first patch */
    const uint64_t *picked; /* [picks] global patch indices in order of selection; the same on every rank */
    const float *radius;    /* [picks] */
    size_t picks;
    pb_run *run;                     /* where rows are saved, and taken up if an earlier run has saved some; NULL: nowhere */
    const pb_attributes *attributes; /* what a saved row must have been made by */
} pb_collect_input;

/* Collective. Fills the bank on rank 0, rows in the order of selection, without attributes; it is empty elsewhere, and after a
 * failure. Owned by the caller (pb_bank_free). Errors, agreed: those of the pipeline; PB_E_REQUEUE when any rank was asked to
 * stop, what there is being saved then; PB_E_INPUT naming an image that cannot be read any more, though it was selected from. */
PB_CHECKED pb_status pb_collect_bank(const pb_collect_input *input, pb_bank *bank);

#endif
