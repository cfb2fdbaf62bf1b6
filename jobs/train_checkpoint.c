/* train_checkpoint.c: selection.h5 of the state folder: the picks of a selection, and of a finished one the images too.
 *
 * An unfinished selection is a few bytes a pick (docs/decisions/0011): numbers of patches among those of the images that were
 * good, which the attributes of the amount stand for. A finished one also lists these images: the next run has not extracted, and
 * needs to know which images the numbers count. From it the run goes straight to collecting rows. Rank 0 reads and writes; all
 * ranks get what it has. A file that does not fit is logged and left alone: the next save replaces it. */
#include "jobs/train.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/selection_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Radii in the file are never NaN: a NaN there could not be told from damage. */
static const float UNKNOWN = -1;
static const char SELECTION[] = "selection.h5";

/* --- saving ----------------------------------------------------------------------------------------------------- */

/* On rank 0. images 0: not finished. The attributes are lent to `state`, not copied. How long it took is noted also when it
 * failed, so that a slow disk is not asked again at once. */
static pb_status write_state(pb_training *t, const pb_coreset *so_far, uint64_t *image, size_t images) {
    char path[PB_PATH_MAX];
    double begun = pb_clock_seconds();
    pb_selection_state state = {.picks = so_far->count, .picked = so_far->picked, .images = images, .image = image,
                                .attributes = t->attributes};
    pb_status status = pb_state_path(&t->run.state, SELECTION, path);
    pb_keep_first(&status, pb_allocate(&state.radius, so_far->count, sizeof *state.radius, "a checkpoint"));
    if (!pb_failed(&status)) {
        for (size_t i = 0; i < so_far->count; i++)
            state.radius[i] = isnan(so_far->radius[i]) ? UNKNOWN : so_far->radius[i];
        status = pb_selection_write(path, &state);
    }
    pb_release(&state.radius);
    pb_run_saved(&t->run, begun);
    if (!pb_failed(&status))
        pb_log(PB_LOG_DEBUG, "checkpoint", "file=\"%s\" picks=%zu finished=%s", path, so_far->count, images ? "yes" : "no");
    return status;
}

pb_status pb_train_checkpoint(pb_training *t, const pb_coreset *so_far) {
    return pb_run_tolerate(write_state(t, so_far, NULL, 0));
}

/* finished_saved is the same on all ranks only by chance (writing may fail on rank 0 and be tolerated); who asks, asks for the
 * maximum over the ranks (train.c, is_worth_saving). */
pb_status pb_train_finished(pb_training *t) {
    pb_comm *comm = t->job->comm;
    size_t *sizes = NULL;
    uint64_t *image = NULL;
    pb_status status = pb_agree(comm, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    if (!pb_failed(&status))
        status = pb_comm_gather(comm, t->images, t->image_count * sizeof *t->images, 0, &image, sizes, "training images");
    t->finished_saved = !pb_failed(&status); /* rank 0's word counts: it writes */
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0) {
        status = write_state(t, &t->coreset, image, (size_t)t->total_images);
        t->finished_saved = !pb_failed(&status);
        status = pb_run_tolerate(status);
    }
    pb_release(&sizes);
    pb_release(&image);
    return pb_agree(comm, status);
}

/* --- taking up -------------------------------------------------------------------------------------------------- */

/* On rank 0. Says why the earlier selection is not used, and forgets it. */
static void ignore(pb_training *t, const char *how, const char *why) {
    pb_log(PB_LOG_WARN, "checkpoint-ignored", "file=\"%s/%s\" reason=\"%s%s\"", t->run.state.folder, SELECTION, how, why);
    pb_selection_state_free(&t->earlier);
}

/* On rank 0. What is known of this training by now must be what the selection says. Picks must be numbers of patches that this
 * archive can have, so that no array is overrun by a file. */
static void ignore_misfit(pb_training *t) {
    const pb_selection_state *earlier = &t->earlier;
    const char *why = earlier->picks > 0 ? pb_run_misfit(&earlier->attributes, &t->attributes) : "";
    for (size_t i = 0; !*why && i < earlier->picks; i++)
        if (earlier->picked[i] >= t->setup.selection.total * pb_training_patches(t))
            why = "archive";
    if (*why)
        ignore(t, "made with another ", why);
}

