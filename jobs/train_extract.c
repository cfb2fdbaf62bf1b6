/* train_extract.c: the first pass of a training: images -> patch features -> projected patches, in whatever the way of selecting
 * keeps them in (a pb_patch_sink).
 *
 * Ranks go through their images in step, a batch each, and agree after every one: a rank that fails or is asked to stop takes all
 * with it within a batch, and the watchdog sees a collective often (docs/ARCHITECTURE.md, invariant 5). A rank that has no images
 * left goes on agreeing. Speed does not suffer: readers and decoders work ahead meanwhile. A rank's images come from two sources,
 * by turns: stretches that an earlier run saved are read, stretches between them are extracted. Images in the sink stand in the
 * order of the selection either way, so that what is picked does not depend on what was saved. At any moment t->images[0 ..
 * image_count - 1] are the images whose patches are in the sink; of these, those from images_saved on are in no file of the
 * state. Read in the order of the file: a batch, a passage through all images, the sinks, denoising in between, and
 * pb_train_extract, which puts them together. */
#include "jobs/train.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "jobs/summary.h"

#include <string.h>

pb_status pb_train_check_size(const pb_training *t) {
    uint64_t patches = t->setup.selection.total * pb_training_patches(t);
    if (patches >= UINT32_MAX)
        return pb_fail(PB_E_UNSUPPORTED, "%llu training patches; this build selects from fewer than 2^32 - 1",
                       (unsigned long long)patches);
    return pb_ok();
}

/* The error for local patch `patch` of a batch, by image, row and column: weights of another network or a broken file show as
 * features that are not finite. */
static pb_status name_patch(pb_training *t, const pb_batch *batch, size_t patch) {
    size_t columns = (size_t)pb_pipeline_grid(t->setup.pipeline).width, inside = patch % pb_training_patches(t);
    pb_record record;
    PB_TRY(pb_archive_record(t->setup.archive, batch->index[patch / pb_training_patches(t)], &record));
    return pb_fail(PB_E_INPUT, "%s: patch row %zu column %zu has a feature that is not finite; are these the right weights?",
                   record.path, inside / columns, inside % columns);
}

/* Records come first: a damaged shard is found before anything is noted. */
pb_status pb_train_note_images(pb_training *t, const uint64_t *index, size_t count) {
    uint64_t defective = 0;
    for (size_t i = 0; i < count; i++) {
        pb_record record;
        PB_TRY(pb_archive_record(t->setup.archive, index[i], &record));
        defective += record.label == PB_LABEL_DEFECTIVE;
    }
    memcpy(t->images + t->image_count, index, count * sizeof *index);
    t->image_count += count;
    t->defective += defective;
    return pb_ok();
}

/* A rank's way through its images. */
typedef struct passage {
    pb_training *t;
    pb_patch_sink sink;
    size_t position, end; /* of this rank's selection: the next image, and the end */
    size_t stretch_end;   /* of the images that the pipeline is going through; == position: none */
    size_t first;         /* the next patch of the sink */
    pb_stages stages;     /* of the stretches that are over */
} passage;

/* Projects a batch into the sink. Good images only: the pipeline has left out bad ones, so that patches stay without gaps. */
static pb_status keep_batch(passage *p, const pb_batch *batch) {
    pb_training *t = p->t;
    const float *projected;
    int64_t not_finite = -1;
    size_t rows = batch->count * pb_training_patches(t);
    PB_TRY(pb_projection_apply(t->projection, batch->features, rows, &projected));
    PB_TRY(p->sink(t, p->first, rows, projected, &not_finite));
    if (not_finite >= 0)
        return name_patch(t, batch, (size_t)not_finite - p->first);
    p->first += rows;
    return pb_train_note_images(t, batch->index, batch->count);
}

/* Begins a pass of the pipeline over the images up to the next one that was saved. A pass is one stretch, since the pipeline
 * reads ahead in a list that must be known at its begin. Cost: a search in the saved files for each image. */
