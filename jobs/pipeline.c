/* pipeline.c: the feeder's batches, judged, put to the device and taken from it as features.
 *
 * Where a device copies beside its work (a GPU), batch k + 1 is put, that is on its way there, before batch k goes to the caller.
 * So two batches are known at a time, and each has an account of its good images; the accounts take turns. Three trays of the
 * feeder follow from it: one whose inputs are being copied, one complete, one in the making. Bad images are judged on the
 * caller's thread and in order, because only that thread may use HDF5 (docs/decisions/0023), and so that rejects do not depend on
 * threads. Good images then move up in the tray, so that the network gets no gaps. */
#include "jobs/pipeline.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

/* What is said of a batch: of its good images, in order. slot: the place in the batch that was asked for. */
typedef struct account {
    size_t good;
    uint64_t *index; /* [batch_max], as all that follows */
    size_t *slot;
    double (*brightness)[PB_BRIGHTNESS_STATS];
} account;

struct pb_pipeline {
    pb_pipeline_setup setup;
    pb_extractor *extractor;
    size_t batch_max;     /* images */
    account accounts[2];  /* of the batch that the caller has, and of the one that was put to the device since; by turns */
    int turn;             /* the account of the batch that was put last */
    bool is_put;          /* a batch is at the device or on its way there that the caller has not got */
    const uint64_t *pass; /* [pass_count] the pass's images */
    size_t pass_count, put_count; /* put_count: of them, images whose batch was put */
    pb_feeder *feeder;    /* NULL: no pass is open */
    pb_stages stages;
};