/* On rank 0. */
static pb_status read_state(pb_training *t) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_state_path(&t->run.state, SELECTION, path));
    if (access(path, F_OK) != 0)
        return pb_ok();
    pb_status status = pb_selection_read(path, &t->earlier);
    if (pb_failed(&status))
        ignore(t, "", status.message);
    else
        ignore_misfit(t);
    return pb_ok();
}

/* -1 in the file is NaN in memory: not known. */
static void take_picks(const pb_selection_state *state, size_t picks, pb_coreset *coreset) {
    for (size_t i = 0; i < picks; i++)
        pb_coreset_add(coreset, state->picked[i], state->radius[i] < 0 ? NAN : state->radius[i]);
}

/* Collective. Rank 0 has the picks, all get them; t->coreset has room. */
static void share_picks(pb_training *t, size_t picks) {
    pb_comm *comm = t->job->comm;
    if (pb_comm_rank(comm) == 0)
        take_picks(&t->earlier, picks, &t->coreset);
    t->coreset.count = picks;
    pb_comm_broadcast(comm, t->coreset.picked, picks * sizeof *t->coreset.picked, 0, "picks of the checkpoint");
    pb_comm_broadcast(comm, t->coreset.radius, picks * sizeof *t->coreset.radius, 0, "radii of the checkpoint");
    pb_log_once(PB_LOG_INFO, "resumed", "picks=%zu", picks);
}

/* More picks than there is room for are of a larger ratio; the first ones are those of this one, since greedy picks do not depend
 * on how many will be made. */
void pb_train_resume(pb_training *t) {
    if (pb_comm_rank(t->job->comm) == 0)
        ignore_misfit(t); /* how many images were good is known only now */
    uint64_t picks = t->earlier.picks < t->coreset.room ? t->earlier.picks : t->coreset.room;
    pb_comm_broadcast(t->job->comm, &picks, sizeof picks, 0, "picks of the checkpoint");
    if (picks > 0)
        share_picks(t, (size_t)picks);
    pb_selection_state_free(&t->earlier);
}

/* Divides this rank's images into those of the finished selection, which become t->images, and the others, which were bad. Both
 * lists rise, so one walk through them does. */
static pb_status part_images(pb_training *t, const uint64_t *image, size_t images, uint64_t *others, size_t *other_count) {
    const pb_selection *mine = &t->setup.selection;
    size_t at = 0;
    *other_count = 0;
    t->image_count = 0;
    for (size_t i = 0; i < mine->count; i++) {
        while (at < images && image[at] < mine->index[i])
            at++;
        if (at == images || image[at] != mine->index[i])
            others[(*other_count)++] = mine->index[i];
        else
            PB_TRY(pb_train_note_images(t, &mine->index[i], 1));
    }
    return pb_ok();
}

/* Goes through the images that were bad once more, so that their reasons are known and rejected.csv is that of a run without a
 * stop, up to the first that is good now (somebody repaired the archive in place): *good is its index plus 1, 0: none is. */
static pb_status reject_again(pb_training *t, const uint64_t *index, size_t count, uint64_t *good) {
    pb_pipeline *pipeline = t->setup.pipeline;
    size_t most = pb_pipeline_batch_max(pipeline);
    pb_status status = pb_pipeline_begin(pipeline, index, count);
    *good = 0;
    for (size_t at = 0; at < count && *good == 0 && !pb_failed(&status); at += most) {
        pb_batch batch;
        status = pb_pipeline_next(pipeline, &t->rejects, &batch);
        if (!pb_failed(&status) && batch.count > 0)
            *good = batch.index[0] + 1;
    }
    pb_pipeline_end(pipeline);
    return status;
}

/* This rank's share of the finished selection's images. `others` has room for the whole selection: it cannot be overrun. */
static pb_status take_images(pb_training *t, const uint64_t *image, size_t images, uint64_t *good) {
    uint64_t *others = NULL;
    size_t count = 0;
    *good = 0;
    PB_TRY(pb_allocate(&others, t->setup.selection.count, sizeof *others, "image indices"));
    pb_status status = part_images(t, image, images, others, &count);
    if (!pb_failed(&status))
        status = reject_again(t, others, count, good);
    pb_release(&others);
    return status;
}