static pb_status begin_stretch(passage *p) {
    pb_rows *rows;
    size_t place, end = p->position + 1;
    while (end < p->end && pb_train_patches_find(p->t, end, 1, &rows, &place) == 0)
        end++;
    p->stretch_end = end;
    return pb_pipeline_begin(p->t->setup.pipeline, p->t->setup.selection.index + p->position, end - p->position);
}

/* The position moves by the images asked for, good or bad. At the end of a stretch its stages are added up, as the pipeline keeps
 * those of one pass. */
static pb_status extract_batch(passage *p) {
    pb_pipeline *pipeline = p->t->setup.pipeline;
    size_t left = p->stretch_end - p->position, most = pb_pipeline_batch_max(pipeline);
    pb_batch batch;
    PB_TRY(pb_pipeline_next(pipeline, &p->t->rejects, &batch));
    PB_TRY(keep_batch(p, &batch));
    p->position += left < most ? left : most;
    if (p->position == p->stretch_end) {
        pb_pipeline_end(pipeline);
        pb_stages_add(&p->stages, pb_pipeline_stages(pipeline));
    }
    return pb_ok();
}

/* Puts `count` images' saved patches into the sink. A file that turns out to be damaged is not used again: then nothing has
 * moved, and the next turn finds the images elsewhere or extracts them. `there` is only not NULL when the rows were read, which
 * is what the conditions below test. */
static pb_status take_saved(passage *p, pb_rows *rows, size_t place, size_t count) {
    pb_training *t = p->t;
    pb_device *device = t->setup.device;
    size_t patches = count * pb_training_patches(t), bytes = patches * (size_t)pb_projection_dim(t->projection) * sizeof(float);
    float *values = NULL, *there = NULL;
    int64_t not_finite = -1;
    PB_TRY(pb_allocate(&values, bytes, 1, "saved patches"));
    pb_status read = pb_rows_read(rows, place, count, values), status = pb_ok();
    if (pb_failed(&read))
        pb_train_patches_forget(t, rows, &read);
    else
        status = pb_device_alloc(device, bytes, &there, "saved patches");
    if (there && !pb_failed(&status))
        status = pb_device_upload(device, there, values, bytes);
    if (there && !pb_failed(&status))
        status = p->sink(t, p->first, patches, there, &not_finite);
    if (there && !pb_failed(&status)) {
        PB_ASSERT(not_finite < 0); /* they were looked at before they were saved, and have a checksum */
        status = pb_train_note_images(t, t->setup.selection.index + p->position, count);
        p->first += patches;
        p->position += count;
        p->stretch_end = p->position;
        t->images_saved = t->image_count;
    }
    pb_device_release(device, &there);
    pb_release(&values);
    return status;
}

/* The next batch of images, extracted or saved. What was extracted before saved ones is saved first, so that what is saved stays
 * a range: t->images_saved is one number, and a file is named by its first and last image. */
static pb_status advance(passage *p) {
    pb_training *t = p->t;
    size_t left = p->end - p->position, most = pb_pipeline_batch_max(t->setup.pipeline), place;
    pb_rows *rows;
    if (p->position == p->stretch_end) {
        size_t found = pb_train_patches_find(t, p->position, left < most ? left : most, &rows, &place);
        if (found > 0) {
            PB_TRY(pb_train_patches_save(t));
            return take_saved(p, rows, place, found);
        }
        PB_TRY(begin_stretch(p));
    }
    return extract_batch(p);
}

/* A rank's part of a round: a batch if it has one left; then it saves when it is time. A wish to stop comes last: the batch is in
 * the sink by then, and is saved with the rest. */
static pb_status work_on(passage *p) {
    pb_status status = p->position < p->end ? advance(p) : pb_ok();
    if (!pb_failed(&status) && pb_run_due(&p->t->run))
        status = pb_train_patches_save(p->t);
    pb_fault("train.batch");
    pb_keep_first(&status, pb_stop_check());
    return status;
}

