/* setup.h: private to jobs/: everything a job needs to turn an archive's images into features, opened in one go and agreed on.
 * What train and score begin with.
 *
 * A setup is one rank's; its parts are the rank's own but for what is agreed: edition of the archive, weights, batch. Which
 * device a rank drives and how many threads it has changes speed; that all ranks have one kind of processor is what equal bits
 * need, so it is compared and a difference is a warning (docs/ARCHITECTURE.md, invariant 4). */
#ifndef PB_JOBS_SETUP_H
#define PB_JOBS_SETUP_H

#include "jobs/job.h"
#include "jobs/pipeline.h"
#include "jobs/request.h"
#include "jobs/selection.h"
#include "jobs/weights.h"
#include "mpi/device_comm.h"

/* Zeroed it is empty. Everything in it is owned, but for the texts of the request. */
typedef struct pb_setup {
    pb_archive *archive;     /* as it was when it was opened, the same edition on every rank */
    pb_device *device;       /* that this rank drives */
    pb_device_comm *devices; /* of the job's ranks and this device */
    pb_pipeline *pipeline;   /* for batches of `batch` */
    pb_selection selection;  /* this rank's images */
    pb_request request; /* as it was given */
    int batch;          /* tiles that the devices of all ranks take at once: --batch, or fewer */
    const char *taps; /* as used; static or the request's */
    bool cosine;      /* distances are 1 - cosine: pb_setup_distance */
    char weights[PB_WEIGHTS_IDENTITY_MAX]; /* identity of the weights (jobs/weights.h) */
    int threads;                           /* CPU threads of the device */
} pb_setup;

/* Collective. Opens archive, weights, device and pipeline as the job's options and the request say, for the images of `which`.
 * The request's texts are borrowed for the life of the setup. parts: 0: the images are divided evenly among the ranks; else so
 * many parts of them are (jobs/selection.h). Logs once what was opened. Errors, agreed: those of opening each; PB_E_USAGE when
 * two ranks drive one GPU without --share-device; PB_E_SYSTEM when memory is out even for batches of one tile. The setup is then
 * empty. */
PB_CHECKED pb_status pb_setup_open(const pb_job *job, const pb_request *request, pb_which which, int parts, pb_setup *setup);
/* Not collective. Closes in the order of dependence; an empty or zeroed setup is fine. */
void pb_setup_close(pb_setup *setup);

/* Collective. For what is made on the device after the setup and may find no memory left. `status`, agreed: what came of it.
 * If it is PB_E_SYSTEM and batches can be smaller, the pipeline is made again for half of them on all ranks, which is logged
 * once, and *again is true: the caller frees what was made of its own and makes it again; results do not depend on batches.
 * Else, or when the smaller pipeline cannot be made either, `status` is returned; the pipeline may be gone then. Not in a pass.
 */
PB_CHECKED pb_status pb_setup_relieve(const pb_job *job, pb_setup *setup, pb_status status, bool *again);

/* Collective. As pb_setup_open, by what the command line itself asks for: *attributes gets its recorded options, *request points
 * into them; both are the caller's, in any case. */
PB_CHECKED pb_status pb_setup_open_own(const pb_job *job, pb_which which, pb_attributes *attributes, pb_request *request,
                                       pb_setup *setup);

/* What a distance between features counts as: itself, or half its square, which between unit rows is 1 - cosine: |x - y|^2 = 2 -
 * 2 cos (docs/decisions/0016). */
static inline float pb_setup_distance(const pb_setup *setup, float distance) {
    return setup->cosine ? 0.5f * (distance * distance) : distance;
}

/* CPU threads of this rank: --threads, or its fair share. Not collective. */
int pb_setup_threads(const pb_job *job);

/* Opens the device of this rank, --device, for so many CPU threads; owned by the caller. "cuda" without a number takes the usable
 * GPUs by turns among the ranks of a host. Not collective. Errors: pb_device_open's. */
PB_CHECKED pb_status pb_setup_device(const pb_job *job, int threads, pb_device **device);

/* Threads of this rank that decode: --decoders, or as many as pb_setup_threads. Not collective. */
int pb_setup_decoders(const pb_job *job);

#endif