/* What an unfinished one leaves is freed by pb_pipeline_free. */
static pb_status allocate(pb_pipeline *pipeline) {
    const pb_pipeline_setup *setup = &pipeline->setup;
    PB_TRY(pb_extractor_create(setup->device, setup->network, &setup->features, setup->batch, &pipeline->extractor));
    size_t batch = pipeline->batch_max = pb_extractor_images_max(pipeline->extractor);
    for (int a = 0; a < 2; a++) {
        account *of = &pipeline->accounts[a];
        PB_TRY(pb_allocate(&of->index, batch, sizeof *of->index, "a batch"));
        PB_TRY(pb_allocate(&of->slot, batch, sizeof *of->slot, "a batch"));
        PB_TRY(pb_allocate(&of->brightness, batch, sizeof *of->brightness, "a batch"));
    }
    return pb_ok();
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

/* Frees what there is, also of one that was not made to its end. */
void pb_pipeline_free(pb_pipeline **pipeline) {
    if (!*pipeline)
        return;
    pb_pipeline_end(*pipeline);
    pb_extractor_free(&(*pipeline)->extractor);
    for (int a = 0; a < 2; a++) {
        pb_release(&(*pipeline)->accounts[a].index);
        pb_release(&(*pipeline)->accounts[a].slot);
        pb_release(&(*pipeline)->accounts[a].brightness);
    }
    pb_release(pipeline);
}

pb_size pb_pipeline_grid(const pb_pipeline *pipeline) { return pb_extractor_grid(pipeline->extractor); }

int pb_pipeline_dim(const pb_pipeline *pipeline) { return pb_extractor_dim(pipeline->extractor); }

size_t pb_pipeline_patches(const pb_pipeline *pipeline) { return pb_size_area(pb_pipeline_grid(pipeline)); }

size_t pb_pipeline_batch_max(const pb_pipeline *pipeline) { return pipeline->batch_max; }

const pb_stages *pb_pipeline_stages(const pb_pipeline *pipeline) { return &pipeline->stages; }

/* --- a pass ----------------------------------------------------------------------------------------------------- */

/* The one place where a feeder is set up: for passes, and for what a benchmark measures alone. */
pb_status pb_pipeline_feed(const pb_pipeline *pipeline, const uint64_t *index, size_t count, pb_feeder **feeder_out) {
    pb_feeder_setup feeder = {.archive = pipeline->setup.archive,
                              .index = index,
                              .count = count,
                              .batch_max = pipeline->batch_max,
                              .how = pipeline->setup.how,
                              .device = pipeline->setup.device,
                              .decoders = pipeline->setup.decoders};
    return pb_feeder_begin(&feeder, feeder_out);
}

/* The stages are of one pass: whoever wants sums adds them up after each. */
pb_status pb_pipeline_begin(pb_pipeline *pipeline, const uint64_t *index, size_t count) {
    PB_ASSERT(!pipeline->feeder);
    pipeline->pass = index;
    pipeline->pass_count = count;
    pipeline->put_count = 0;
    pipeline->stages = (pb_stages){0};
    return pb_pipeline_feed(pipeline, index, count, &pipeline->feeder);
}

/* A batch that was put is in the feeder's memory, so it is given up before that goes. */
void pb_pipeline_end(pb_pipeline *pipeline) {
    if (pipeline->is_put)
        pb_extractor_drop(pipeline->extractor);
    pipeline->is_put = false;
    pb_feeder_end(&pipeline->feeder, &pipeline->stages);
    pipeline->pass = NULL;
}

/* Puts the image's path before what is wrong with it. Where even that cannot be read, the message stays as it is. */
static pb_status name_image(pb_archive *archive, uint64_t index, pb_status status) {
    pb_record record;
    pb_status found = pb_archive_record(archive, index, &record);
    return pb_failed(&found) ? status : pb_prefix(status, record.path);
}

/* Reads an image that the stream did not have, the careful way: through HDF5, which has the last word on what is damaged. *read:
 * whether there was something to decode. */
static pb_status read_again(pb_pipeline *pipeline, uint64_t index, size_t place, pb_fed *fed, bool *read) {
    const pb_preparation *how = &pipeline->setup.how;
    pb_span span;
    pb_status status = pb_archive_read(pipeline->setup.archive, index, 1, &span);
    *read = !pb_failed(&status);
    pipeline->stages.read_again++;
    return *read ? pb_prepare(how, span, fed->inputs + place * pb_prepared_bytes(how), fed->brightness[place]) : status;
}

/* The verdict on image `place` of the batch, with its name. */
static pb_status judge(pb_pipeline *pipeline, size_t place, pb_fed *fed) {
    uint64_t index = pipeline->pass[fed->first + place];
    bool read = true;
    pb_status status = fed->unread[place] ? read_again(pipeline, index, place, fed, &read) : fed->verdict[place];
    /* What is wrong with an archive names itself. */
    return read ? name_image(pipeline->setup.archive, index, status) : status;
}

/* An image of a shard whose columns are damaged has no path to be told by. */
static void reject(pb_pipeline *pipeline, uint64_t index, const pb_status *why, pb_rejects *rejects) {
    pb_record record;
    pb_status found = pb_archive_record(pipeline->setup.archive, index, &record);
    pb_rejects_add(rejects, index, pb_failed(&found) ? "" : record.path, why);
}

/* Puts the image at `place` behind the good ones before it. */
static void keep(pb_pipeline *pipeline, const pb_fed *fed, size_t place, account *to) {
    size_t bytes = pb_prepared_bytes(&pipeline->setup.how), good = to->good++;
    if (good != place)
        memcpy(fed->inputs + good * bytes, fed->inputs + place * bytes, bytes);
    memcpy(to->brightness[good], fed->brightness[place], sizeof *fed->brightness);
    to->index[good] = pipeline->pass[fed->first + place];
    to->slot[good] = place;
}

/* Closes the gaps that bad images left. A failure of the machine (no memory) is not the image's fault: it ends the pass, and is
 * not counted. The budget is looked at once a batch. */
static pb_status keep_good(pb_pipeline *pipeline, pb_fed *fed, pb_rejects *rejects, account *to) {
    to->good = 0;
    for (size_t i = 0; i < fed->count; i++) {
        pb_status status = pb_failed(&fed->verdict[i]) || fed->unread[i] ? judge(pipeline, i, fed) : pb_ok();
        if (status.code == PB_E_INPUT)
            reject(pipeline, pipeline->pass[fed->first + i], &status, rejects);
        else if (pb_failed(&status))
            return status;
        else
            keep(pipeline, fed, i, to);
    }
    return pb_rejects_check(rejects);
}

/* For the benchmark: outside of a pass, without feeder and accounts. */
pb_status pb_pipeline_run(pb_pipeline *pipeline, const uint8_t *inputs, size_t count) {
    const float *features;
    double begun = pb_clock_seconds();
    pb_status status = pb_extractor_run(pipeline->extractor, inputs, count, &features);
    pipeline->stages.device_busy_s += pb_clock_seconds() - begun;
    pipeline->stages.images += count;
    return status;
}

/* Waits for the next batch of the feeder, judges it and begins to bring it to the device. A batch of which nothing was good is
 * put all the same, with 0 images: batches keep their count. */
static pb_status put_next(pb_pipeline *pipeline, pb_rejects *rejects) {
    account *to = &pipeline->accounts[pipeline->turn ^= 1];
    pb_fed fed;
    double begun = pb_clock_seconds();
    pb_feeder_next(pipeline->feeder, &fed);
    pipeline->stages.device_wait_s += pb_clock_seconds() - begun;
    PB_ASSERT(fed.count > 0);
    pipeline->put_count = fed.first + fed.count;
    PB_TRY(keep_good(pipeline, &fed, rejects, to));
    begun = pb_clock_seconds();
    PB_TRY(pb_extractor_put(pipeline->extractor, fed.inputs, to->good));
    pipeline->stages.device_busy_s += pb_clock_seconds() - begun;
    pipeline->is_put = true;
    return pb_ok();
}

/* Features of the batch that was put, whose inputs the feeder gets back: they are on the device by now, whatever became of
 * them. */
static pb_status take(pb_pipeline *pipeline, pb_batch *batch) {
    const account *of = &pipeline->accounts[pipeline->turn];
    const float *features;
    double begun = pb_clock_seconds();
    pb_status status = pb_extractor_take(pipeline->extractor, &features);
    pipeline->is_put = false;
    pipeline->stages.device_busy_s += pb_clock_seconds() - begun;
    pipeline->stages.images += of->good;
    if (pb_failed(&status))
        return status;
    pb_feeder_release(pipeline->feeder); /* the next batch but two can be made while the caller works */
    *batch = (pb_batch){.count = of->good,
                        .index = of->index,
                        .slot = of->slot,
                        .brightness = (const double(*)[PB_BRIGHTNESS_STATS])of->brightness,
                        .features = features};
    return status;
}

/* In a pass on a device that sends ahead the first call puts two batches and takes one, every later one puts one and takes one,
 * the last one only takes. On others nothing is put in advance: it would only wait. */
pb_status pb_pipeline_next(pb_pipeline *pipeline, pb_rejects *rejects, pb_batch *batch) {
    PB_ASSERT(pipeline->feeder);
    *batch = (pb_batch){0};
    if (!pipeline->is_put)
        PB_TRY(put_next(pipeline, rejects));
    PB_TRY(take(pipeline, batch));
    if (pb_device_sends_ahead(pipeline->setup.device) && pipeline->put_count < pipeline->pass_count)
        PB_TRY(put_next(pipeline, rejects));
    return pb_ok();
}