/* How many rounds there will be is not known in advance, as saved images come in other portions than batches do; so the ranks ask
 * each other after each what the longest way left is. Progress is that of the slowest rank, scaled to the caller's total. */
pb_status pb_train_extract_range(pb_training *t, size_t begin, size_t end, pb_patch_sink sink, pb_progress *progress) {
    pb_comm *comm = t->job->comm;
    passage p = {.t = t, .sink = sink, .position = begin, .end = end, .stretch_end = begin};
    uint64_t longest = pb_comm_max_u64(comm, end - begin, "images to extract"), left = longest;
    pb_status status = pb_ok();
    t->cover_begin = t->images_saved = t->image_count;
    /* One round: a batch of every rank that has one, an agreement, and what is left at most. A failure leaves the loop on all
     * ranks at once. */
    while (left > 0 && !pb_failed(&status)) {
        status = pb_agree(comm, work_on(&p));
        if (!pb_failed(&status))
            left = pb_comm_max_u64(comm, p.end - p.position, "images left to extract");
        pb_progress_update(progress, progress->total * (longest - left) / longest);
    }
    pb_pipeline_end(t->setup.pipeline);
    if (p.position < p.stretch_end) /* ended in the midst of it */
        pb_stages_add(&p.stages, pb_pipeline_stages(t->setup.pipeline));
    pb_summary_stages(t->job, &p.stages);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, pb_train_patches_save(t)); /* the reason to stop stays */
    if (!pb_failed(&status))
        pb_stages_log(comm, "extract", &p.stages);
    return status;
}

pb_status pb_train_into_cover(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_cover_write(t->setup.device, t->cover, first, count, rows, not_finite);
}

/* The sink of t->points. */
static pb_status into_points(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    return pb_device_points_write(t->setup.device, t->points, first, count, rows, not_finite);
}

/* The largest thing that a training allocates on a device, so it is where memory runs out. After a smaller pipeline was made, all
 * that was made here is freed and made again: a batch is part of its size. */
pb_status pb_train_make_room(pb_training *t, size_t images, bool step) {
    size_t capacity = images * pb_training_patches(t), batch = pb_pipeline_batch_max(t->setup.pipeline);
    int dim = pb_projection_dim(t->projection);
    bool again = true;
    pb_status status = pb_ok();
    while (again && !pb_failed(&status)) {
        status = step ? pb_device_points_create(t->setup.device, capacity, dim, &t->points)
                      : pb_device_cover_create(t->setup.device, capacity, dim, 0, &t->cover);
        if (!pb_failed(&status))
            status = pb_projection_reserve(t->projection, batch * pb_training_patches(t));
        status = pb_setup_relieve(t->job, &t->setup, pb_agree(t->job->comm, status), &again);
        if (again) {
            pb_device_points_free(t->setup.device, &t->points);
            pb_device_cover_free(t->setup.device, &t->cover);
            batch = pb_pipeline_batch_max(t->setup.pipeline);
        }
    }
    return status;
}

/* Collective. Patches that are compared with each other first wait in host memory. */
static pb_status create_sink(pb_training *t, bool step) {
    if (!pb_train_denoises(t))
        return pb_train_make_room(t, t->setup.selection.count, step);
    size_t capacity = t->setup.selection.count * pb_training_patches(t);
    return pb_agree(t->job->comm, pb_allocate(&t->host_rows, capacity,
                                              (size_t)pb_projection_dim(t->projection) * sizeof *t->host_rows,
                                              "projected patches to be denoised"));
}

/* Moves `count` rows, as many as a batch of images has at most, from host memory to the sink, by way of a buffer on the
 * device. */
static pb_status move_batch(pb_training *t, size_t first, size_t count, float *on_device, pb_patch_sink sink) {
    const size_t dim = (size_t)pb_projection_dim(t->projection);
    int64_t not_finite;
    PB_TRY(pb_device_upload(t->setup.device, on_device, t->host_rows + first * dim, count * dim * sizeof *on_device));
    return sink(t, first, count, on_device, &not_finite); /* they were finite when they came */
}

