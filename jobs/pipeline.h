/* pipeline.h: private to jobs/: from images in an archive to patch features on the device. What train and score share.
 *
 * A pass goes through a list of images, batch by batch. Reading, decoding and resizing go on in threads (jobs/feeder.h) while the
 * caller's thread runs the network and does what it wants with the features. A bad image (wrong checksum, does not decode) is
 * left out and counted; the rest of its batch goes on. Batches and the order of rejects do not depend on threads.
 *   pb_pipeline_begin, pb_pipeline_next for each batch, pb_pipeline_end: at the end or at any time before, after errors too.
 * Not collective; one rank's object, used by one thread. During a pass the archive may be used by that thread. An image's
 * features are the same bits whatever else its batch holds (docs/ARCHITECTURE.md, invariant 4). */
#ifndef PB_JOBS_PIPELINE_H
#define PB_JOBS_PIPELINE_H

#include "base/status.h"
#include "gpu/extractor.h"
#include "io/archive.h"
#include "jobs/feeder.h"
#include "jobs/rejects.h"
#include "jobs/stages.h"

#include <stddef.h>
#include <stdint.h>

/* What a pipeline is made of; copied. */
typedef struct pb_pipeline_setup {
    pb_device *device;         /* borrowed */
    pb_archive *archive;       /* borrowed */
    const pb_network *network; /* needed only during create */
    pb_features features;      /* features.image is how.fit.crop */
    pb_preparation how;        /* from encoded bytes to an input */
    int batch;    /* tiles that the device takes at once */
    int decoders; /* threads that decode */
} pb_pipeline_setup;

typedef struct pb_pipeline pb_pipeline;

/* Compiles the network and allocates for the largest batch. Errors: those of pb_extractor_create; PB_E_SYSTEM when memory is out,
 * which fewer tiles at once may do with; *pipeline_out is NULL then. */
PB_CHECKED pb_status pb_pipeline_create(const pb_pipeline_setup *setup, pb_pipeline **pipeline_out);
void pb_pipeline_free(pb_pipeline **pipeline); /* ends a pass */

/* Patches of an image across and down; values of a feature; patches of an image; images of a batch. They stay the same for its
 * life. */
pb_size pb_pipeline_grid(const pb_pipeline *pipeline);
int pb_pipeline_dim(const pb_pipeline *pipeline);
size_t pb_pipeline_patches(const pb_pipeline *pipeline); /* an image: the area of the grid */
size_t pb_pipeline_batch_max(const pb_pipeline *pipeline); /* images */

/* The images of a batch that were good, in order; there may be none. Everything belongs to the pipeline and is valid until its
 * next call. */
typedef struct pb_batch {
    size_t count;             /* <= the number asked for */
    const uint64_t *index;    /* [count] in the archive */
    const size_t *slot;       /* [count] position in the batch asked for */
    const double (*brightness)[PB_BRIGHTNESS_STATS]; /* [count] of the image as decoded, by dct_scaling perhaps smaller */
    const float *features;    /* device memory, [count * patches][dim] */
} pb_batch;

/* Begins a pass through index[count], which is borrowed until its end. Batch k is asked for the images at k * batch_max .. of it.
 * Starts the threads. No pass may be open. Errors: PB_E_SYSTEM; no pass is open then. */
PB_CHECKED pb_status pb_pipeline_begin(pb_pipeline *pipeline, const uint64_t *index, size_t count);

/* The next batch of the pass; there must be one. Bad images go to `rejects`, in order; where the device sends ahead, also those
 * of the batch after it, which is on its way to the device when this returns. Errors: the machine's and the device's; PB_E_INPUT
 * when this rank alone is over the budget of rejects. After one only pb_pipeline_end may follow. */
PB_CHECKED pb_status pb_pipeline_next(pb_pipeline *pipeline, pb_rejects *rejects, pb_batch *batch);

/* Ends the pass, if one is open, and its threads. Batches that were not asked for are lost. */
void pb_pipeline_end(pb_pipeline *pipeline);

/* What the stages did in the pass that was ended last; so far, for the device, while it is open. */
const pb_stages *pb_pipeline_stages(const pb_pipeline *pipeline);

/* What a benchmark measures alone: a feeder of this pipeline's making, begun on index[count], and the device with the features on
 * `count` <= batch_max inputs in host memory. */
PB_CHECKED pb_status pb_pipeline_feed(const pb_pipeline *pipeline, const uint64_t *index, size_t count, pb_feeder **feeder_out);
PB_CHECKED pb_status pb_pipeline_run(pb_pipeline *pipeline, const uint8_t *inputs, size_t count);

#endif
