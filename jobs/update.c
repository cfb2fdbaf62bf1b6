/* update.c: memory bank + new normal images -> memory bank. The job; its steps are in update_*.c, those of the new images in
 * train_*.c.
 *
 * Read it from the end. The bank is read whole by every rank, and its rows are projected as they were when it was trained; rows
 * of images that are to be forgotten leave; the new images are extracted as in a training; greedy selection goes on from the
 * rows; then both are written as one bank. What of the new archive is gone through depends on whether the bank knows an edition
 * of it (leave_out_known). The old bank is only read, so --bank-out may be the same file: it is replaced by a rename at the end.
 * Of a stopped update the state has projected patches and collected rows, but no picks: there are few, and they are soon made
 * again. */
#include "jobs/update.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "io/file.h"
#include "io/hash.h"
#include "jobs/bank_archives.h"
#include "jobs/bank_fit.h"
#include "jobs/provenance.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Without --rows: so many that their room (24 bytes each, on every rank: 96 MiB) is nothing beside the patches. */
enum { NEW_ROWS_MOST = 1 << 22 };

static void update_free(pb_update *u) {
    pb_train_free(&u->training);
    pb_forget_free(&u->forget);
    pb_bank_free(&u->bank);
    pb_release(&u->centres);
}

/* What a bank promises grows when rows are forgotten or --rows forbids new ones; what later updates aim at does not. Written so
 * that NaN is no radius. */
static pb_status read_aim(pb_update *u) {
    const char *text = pb_attributes_get(&u->bank.attributes, PB_UPDATE_AIM);
    if (!text)
        return pb_ok();
    u->enough = (float)pb_option_number(text);
    return u->enough >= 0 && u->enough < INFINITY ? pb_ok()
                                                  : pb_fail(PB_E_INPUT, "%s: attribute %s is \"%s\", not a radius",
                                                            u->choice->job.options->bank, PB_UPDATE_AIM, text);
}

/* The same on every rank. The radius of the last row is that of the whole bank. */
static pb_status read_radius(pb_update *u) {
    const char *file = u->choice->job.options->bank, *kind;
    u->enough = u->held = u->bank.covering_radius[u->bank.rows - 1];
    if (u->held < 0)
        return pb_fail(PB_E_INPUT, "%s: its covering radius is not known, so an update would have no aim; train it anew", file);
    PB_TRY(read_aim(u));
    PB_TRY(pb_attributes_need(&u->bank.attributes, file, "covering_radius_kind", &kind));
    u->held_exactly = strcmp(kind, "exact") == 0;
    return pb_ok();
}

/* Rows of one bank should be of one arithmetic. On a new machine that cannot be had without the old images, so it is said. */
static void warn_of_arithmetic(const pb_update *u) {
    const char *here = pb_device_arithmetic(u->training.setup.device);
    const char *bank = pb_attributes_get(&u->bank.attributes, "arithmetic");
    if (bank && strcmp(here, bank) != 0)
        pb_log_once(PB_LOG_WARN, "other-arithmetic", "bank=\"%s\" here=\"%s\" effect=\"new rows are close to what they would be "
                    "there, not equal\"", bank, here);
}

/* The aim of such a bank is a radius that noise need not be within: an update that does not look for noise takes it in. */
static void warn_of_noise(const pb_update *u) {
    const char *bank = pb_attributes_get(&u->bank.attributes, "option.denoise");
    if (bank && strcmp(bank, "none") != 0 && !pb_train_denoises(&u->training))
        pb_log_once(PB_LOG_WARN, "not-denoised", "bank=%s here=none effect=\"unusual patches of the new images become rows\"",
                    bank);
}

/* What the state folder's files say, so that the next run can tell whether they are its own: rows depend on all of it. */
static pb_status describe_making(pb_update *u, const char *bank_sha256) {
    pb_training *t = &u->training;
    PB_TRY(pb_provenance(t->job, &t->attributes));
    PB_TRY(pb_attributes_set(&t->attributes, "bank_sha256", bank_sha256));
    PB_TRY(pb_attributes_set(&t->attributes, "archive_sha256", pb_archive_sha256(t->setup.archive)));
    PB_TRY(pb_attributes_set(&t->attributes, "arithmetic", pb_device_arithmetic(t->setup.device)));
    return pb_attributes_set(&t->attributes, "forget_sha256", u->forget.sha256);
}

/* An archive that has grown since the bank was made from it: only what came since is gone through. One that has not is gone
 * through as a whole: its patches are covered again. */
