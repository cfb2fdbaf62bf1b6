#include "jobs/train.h"

#include "base/log.h"
#include "mpi/partition.h"

#include <string.h>

static pb_status name_patch(pb_training *t, const pb_batch *batch, size_t patch) {
    size_t columns = (size_t)pb_pipeline_grid(t->setup.pipeline).width, inside = patch % pb_training_patches(t);
    pb_record record;
    PB_TRY(pb_archive_record(t->setup.archive, batch->index[patch / pb_training_patches(t)], &record));
    return pb_fail(PB_E_INPUT, "%s: patch row %zu column %zu has a feature that is not finite; are these the right weights?",
                   record.path, inside / columns, inside % columns);
}

static pb_status count_defects(pb_training *t, const pb_batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        pb_record record;
        PB_TRY(pb_archive_record(t->setup.archive, batch->index[i], &record));
        t->defective += record.label == PB_LABEL_DEFECTIVE;
    }
    return pb_ok();
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
    return count_defects(t, batch);
}

/* The pass's next batch, whose patches begin at `*first` of the sink. */
static pb_status extract_batch(pb_training *t, size_t *first, pb_patch_sink sink) {
    pb_batch batch;
    PB_TRY(pb_pipeline_next(t->setup.pipeline, &t->rejects, &batch));
    PB_TRY(keep_batch(t, &batch, *first, sink));
    *first += batch.count * pb_training_patches(t);
    return pb_ok();
}

pb_status pb_train_extract_range(pb_training *t, size_t begin, size_t end, size_t longest, pb_patch_sink sink,
                                 pb_progress *progress) {
    pb_pipeline *pipeline = t->setup.pipeline;
    pb_comm *comm = t->job->comm;
    size_t batch_max = pb_pipeline_batch_max(pipeline), first = 0;
    pb_status status = pb_agree(comm, pb_pipeline_begin(pipeline, t->setup.selection.index + begin, end - begin));
    for (size_t done = 0; done < longest && !pb_failed(&status); done += batch_max) {
        if (begin + done < end)
            status = extract_batch(t, &first, sink);
        status = pb_agree(comm, status);
        size_t now = done + batch_max < longest ? done + batch_max : longest;
        pb_progress_update(progress, progress->total * now / longest);
    }
    pb_pipeline_end(pipeline);
    if (!pb_failed(&status))
        pb_stages_log(comm, "extract", pb_pipeline_stages(pipeline));
    return status;
}

static pb_status into_cover(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_cover_write(t->setup.device, t->cover, first, count, rows, not_finite);
}

static pb_status into_points(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_points_write(t->setup.device, t->points, first, count, rows, not_finite);
}

static pb_status create_sink(pb_training *t, bool step) {
    size_t capacity = t->setup.selection.count * pb_training_patches(t);
    int dim = pb_projection_dim(t->projection);
    return step ? pb_device_points_create(t->setup.device, capacity, dim, &t->points)
                : pb_device_cover_create(t->setup.device, capacity, dim, 0, &t->cover);
}

/* Collective. Defective images in the training split make the bank blind to their defects; that is said, once. */
static void warn_of_defects(pb_training *t) {
    t->defective = pb_comm_sum_u64(t->job->comm, t->defective, "defective training images");
    if (t->defective > 0)
        pb_log_once(PB_LOG_WARN, "defective-training-images",
                    "images=%llu effect=\"what is trained on is normal: these defects will not be found\"",
                    (unsigned long long)t->defective);
}

pb_status pb_train_count(pb_training *t, double seconds) {
    pb_comm *comm = t->job->comm;
    pb_status status = pb_rejects_agree(comm, &t->rejects);
    if (pb_failed(&status))
        return status;
    seconds = pb_comm_max_real(comm, seconds, "slowest extraction");
    t->total_images = pb_comm_sum_u64(comm, t->image_count, "number of training images");
    t->total_patches = t->total_images * pb_training_patches(t);
    t->first_patch = pb_comm_sum_before_u64(comm, t->image_count, "first training image") * pb_training_patches(t);
    warn_of_defects(t);
    pb_log_once(PB_LOG_INFO, "extracted", "images=%llu patches=%llu seconds=%.2f images_per_s=%.1f",
                (unsigned long long)t->total_images, (unsigned long long)t->total_patches, seconds,
                (double)t->total_images / seconds);
    if (t->total_patches == 0) /* the same on every rank */
        return pb_fail(PB_E_INPUT, "%s: no training image could be used", t->job->options->archive);
    return status;
}

pb_status pb_train_extract(pb_training *t) {
    pb_comm *comm = t->job->comm;
    const pb_selection *selection = &t->setup.selection;
    bool step = strcmp(t->job->options->coreset, "greedy-step") == 0;
    size_t longest = (size_t)pb_range_size(pb_partition(selection->total, pb_comm_size(comm), 0)); /* rank 0's is among them */
    pb_progress progress;
    pb_progress_begin(&progress, "extract", selection->total, "images", pb_comm_rank(comm) == 0);
    pb_status status = pb_agree(comm, create_sink(t, step));
    if (!pb_failed(&status))
        status = pb_train_extract_range(t, 0, selection->count, longest, step ? into_points : into_cover, &progress);
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        status = pb_train_count(t, seconds);
    if (!pb_failed(&status) && t->cover)
        pb_device_cover_place(t->setup.device, t->cover, (uint32_t)t->first_patch);
    return status;
}
