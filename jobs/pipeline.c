#include "jobs/pipeline.h"

#include "base/memory.h"

#include <string.h>

struct pb_pipeline {
    pb_pipeline_setup setup;
    pb_extractor *extractor;
    size_t batch_max;   /* images */
    uint8_t *inputs;    /* [batch_max] images of fit.crop, one a slot */
    pb_span *spans;     /* [batch_max], as all that follows */
    pb_status *verdict;
    uint64_t *index;    /* of the good ones, and so on */
    size_t *slot;
    double (*brightness)[PB_BRIGHTNESS_STATS];
};

static size_t input_bytes(const pb_pipeline *pipeline) { return pb_size_area(pipeline->setup.fit.crop) * 3; }

static pb_status allocate(pb_pipeline *pipeline) {
    const pb_pipeline_setup *setup = &pipeline->setup;
    PB_TRY(pb_extractor_create(setup->device, setup->network, &setup->features, setup->batch, &pipeline->extractor));
    size_t batch = pipeline->batch_max = pb_extractor_images_max(pipeline->extractor);
    PB_TRY(pb_allocate(&pipeline->inputs, batch, input_bytes(pipeline), "network inputs"));
    PB_TRY(pb_allocate(&pipeline->spans, batch, sizeof *pipeline->spans, "a batch"));
    PB_TRY(pb_allocate(&pipeline->verdict, batch, sizeof *pipeline->verdict, "a batch"));
    PB_TRY(pb_allocate(&pipeline->index, batch, sizeof *pipeline->index, "a batch"));
    PB_TRY(pb_allocate(&pipeline->slot, batch, sizeof *pipeline->slot, "a batch"));
    return pb_allocate(&pipeline->brightness, batch, sizeof *pipeline->brightness, "a batch");
}

pb_status pb_pipeline_create(const pb_pipeline_setup *setup, pb_pipeline **pipeline_out) {
    *pipeline_out = NULL;
    pb_pipeline *pipeline;
    PB_TRY(pb_allocate(&pipeline, 1, sizeof *pipeline, "the pipeline"));
    pipeline->setup = *setup;
    pb_status status = allocate(pipeline);
    pipeline->setup.network = NULL;
    if (pb_failed(&status))
        pb_pipeline_free(&pipeline);
    *pipeline_out = pipeline;
    return status;
}

void pb_pipeline_free(pb_pipeline **pipeline) {
    if (!*pipeline)
        return;
    pb_extractor_free(&(*pipeline)->extractor);
    pb_release(&(*pipeline)->inputs);
    pb_release(&(*pipeline)->spans);
    pb_release(&(*pipeline)->verdict);
    pb_release(&(*pipeline)->index);
    pb_release(&(*pipeline)->slot);
    pb_release(&(*pipeline)->brightness);
    pb_release(pipeline);
}

pb_size pb_pipeline_grid(const pb_pipeline *pipeline) { return pb_extractor_grid(pipeline->extractor); }

int pb_pipeline_dim(const pb_pipeline *pipeline) { return pb_extractor_dim(pipeline->extractor); }

size_t pb_pipeline_patches(const pb_pipeline *pipeline) { return pb_size_area(pb_pipeline_grid(pipeline)); }

size_t pb_pipeline_batch_max(const pb_pipeline *pipeline) { return pipeline->batch_max; }

/* The shorter side that decoding must leave. */
static int shorter_side(pb_size resize) { return resize.height > resize.width ? resize.height : resize.width; }

/* Decodes one image of the batch into its slot. */
static pb_status prepare(pb_pipeline *pipeline, const pb_span *span, size_t slot) {
    const pb_pipeline_setup *setup = &pipeline->setup;
    pb_image image;
    PB_TRY(setup->dct_scaling ? pb_image_decode_scaled(span->bytes, span->size, shorter_side(setup->fit.resize), &image)
                              : pb_image_decode(span->bytes, span->size, &image));
    pb_image_brightness(&image, pipeline->brightness[slot]);
    pb_status status = pb_image_to_input(&image, &setup->fit, pipeline->inputs + slot * input_bytes(pipeline));
    pb_image_free(&image);
    return status;
}

