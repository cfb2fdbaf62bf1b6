/* pipeline.h: private to jobs/: from images in an archive to patch features on the device. What train and score share.
 *
 * A batch goes through: one read of the encoded bytes, decoding and resizing on threads, the network and the neighbourhood
 * averaging on the device. A bad image (wrong checksum, does not decode) is left out and counted; the rest of its batch goes on.
 * Not collective; one rank's object.
 */
#ifndef PB_JOBS_PIPELINE_H
#define PB_JOBS_PIPELINE_H

#include "base/status.h"
#include "gpu/extractor.h"
#include "io/archive.h"
#include "io/resize.h"
#include "jobs/rejects.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pb_pipeline_setup {
    pb_device *device;         /* borrowed */
    pb_archive *archive;       /* borrowed */
    const pb_network *network; /* needed only during create */
    pb_features features;      /* features.image is fit.crop */
    pb_fit fit;
    bool dct_scaling;          /* decode large JPEGs smaller (io/image.h) */
    int batch;                 /* tiles that the device takes at once */
    int threads;               /* for decoding */
} pb_pipeline_setup;

typedef struct pb_pipeline pb_pipeline;

PB_CHECKED pb_status pb_pipeline_create(const pb_pipeline_setup *setup, pb_pipeline **pipeline_out);
void pb_pipeline_free(pb_pipeline **pipeline);

pb_size pb_pipeline_grid(const pb_pipeline *pipeline);
int pb_pipeline_dim(const pb_pipeline *pipeline);
size_t pb_pipeline_patches(const pb_pipeline *pipeline); /* an image: the area of the grid */
size_t pb_pipeline_batch_max(const pb_pipeline *pipeline); /* images */

/* The images of a batch that were good, in order. Everything belongs to the pipeline and is valid until its next run. */
typedef struct pb_batch {
    size_t count;             /* <= the number asked for */
    const uint64_t *index;    /* [count] in the archive */
    const size_t *slot;       /* [count] position in the batch asked for */
    const double (*brightness)[PB_BRIGHTNESS_STATS]; /* [count] of the image as decoded, by dct_scaling perhaps smaller */
    const float *features;    /* device memory, [count * patches][dim] */
} pb_batch;

/* Runs `count` <= pb_pipeline_batch_max images. Bad ones go to `rejects`. Errors: the machine's and the device's; PB_E_INPUT when
 * this rank alone is over the budget of rejects. */
PB_CHECKED pb_status pb_pipeline_run(pb_pipeline *pipeline, const uint64_t *index, size_t count, pb_rejects *rejects,
                                     pb_batch *batch);

#endif
