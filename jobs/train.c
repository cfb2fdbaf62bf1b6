/* train.c: archive -> patch features -> projection -> greedy coreset -> memory bank. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "coreset/greedy.h"
#include "coreset/projection.h"
#include "io/file.h"
#include "jobs/collect.h"
#include "jobs/provenance.h"
#include "jobs/setup.h"

#include <string.h>

/* The state of one training, on one rank. Zeroed it is empty. */
typedef struct training {
    const pb_job *job;
    pb_setup setup;
    pb_projection *projection;
    pb_points *points; /* projected patches of this rank's images */
    pb_rejects rejects;
    uint64_t *images;  /* [image_count] the images that were good, archive indices */
    size_t image_count;
    uint64_t first_patch, total_images, total_patches;
    uint64_t *picked;  /* [picks] */
    float *radius;     /* [picks] */
    size_t picks;
} training;

static void training_free(training *t) {
    if (t->setup.device)
        pb_device_points_free(t->setup.device, &t->points);
    pb_projection_free(&t->projection);
    pb_setup_close(&t->setup);
    pb_release(&t->images);
    pb_release(&t->picked);
    pb_release(&t->radius);
}

static size_t patches(const training *t) { return pb_pipeline_patches(t->setup.pipeline); }

static pb_status allocate(training *t) {
    const pb_job_options *options = t->job->options;
    size_t count = t->setup.selection.count;
    PB_TRY(pb_allocate(&t->images, count, sizeof *t->images, "image indices"));
    PB_TRY(pb_projection_create(t->setup.device, (uint64_t)options->seed, pb_pipeline_dim(t->setup.pipeline),
                                (int)options->projection, &t->projection));
    return pb_device_points_create(t->setup.device, count * patches(t), pb_projection_dim(t->projection), &t->points);
}

static pb_status name_patch(training *t, const pb_batch *batch, size_t patch) {
    size_t grid = (size_t)pb_pipeline_grid(t->setup.pipeline), inside = patch % patches(t);
    pb_record record;
    PB_TRY(pb_archive_record(t->setup.archive, batch->index[patch / patches(t)], &record));
    return pb_fail(PB_E_INPUT, "%s: patch row %zu column %zu has a feature that is not finite; are these the right weights?",
                   record.path, inside / grid, inside % grid);
}

/* Projects a batch into the points and notes its images. */
static pb_status keep_batch(training *t, const pb_batch *batch) {
    const float *projected;
    int64_t not_finite = -1;
    size_t first = t->image_count * patches(t), rows = batch->count * patches(t);
    PB_TRY(pb_projection_apply(t->projection, batch->features, rows, &projected));
    PB_TRY(pb_device_points_write(t->setup.device, t->points, first, rows, projected, &not_finite));
    if (not_finite >= 0)
        return name_patch(t, batch, (size_t)not_finite - first);
    memcpy(t->images + t->image_count, batch->index, batch->count * sizeof *batch->index);
    t->image_count += batch->count;
    return pb_ok();
}

/* This rank's images, batch by batch. */
static pb_status extract_mine(training *t, pb_progress *progress) {
    const pb_selection *selection = &t->setup.selection;
    size_t batch_max = pb_pipeline_batch_max(t->setup.pipeline);
    for (size_t begin = 0; begin < selection->count; begin += batch_max) {
        size_t left = selection->count - begin, count = left < batch_max ? left : batch_max;
        pb_batch batch;
        PB_TRY(pb_pipeline_run(t->setup.pipeline, selection->index + begin, count, &t->rejects, &batch));
        PB_TRY(keep_batch(t, &batch));
        pb_progress_update(progress, (begin + count) * selection->total / selection->count);
    }
    return pb_ok();
}

/* Collective. */
static pb_status extract(training *t) {
    pb_comm *comm = t->job->comm;
    pb_progress progress;
    pb_progress_begin(&progress, "extract", t->setup.selection.total, "images", pb_comm_rank(comm) == 0);
    pb_status status = allocate(t);
    if (!pb_failed(&status))
        status = extract_mine(t, &progress);
    double seconds = pb_progress_end(&progress);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &t->rejects);
    if (pb_failed(&status))
        return status;
    seconds = pb_comm_max_real(comm, seconds, "slowest extraction");
    t->total_images = pb_comm_sum_u64(comm, t->image_count, "number of training images");
    t->total_patches = t->total_images * patches(t);
    t->first_patch = pb_comm_sum_before_u64(comm, t->image_count, "first training image") * patches(t);
    pb_log_once(PB_LOG_INFO, "extracted", "images=%llu patches=%llu seconds=%.2f images_per_s=%.1f",
                (unsigned long long)t->total_images, (unsigned long long)t->total_patches, seconds,
                (double)t->total_images / seconds);
    if (t->total_patches == 0)
        return pb_fail(PB_E_INPUT, "%s: no training image could be used", t->job->options->archive);
    if (t->total_patches >= UINT32_MAX)
        return pb_fail(PB_E_UNSUPPORTED, "%llu training patches; this build selects from fewer than 2^32 - 1",
                       (unsigned long long)t->total_patches);
    return pb_ok();
}