/* Puts the image's path before what is wrong with it. */
static pb_status name_image(pb_archive *archive, uint64_t index, pb_status status) {
    pb_record record;
    pb_status found = pb_archive_record(archive, index, &record);
    return pb_failed(&found) ? status : pb_prefix(status, record.path);
}

/* Reads and decodes the consecutive images first .. first + count - 1 into slots slot .. Bad ones are noted in their verdicts. */
static pb_status take_run(pb_pipeline *pipeline, uint64_t first, size_t count, size_t slot) {
    pb_archive *archive = pipeline->setup.archive;
    pb_status status = pb_archive_read(archive, first, count, pipeline->spans);
    if (status.code == PB_E_INPUT && count > 1) { /* find out which one it is */
        for (size_t i = 0; i < count; i++)
            PB_TRY(take_run(pipeline, first + i, 1, slot + i));
        return pb_ok();
    }
    if (status.code == PB_E_INPUT) {
        pipeline->verdict[slot] = status;
        return pb_ok();
    }
    if (pb_failed(&status))
        return status;
#pragma omp parallel for schedule(dynamic) num_threads(pipeline->setup.threads)
    for (size_t i = 0; i < count; i++)
        pipeline->verdict[slot + i] = prepare(pipeline, &pipeline->spans[i], slot + i);
    for (size_t i = 0; i < count; i++)
        if (pb_failed(&pipeline->verdict[slot + i]))
            pipeline->verdict[slot + i] = name_image(archive, first + i, pipeline->verdict[slot + i]);
    return pb_ok();
}

static pb_status take_all(pb_pipeline *pipeline, const uint64_t *index, size_t count) {
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + 1;
        while (end < count && index[end] == index[end - 1] + 1)
            end++;
        PB_TRY(take_run(pipeline, index[begin], end - begin, begin));
        begin = end;
    }
    return pb_ok();
}

static void reject(pb_pipeline *pipeline, uint64_t index, const pb_status *why, pb_rejects *rejects) {
    pb_record record;
    pb_status found = pb_archive_record(pipeline->setup.archive, index, &record);
    pb_rejects_add(rejects, index, pb_failed(&found) ? "" : record.path, why);
}

/* Closes the gaps that bad images left. Returns how many are good. A failure of the machine (no memory) is not the image's fault.
 */
static pb_status keep_good(pb_pipeline *pipeline, const uint64_t *index, size_t count, pb_rejects *rejects, size_t *good_out) {
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        if (pb_failed(&pipeline->verdict[i])) {
            if (pipeline->verdict[i].code != PB_E_INPUT)
                return pipeline->verdict[i];
            reject(pipeline, index[i], &pipeline->verdict[i], rejects);
            continue;
        }
        if (good != i) {
            memcpy(pipeline->inputs + good * input_bytes(pipeline), pipeline->inputs + i * input_bytes(pipeline),
                   input_bytes(pipeline));
            memcpy(pipeline->brightness[good], pipeline->brightness[i], sizeof pipeline->brightness[i]);
        }
        pipeline->index[good] = index[i];
        pipeline->slot[good] = i;
        good++;
    }
    *good_out = good;
    return pb_rejects_check(rejects);
}

pb_status pb_pipeline_run(pb_pipeline *pipeline, const uint64_t *index, size_t count, pb_rejects *rejects, pb_batch *batch) {
    PB_ASSERT(count <= pipeline->batch_max);
    *batch = (pb_batch){0};
    size_t good = 0;
    const float *features = NULL;
    PB_TRY(take_all(pipeline, index, count));
    PB_TRY(keep_good(pipeline, index, count, rejects, &good));
    PB_TRY(pb_extractor_run(pipeline->extractor, pipeline->inputs, good, &features));
    *batch = (pb_batch){.count = good,
                        .index = pipeline->index,
                        .slot = pipeline->slot,
                        .brightness = (const double(*)[PB_BRIGHTNESS_STATS])pipeline->brightness,
                        .features = features};
    return pb_ok();
}