/* Collective. The selection was of fewer images than there are now: nothing was taken of it. */
static void give_back(pb_training *t, uint64_t image) {
    char why[96];
    snprintf(why, sizeof why, "image %llu of the archive was bad then and is good now", (unsigned long long)image);
    if (pb_comm_rank(t->job->comm) == 0)
        ignore(t, "", why);
    t->image_count = 0;
    t->defective = 0;
    pb_rejects_free(&t->rejects);
    t->rejects = pb_rejects_begin((uint64_t)t->job->options->max_bad);
}

/* Collective. What rank 0 has of a finished selection becomes what all ranks would have made: picks and radii, the images and
 * counts, the rejects. Images were gathered in the order of ranks and each rank's rise, so the list rises as a whole and is of
 * use to any number of ranks. */
static pb_status take_finished(pb_training *t, size_t picks, size_t images, bool *done) {
    pb_comm *comm = t->job->comm;
    pb_selection_state *state = &t->earlier;
    double begun = pb_clock_seconds();
    uint64_t good;
    pb_status status = pb_ok();
    if (pb_comm_rank(comm) != 0)
        status = pb_allocate(&state->image, images, sizeof *state->image, "image indices");
    status = pb_agree(comm, status);
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(comm, state->image, images * sizeof *state->image, 0, "images of the checkpoint");
    status = pb_agree(comm, take_images(t, state->image, images, &good));
    if (pb_failed(&status))
        return status;
    good = pb_comm_max_u64(comm, good, "an image that is good now");
    *done = good == 0;
    if (!*done) {
        give_back(t, good - 1);
        return status;
    }
    status = pb_agree(comm, pb_coreset_allocate(&t->coreset, picks));
    if (pb_failed(&status))
        return status;
    share_picks(t, picks);
    return pb_train_count(t, pb_clock_seconds() - begun);
}

/* On rank 0: how many picks of a finished selection are this training's; 0 when it needs more, or others. Exact greedy picks
 * serve every smaller ratio; those of two rounds do not, because each part contributes as many as the largest ratio asks for. A
 * selection that ended at radius 0 is complete, however many were wanted (docs/decisions/0009). */
static size_t picks_of(const pb_training *t, const pb_selection_state *state) {
    bool two_round = strcmp(t->job->options->coreset, "two-round") == 0;
    if (state->images == 0 || state->picks == 0)
        return 0;
    size_t wanted = pb_coreset_size(t->ratios[0], state->images * pb_training_patches(t));
    if (two_round && state->picks != wanted)
        return 0;
    /* Complete: enough picks, or nothing left to cover. */
    bool all = state->picks >= wanted || state->radius[state->picks - 1] == 0;
    return !all ? 0 : state->picks < wanted ? state->picks : wanted;
}

/* On rank 0: how many patches were left out of it; an older state does not say. */
static uint64_t left_out_of(const pb_selection_state *state) {
    const char *text = pb_attributes_get(&state->attributes, "left_out_patches");
    return text ? strtoull(text, NULL, 10) : 0;
}

/* Ranks but 0 have an empty state, so that picks_of is 0 there until rank 0's word arrives. */
pb_status pb_train_resume_finished(pb_training *t, bool *done) {
    pb_comm *comm = t->job->comm;
    pb_status status = pb_agree(comm, pb_comm_rank(comm) == 0 ? read_state(t) : pb_ok());
    uint64_t sizes[3] = {picks_of(t, &t->earlier), t->earlier.images, left_out_of(&t->earlier)};
    *done = false;
    if (pb_failed(&status))
        return status;
    pb_comm_broadcast(comm, sizes, sizeof sizes, 0, "a finished selection");
    if (sizes[0] == 0)
        return status;
    status = take_finished(t, (size_t)sizes[0], (size_t)sizes[1], done);
    if (!pb_failed(&status) && *done) {
        t->left_out = sizes[2];
        t->finished_saved = true;
    }
    pb_selection_state_free(&t->earlier);
    return status;
}