static void show_picks(void *context, size_t picks, float covering_radius) {
    (void)covering_radius;
    pb_progress_update(context, picks);
}

/* Collective. */
static pb_status select_coreset(training *t) {
    pb_comm *comm = t->job->comm;
    size_t wanted = pb_coreset_size(t->job->options->ratio, t->total_patches);
    pb_status status = pb_allocate(&t->picked, wanted, sizeof *t->picked, "picked patches");
    pb_keep_first(&status, pb_allocate(&t->radius, wanted, sizeof *t->radius, "covering radii"));
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    pb_progress progress;
    pb_progress_begin(&progress, "select", wanted, "patches", pb_comm_rank(comm) == 0);
    pb_greedy_input input = {.points = t->points,
                             .count = t->image_count * patches(t),
                             .first = t->first_patch,
                             .total = t->total_patches,
                             .dim = pb_projection_dim(t->projection),
                             .start = 0,
                             .picks = wanted,
                             .report = show_picks,
                             .context = &progress};
    pb_comm_counters before = pb_comm_count(comm);
    status = pb_greedy_select(comm, t->setup.device, &input, t->picked, t->radius, &t->picks);
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "selected",
                    "patches=%zu of=%llu dim=%d covering_radius=%.6g seconds=%.2f picks_per_s=%.1f collectives=%llu", t->picks,
                    (unsigned long long)t->total_patches, input.dim, (double)t->radius[t->picks - 1], seconds,
                    (double)t->picks / seconds, (unsigned long long)(pb_comm_count(comm).collectives - before.collectives));
    return status;
}

/* What the bank says of its making; on rank 0. */
static pb_status describe(const training *t, pb_attributes *attributes) {
    PB_TRY(pb_provenance(t->job, attributes));
    PB_TRY(pb_attributes_set(attributes, "taps", t->setup.taps));
    PB_TRY(pb_attributes_set(attributes, "weights", t->setup.weights));
    PB_TRY(pb_attributes_set(attributes, "archive_sha256", pb_archive_sha256(t->setup.archive)));
    PB_TRY(pb_attributes_set_u64(attributes, "grid", (uint64_t)pb_pipeline_grid(t->setup.pipeline)));
    PB_TRY(pb_attributes_set_u64(attributes, "training_images", t->total_images));
    PB_TRY(pb_attributes_set_u64(attributes, "training_patches", t->total_patches));
    PB_TRY(pb_attributes_set_u64(attributes, "selection_dim", (uint64_t)pb_projection_dim(t->projection)));
    return pb_attributes_set_u64(attributes, "selection_start", 0);
}

/* Collective. */
static pb_status write_bank(training *t) {
    pb_comm *comm = t->job->comm;
    double begun = pb_clock_seconds();
    pb_bank bank = {0};
    pb_collect_input input = {.comm = comm,
                              .device = t->setup.device,
                              .archive = t->setup.archive,
                              .pipeline = t->setup.pipeline,
                              .images = t->images,
                              .image_count = t->image_count,
                              .first_patch = t->first_patch,
                              .picked = t->picked,
                              .radius = t->radius,
                              .picks = t->picks};
    pb_status status = pb_collect_bank(&input, &bank);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = describe(t, &bank.attributes);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = pb_bank_write(t->job->options->bank, &bank);
    pb_bank_free(&bank);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "bank", "file=\"%s\" rows=%zu dim=%d seconds=%.2f", t->job->options->bank, t->picks,
                    pb_pipeline_dim(t->setup.pipeline), pb_clock_seconds() - begun);
    return status;
}

/* Collective. A night's work must not end at a folder that cannot be written: rank 0 finds out first. */
static pb_status check_output(const pb_job *job) {
    pb_output output = {0};
    pb_status status = pb_ok();
    if (pb_comm_rank(job->comm) == 0)
        status = pb_output_begin(&output, job->options->bank);
    pb_output_abandon(&output);
    return pb_agree(job->comm, status);
}

pb_status pb_job_train(const pb_job *job) {
    const pb_job_options *options = job->options;
    training t = {.job = job, .rejects = pb_rejects_begin((uint64_t)options->max_bad)};
    pb_setup_request request = {.backbone = options->backbone,
                                .taps = options->taps,
                                .resize = (int)options->resize,
                                .crop = (int)options->crop,
                                .which = PB_WHICH_TRAIN};
    pb_status status = check_output(job);
    if (!pb_failed(&status))
        status = pb_setup_open(job, &request, &t.setup);
    if (!pb_failed(&status))
        status = extract(&t);
    if (!pb_failed(&status))
        status = select_coreset(&t);
    if (!pb_failed(&status))
        status = write_bank(&t);
    training_free(&t);
    return status;
}