static pb_status leave_out_known(pb_update *u) {
    const pb_comm *comm = u->training.job->comm;
    pb_archive *archive = u->training.setup.archive;
    int64_t newest;
    size_t editions = pb_bank_editions(&u->bank.attributes, archive, &newest);
    u->archive = pb_bank_archive_number(&u->bank.attributes, pb_archive_sha256(archive));
    u->whole = u->archive >= 0 && editions == pb_bank_archives(&u->bank.attributes);
    if (u->archive >= 0 || newest < 0)
        return pb_ok();
    const pb_edition *known = pb_archive_edition(archive, (size_t)newest);
    pb_log_once(PB_LOG_INFO, "grown", "archive=\"%s\" images_known=%llu images=%llu", u->training.job->options->archive,
                (unsigned long long)known->images, (unsigned long long)pb_archive_images(archive));
    return pb_selection_behind(archive, PB_WHICH_TRAIN, known->shards, pb_comm_size(comm), pb_comm_rank(comm),
                               &u->training.setup.selection);
}

/* On this rank: what the new images need, and the rows as selection sees them. The order matters: images that are known leave the
 * selection before those that are to be forgotten are counted. */
static pb_status prepare(pb_update *u) {
    pb_training *t = &u->training;
    const char *file = t->job->options->bank;
    PB_TRY(read_radius(u));
    PB_TRY(leave_out_known(u));
    PB_TRY(pb_train_check_size(t));
    PB_TRY(pb_allocate(&t->images, t->setup.selection.count, sizeof *t->images, "image indices"));
    PB_TRY(pb_forget_select(&u->forget, t->setup.archive, &t->setup.selection, &u->images_left_out));
    PB_TRY(pb_bank_fit_projection(&u->bank, file, t->setup.device, &t->projection));
    PB_TRY(pb_bank_fit_project(t->setup.device, t->projection, u->bank.features, u->bank.rows, u->bank.dim, &u->centres));
    t->first_centre = u->centres;
    return pb_ok();
}

/* Collective. Everything that can be wrong with the command and its files comes before an image is read. `rows` is not used
 * beside the bank, which has all of them. */
static pb_status open_all(pb_update *u) {
    const pb_job *job = u->training.job;
    char sha256[PB_SHA256_TEXT];
    uint64_t rows;
    pb_status status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? pb_output_check(job->options->bank_out) : pb_ok());
    if (!pb_failed(&status))
        status = pb_forget_read(job->comm, job->options->forget, &u->forget);
    if (!pb_failed(&status))
        status = pb_bank_fit_read(u->choice, true, &u->bank, &rows, sha256);
    if (!pb_failed(&status))
        status = pb_bank_fit_open(job, &u->bank, PB_WHICH_TRAIN, NULL, &u->training.setup);
    if (!pb_failed(&status)) {
        status = prepare(u);
        pb_keep_first(&status, describe_making(u, sha256));
        status = pb_agree(job->comm, status);
    }
    if (pb_failed(&status))
        return status;
    u->images_left_out = pb_comm_sum_u64(job->comm, u->images_left_out, "images that are left out");
    warn_of_arithmetic(u);
    warn_of_noise(u);
    return status;
}

/* The same on every rank, and known before an image is read: after rows were forgotten, since those that stay count. */
static pb_status check_rows(const pb_update *u) {
    const size_t rows = (size_t)u->training.job->options->rows, kept = u->bank.rows;
    if (rows == 0 || rows > kept)
        return pb_ok();
    return pb_fail(PB_E_USAGE, "--rows %zu: %zu rows of %s stay, so that no new one could be taken; give more, or 0", rows, kept,
                   u->training.job->options->bank);
}

/* How many rows may be new; at least one. */
static size_t rows_wanted(const pb_update *u) {
    const size_t rows = (size_t)u->training.job->options->rows, most = rows > 0 ? rows - u->bank.rows : NEW_ROWS_MOST;
    return most < u->training.total_patches ? most : (size_t)u->training.total_patches;
}

/* The selection keeps no state: it is soon made again. */
static pb_status report(void *progress, const pb_coreset *so_far) {
    pb_progress_update(progress, so_far->count);
    return pb_stop_check();
}

/* Collective. Fills the training's coreset with the new rows: none when the new patches are covered already. The bank's rows are
 * given as centres and are no picks. */
