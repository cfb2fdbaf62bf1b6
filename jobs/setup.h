/* setup.h: private to jobs/: everything a job needs to turn an archive's images into features, opened in one go and agreed on.
 * What train and score begin with. */
#ifndef PB_JOBS_SETUP_H
#define PB_JOBS_SETUP_H

#include "jobs/job.h"
#include "jobs/pipeline.h"
#include "jobs/selection.h"
#include "jobs/weights.h"

/* Which features, from which images. */
typedef struct pb_setup_request {
    const char *backbone, *taps; /* taps "default": the backbone's */
    int resize, crop;            /* pixels */
    bool is_patchcore;           /* features as `patchcore` says; otherwise 3x3 means */
    pb_patchcore patchcore;
    pb_filter filter;            /* of resizing */
    bool dct_scaling;            /* decode large JPEGs smaller (io/image.h) */
    pb_which which;
    int parts; /* 0: images are divided evenly among the ranks; else so many parts of them are (jobs/selection.h) */
} pb_setup_request;

/* Zeroed it is empty. */
typedef struct pb_setup {
    pb_archive *archive;
    pb_device *device;
    pb_pipeline *pipeline;
    pb_selection selection;
    const char *taps; /* as used; static or the request's */
    char weights[PB_WEIGHTS_IDENTITY_MAX];
    int threads;
} pb_setup;

/* Collective. Opens archive, weights, device and pipeline as the job's options and the request say. Errors, agreed; the setup is
 * then empty. */
PB_CHECKED pb_status pb_setup_open(const pb_job *job, const pb_setup_request *request, pb_setup *setup);
void pb_setup_close(pb_setup *setup);

/* CPU threads of this rank: --threads, or its fair share. Not collective. */
int pb_setup_threads(const pb_job *job);

#endif