/* All of t->host_rows into the sink, in their order, so that local patches keep their numbers. */
static pb_status move_rows(pb_training *t, pb_patch_sink sink) {
    const size_t patches = pb_training_patches(t), rows = t->image_count * patches;
    const size_t most = pb_pipeline_batch_max(t->setup.pipeline) * patches;
    float *on_device = NULL;
    pb_status status = pb_device_alloc(t->setup.device, most * (size_t)pb_projection_dim(t->projection) * sizeof *on_device,
                                       &on_device, "projected patches");
    for (size_t done = 0; done < rows && !pb_failed(&status); done += most)
        status = move_batch(t, done, rows - done < most ? rows - done : most, on_device, sink);
    pb_device_release(t->setup.device, &on_device);
    return status;
}

/* Collective. Between extraction and selection: patches that are left out are overwritten in t->host_rows, then all move to the
 * device. What was extracted can only be saved before some of it is overwritten: when a part is saved already, so that this job
 * is a long one, or when it is time; and when denoising is asked to stop, which it notices while it only compares. From then on
 * images_saved says that there is nothing to save. */
static pb_status denoise(pb_training *t, bool step) {
    pb_status status = t->images_saved > 0 || pb_run_due(&t->run) ? pb_train_patches_save(t) : pb_ok();
    status = pb_agree(t->job->comm, status);
    if (!pb_failed(&status))
        status = pb_train_denoise(t);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, pb_train_patches_save(t)); /* the reason to stop stays */
    if (pb_failed(&status))
        return status;
    t->images_saved = t->image_count;
    status = pb_train_make_room(t, t->setup.selection.count, step);
    if (!pb_failed(&status))
        status = move_rows(t, step ? into_points : pb_train_into_cover);
    pb_release(&t->host_rows);
    return pb_agree(t->job->comm, status);
}

/* Collective. Defective images in the training split make the bank blind to their defects; that is said, once. */
static void warn_of_defects(pb_training *t) {
    t->defective = pb_comm_sum_u64(t->job->comm, t->defective, "defective training images");
    if (t->defective > 0)
        pb_log_once(PB_LOG_WARN, "defective-training-images",
                    "images=%llu effect=\"what is trained on is normal: these defects will not be found\"",
                    (unsigned long long)t->defective);
}

/* After it every rank knows where its patches stand among those of all. Ranks whose images were all bad have none and stay in
 * step. */
pb_status pb_train_count(pb_training *t, double seconds) {
    pb_comm *comm = t->job->comm;
    pb_status status = pb_rejects_agree(comm, &t->rejects);
    if (pb_failed(&status))
        return status;
    /* Sums and sums before: the same on all ranks but for first_patch. */
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

/* The cover is placed at the end because a rank's first global patch depends on how many images of the ranks before it were
 * good. */
pb_status pb_train_extract(pb_training *t) {
    pb_comm *comm = t->job->comm;
    const pb_selection *selection = &t->setup.selection;
    bool step = strcmp(t->job->options->coreset, "greedy-step") == 0;
    pb_progress progress;
    pb_summary_step(t->job, "extract", "images");
    pb_progress_begin(&progress, "extract", selection->total, "images", pb_comm_rank(comm) == 0);
    pb_status status = create_sink(t, step);
    if (!pb_failed(&status))
        status = pb_train_extract_range(t, 0, selection->count,
                                        pb_train_denoises(t) ? pb_train_denoise_keep
                                        : step               ? into_points
                                                             : pb_train_into_cover,
                                        &progress);
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        status = pb_train_count(t, seconds);
    if (!pb_failed(&status) && pb_train_denoises(t))
        status = denoise(t, step);
    if (!pb_failed(&status) && t->cover)
        pb_device_cover_place(t->setup.device, t->cover, (uint32_t)t->first_patch);
    return status;
}