static pb_status select_rows(pb_update *u) {
    pb_training *t = &u->training;
    pb_comm *comm = t->job->comm;
    const size_t most = rows_wanted(u);
    pb_progress progress;
    pb_summary_step(t->job, "select", "picks");
    pb_status status = pb_agree(comm, pb_coreset_allocate(&t->coreset, most));
    if (pb_failed(&status))
        return status;
    pb_greedy_input input = pb_train_greedy_input(t, most);
    input.given = u->centres;
    input.given_count = u->bank.rows;
    input.enough = u->enough;
    input.report = report;
    input.context = &progress;
    pb_progress_begin(&progress, "select", most, "patches at most", pb_comm_rank(comm) == 0);
    status = pb_greedy_select(t->setup.devices, &input, &t->coreset, &u->given_radius, NULL);
    pb_progress_end(&progress);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        pb_summary_done(t->job, t->coreset.count);
    return status;
}

/* Collective: all ranks have the same to say. */
static void say(const pb_update *u) {
    const pb_coreset *added = &u->training.coreset;
    float covered = added->count > 0 ? added->radius[added->count - 1] : u->given_radius;
    pb_log_once(
        PB_LOG_INFO, "updated",
        "rows_kept=%zu rows_forgotten=%llu rows_added=%zu radius_before=%.6g new_patches_before=%.6g new_patches_after=%.6g",
        u->bank.rows, (unsigned long long)u->rows_forgotten, added->count, (double)u->enough, (double)u->given_radius,
        (double)covered);
    if (!(covered <= u->enough))
        pb_log_once(PB_LOG_WARN, "radius-not-reached", "wanted=%.6g reached=%.6g effect=\"the new images are covered less well; "
                    "more --rows would do\"", (double)u->enough, (double)covered);
}

/* Collective. The new images, as a training does it; patches that a stopped update has saved are taken up. */
static pb_status extract(pb_update *u) {
    pb_training *t = &u->training;
    pb_status status = pb_agree(t->job->comm, pb_train_patches_open(t));
    if (!pb_failed(&status))
        status = pb_train_extract(t);
    pb_train_patches_close(t);
    return status;
}

/* The same on every rank: the archive grew by test images alone, say, or all new ones are to be forgotten. Images that are there
 * but bad are another matter. A bank's only archive has images as long as rows stay; in a damaged bank its radius would be 0. */
static bool has_nothing_new(const pb_update *u) {
    return u->training.setup.selection.total == u->images_left_out && !u->whole;
}

/* Collective. From images to picks. Where nothing is new there are none, as where all that is new is covered already. */
static pb_status find_rows(pb_update *u) {
    if (has_nothing_new(u)) {
        pb_log_once(PB_LOG_INFO, "nothing-new", "archive=\"%s\" images_left_out=%llu effect=\"no row is added\"",
                    u->training.job->options->archive, (unsigned long long)u->images_left_out);
        return pb_ok();
    }
    pb_status status = extract(u);
    return pb_failed(&status) ? status : select_rows(u);
}

/* Collective. In its state folder, which keeps what was extracted when it is stopped: also while rows are selected or collected,
 * since picks are made from the patches again. */
static pb_status work(pb_update *u) {
    pb_training *t = &u->training;
    pb_status status = find_rows(u);
    if (!pb_failed(&status))
        say(u);
    if (!pb_failed(&status))
        status = pb_train_list_rejected(t, t->job->options->bank_out);
    if (!pb_failed(&status))
        status = pb_update_write(u);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, pb_train_patches_save(t)); /* the reason to stop stays */
    return status;
}

/* Collective. The state is claimed when the command is known to be good. */
static pb_status update(pb_update *u) {
    pb_training *t = &u->training;
    pb_status status = open_all(u);
    if (!pb_failed(&status))
        status = pb_update_forget(u);
    if (!pb_failed(&status))
        status = check_rows(u);
    if (!pb_failed(&status))
        status = pb_run_begin(t->job, t->job->options->bank_out, &t->run);
    if (!pb_failed(&status))
        status = work(u);
    pb_run_end(&t->run, &status);
    return status;
}

/* Collective. The choice of the bank outlives the update, whose job is the choice's. */
pb_status pb_job_update(const pb_job *job) {
    pb_bank_choice choice;
    pb_summary_step(job, "open", "");
    pb_status status = pb_bank_choose(job, &choice);
    if (pb_failed(&status))
        return status;
    pb_update u = {.choice = &choice,
                   .training = {.job = &choice.job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)}};
    status = update(&u);
    update_free(&u);
    return status;
}
