#include "jobs/train.h"

#include "base/log.h"

#include <string.h>

static pb_status name_patch(pb_training *t, const pb_batch *batch, size_t patch) {
    size_t grid = (size_t)pb_pipeline_grid(t->setup.pipeline), inside = patch % pb_training_patches(t);
    pb_record record;
    PB_TRY(pb_archive_record(t->setup.archive, batch->index[patch / pb_training_patches(t)], &record));
    return pb_fail(PB_E_INPUT, "%s: patch row %zu column %zu has a feature that is not finite; are these the right weights?",
                   record.path, inside / grid, inside % grid);
}

/* Projects a batch into the sink at local patch `first` and notes its images. */
static pb_status keep_batch(pb_training *t, const pb_batch *batch, size_t first, pb_patch_sink sink) {
    const float *projected;
    int64_t not_finite = -1;
    size_t rows = batch->count * pb_training_patches(t);
    PB_TRY(pb_projection_apply(t->projection, batch->features, rows, &projected));
    PB_TRY(sink(t, first, rows, projected, &not_finite));
    if (not_finite >= 0)
        return name_patch(t, batch, (size_t)not_finite - first);
    memcpy(t->images + t->image_count, batch->index, batch->count * sizeof *batch->index);
    t->image_count += batch->count;
    return pb_ok();
}

pb_status pb_train_extract_range(pb_training *t, size_t begin, size_t end, pb_patch_sink sink, pb_progress *progress) {
    const pb_selection *selection = &t->setup.selection;
    size_t batch_max = pb_pipeline_batch_max(t->setup.pipeline), first = 0;
    for (size_t at = begin; at < end; at += batch_max) {
        size_t count = end - at < batch_max ? end - at : batch_max;
        pb_batch batch;
        PB_TRY(pb_pipeline_run(t->setup.pipeline, selection->index + at, count, &t->rejects, &batch));
        PB_TRY(keep_batch(t, &batch, first, sink));
        first += batch.count * pb_training_patches(t);
        pb_progress_update(progress, (at + count) * selection->total / selection->count);
    }
    return pb_ok();
}

static pb_status into_cover(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_cover_write(t->setup.device, t->cover, first, count, rows, not_finite);
}

static pb_status into_points(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_points_write(t->setup.device, t->points, first, count, rows, not_finite);
}

static pb_status extract_mine(pb_training *t, pb_progress *progress) {
    size_t count = t->setup.selection.count, capacity = count * pb_training_patches(t);
    int dim = pb_projection_dim(t->projection);
    bool step = strcmp(t->job->options->coreset, "greedy-step") == 0;
    if (step)
        PB_TRY(pb_device_points_create(t->setup.device, capacity, dim, &t->points));
    else
        PB_TRY(pb_device_cover_create(t->setup.device, capacity, dim, 0, &t->cover));
    return pb_train_extract_range(t, 0, count, step ? into_points : into_cover, progress);
}

static pb_status check_totals(const pb_training *t) {
    if (t->total_patches == 0)
        return pb_fail(PB_E_INPUT, "%s: no training image could be used", t->job->options->archive);
    if (t->total_patches >= UINT32_MAX)
        return pb_fail(PB_E_UNSUPPORTED, "%llu training patches; this build selects from fewer than 2^32 - 1",
                       (unsigned long long)t->total_patches);
    return pb_ok();
}

pb_status pb_train_count(pb_training *t, pb_status local, double seconds) {
    pb_comm *comm = t->job->comm;
    pb_status status = pb_agree(comm, local);
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &t->rejects);
    if (pb_failed(&status))
        return status;
    seconds = pb_comm_max_real(comm, seconds, "slowest extraction");
    t->total_images = pb_comm_sum_u64(comm, t->image_count, "number of training images");
    t->total_patches = t->total_images * pb_training_patches(t);
    t->first_patch = pb_comm_sum_before_u64(comm, t->image_count, "first training image") * pb_training_patches(t);
    pb_log_once(PB_LOG_INFO, "extracted", "images=%llu patches=%llu seconds=%.2f images_per_s=%.1f",
                (unsigned long long)t->total_images, (unsigned long long)t->total_patches, seconds,
                (double)t->total_images / seconds);
    return check_totals(t); /* the same on every rank */
}

pb_status pb_train_extract(pb_training *t) {
    pb_progress progress;
    pb_progress_begin(&progress, "extract", t->setup.selection.total, "images", pb_comm_rank(t->job->comm) == 0);
    pb_status status = extract_mine(t, &progress);
    double seconds = pb_progress_end(&progress);
    status = pb_train_count(t, status, seconds);
    if (!pb_failed(&status) && t->cover)
        pb_device_cover_place(t->setup.device, t->cover, (uint32_t)t->first_patch);
    return status;
}
