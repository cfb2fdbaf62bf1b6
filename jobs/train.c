/* train.c: archive -> patch features -> projection -> coreset -> memory bank. The job; its steps are in train_*.c.
 *
 * Read it from the end: pb_job_train is the order of the steps. The result depends on archive, weights and recorded options, not
 * on ranks or on how often the job was stopped (docs/decisions/0007, 0010, 0011); so each step first looks into the state for
 * what an earlier run has done of it: a finished selection, patches, picks. Outputs: BANK.rejected.csv first, then a bank for
 * each ratio, each renamed into its place when it is complete. What fails leaves no half of one; what was asked to stop has saved
 * what it had. */
#include "jobs/train.h"

#include "base/memory.h"
#include "io/file.h"
#include "jobs/provenance.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Points and covers belong to a device and go before it, which pb_setup_close closes; without a device there are none. */
void pb_train_free(pb_training *t) {
    if (t->setup.device) {
        pb_device_points_free(t->setup.device, &t->points);
        pb_device_cover_free(t->setup.device, &t->cover);
    }
    pb_projection_free(&t->projection);
    pb_setup_close(&t->setup);
    pb_release(&t->host_rows);
    pb_release(&t->images);
    pb_rejects_free(&t->rejects);
    pb_coreset_free(&t->coreset);
    pb_selection_state_free(&t->earlier);
    pb_attributes_free(&t->attributes);
}

/* For qsort: largest first, so that ratios[0] is the one that is selected for and the others are prefixes. */
static int falling(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a < b) - (a > b);
}

/* One share of the list, up to a comma or the end. NaN when it is none. */
static double parse_ratio(const char *text, size_t length) {
    char word[64];
    if (length >= sizeof word)
        return NAN;
    memcpy(word, text, length);
    word[length] = '\0';
    return pb_option_number(word);
}

/* "25%,10%,1%" */
static pb_status parse_ratios(pb_training *t) {
    const char *text = t->job->options->ratios;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        double ratio = parse_ratio(at, strcspn(at, ","));
        bool within = ratio > 0 && ratio <= 1;
        if (!within || t->ratio_count == PB_RATIOS_MAX)
            return pb_fail(PB_E_USAGE, "--ratios %s: must be up to %d shares from above 0 to 1, as 25%%,10%%,1%%", text,
                           PB_RATIOS_MAX);
        t->ratios[t->ratio_count++] = ratio;
    }
    qsort(t->ratios, t->ratio_count, sizeof t->ratios[0], falling);
    return pb_ok();
}

/* Two shares that differ too little would be one file: names have six digits of a percentage. They stand in falling order, and
 * rounding keeps an order, so that only neighbours can be equal. */
static pb_status check_names(const pb_training *t) {
    char path[PB_PATH_MAX], before[PB_PATH_MAX] = "";
    for (size_t i = 0; i < t->ratio_count; i++) {
        PB_TRY(pb_train_bank_path(t, t->ratios[i], path));
        if (strcmp(path, before) == 0)
            return pb_fail(PB_E_USAGE, "--ratios %s: two of them would be the same file %s", t->job->options->ratios, path);
        strcpy(before, path);
    }
    return pb_ok();
}

/* What every output of this training says of its making: of how, before anything is made, so that the next run can tell whether
 * what it finds in the state folder is its own; and of how much. The order of the attributes is that in the file. */
static pb_status describe_making(pb_training *t) {
    pb_attributes *attributes = &t->attributes;
    char grid[PB_SIZE_TEXT];
    PB_TRY(pb_attributes_set(attributes, "taps", t->setup.taps));
    PB_TRY(pb_attributes_set(attributes, "weights", t->setup.weights));
    PB_TRY(pb_attributes_set(attributes, "archive_sha256", pb_archive_sha256(t->setup.archive)));
    pb_size_format(pb_pipeline_grid(t->setup.pipeline), grid);
    PB_TRY(pb_attributes_set(attributes, "grid", grid));
    PB_TRY(pb_attributes_set(attributes, "arithmetic", pb_device_arithmetic(t->setup.device)));
    return pb_attributes_set_u64(attributes, "selection_dim", (uint64_t)pb_projection_dim(t->projection));
}

/* Only known when all images went through; a selection that is saved unfinished has it, so that picks among other patches
 * (another image was bad) are not taken for these. */
static pb_status describe_amount(pb_training *t) {
    PB_TRY(pb_attributes_set_u64(&t->attributes, "training_images", t->total_images));
    PB_TRY(pb_attributes_set_u64(&t->attributes, "training_patches", t->total_patches));
    PB_TRY(pb_attributes_set_u64(&t->attributes, "training_images_defective", t->defective));
    return pb_attributes_set_u64(&t->attributes, "left_out_patches", t->left_out);
}

/* On rank 0. Whether all banks can be written where they shall be: known before hours of work, not after them. */
static pb_status check_outputs(const pb_training *t) {
    for (size_t i = 0; i < t->ratio_count; i++) {
        char path[PB_PATH_MAX];
        PB_TRY(pb_train_bank_path(t, t->ratios[i], path));
        PB_TRY(pb_output_check(path));
    }
    return pb_ok();
}

/* Collective. What can be said of the command alone comes first and costs one agreement; then archive, device and pipeline; then
 * what needs their sizes. */
static pb_status open_all(pb_training *t) {
    const pb_job_options *options = t->job->options;
    bool two_round = strcmp(options->coreset, "two-round") == 0;
    pb_request request = {0};
    pb_status status = parse_ratios(t);
    if (!pb_failed(&status))
        status = pb_train_denoise_check(t);
    if (!pb_failed(&status))
        status = pb_provenance(t->job, &t->attributes);
    if (!pb_failed(&status))
        status = pb_request_read(&t->attributes, NULL, &request);
    if (!pb_failed(&status))
        status = check_names(t);
    if (!pb_failed(&status) && pb_comm_rank(t->job->comm) == 0)
        status = check_outputs(t);
    status = pb_agree(t->job->comm, status);
    if (!pb_failed(&status))
        status = pb_setup_open(t->job, &request, PB_WHICH_TRAIN, two_round ? (int)options->parts : 0, &t->setup);
    if (!pb_failed(&status))
        status = pb_train_check_size(t); /* the same on every rank */
    if (pb_failed(&status))
        return status;
    /* From here on only this rank can fail, until the agreement at the end. */
    status = pb_allocate(&t->images, t->setup.selection.count, sizeof *t->images, "image indices");
    if (!pb_failed(&status))
        status = pb_projection_create(t->setup.device, (uint64_t)options->seed, pb_pipeline_dim(t->setup.pipeline),
                                      (int)options->projection, &t->projection);
    if (!pb_failed(&status))
        status = describe_making(t);
    return pb_agree(t->job->comm, status);
}

/* Collective. By the way of selecting: extraction, selection. Two-round does both at once, since its parts are never all in
 * memory. Files of saved patches are open only meanwhile. */
static pb_status extract_and_select(pb_training *t) {
    pb_comm *comm = t->job->comm;
    bool two_round = strcmp(t->job->options->coreset, "two-round") == 0;
    pb_status status = pb_agree(comm, pb_train_patches_open(t));
    if (!pb_failed(&status))
        status = two_round ? pb_train_two_round(t) : pb_train_extract(t);
    pb_train_patches_close(t);
    if (!pb_failed(&status))
        status = pb_agree(comm, describe_amount(t));
    return pb_failed(&status) || two_round ? status : pb_train_select(t);
}

/* Collective. Whether the selection is to be in the state folder: when it took long enough that it was time to save, on any rank,
 * or when the rows are not to be made now. A random one is soon made again. */
static bool is_worth_saving(pb_training *t, bool stops) {
    bool due = stops || pb_run_due(&t->run);
    return pb_comm_max_u64(t->job->comm, due && !t->finished_saved, "time to save") > 0 &&
           strcmp(t->job->options->coreset, "random") != 0;
}

/* Collective. Fills t->coreset, from the state if it has a finished selection. That is saved only when this run has become long
 * (is_worth_saving), because collecting the rows may take long, too. */
static pb_status select_patches(pb_training *t) {
    bool done;
    pb_status status = pb_train_resume_finished(t, &done);
    if (pb_failed(&status))
        return status;
    status = done ? pb_agree(t->job->comm, describe_amount(t)) : extract_and_select(t);
    if (strcmp(t->job->options->coreset, "two-round") == 0)
        t->radius_kind = PB_RADIUS_BOUND;
    if (!pb_failed(&status) && is_worth_saving(t, false))
        status = pb_train_finished(t);
    return status;
}

/* Collective. A run that is stopped here has rows in the state already (jobs/collect.c). The picks that they belong to are saved
 * now if they were not; of a random selection the patches instead, since picks are soon made again and extraction is not. */
static pb_status write_banks(pb_training *t) {
    pb_status status = pb_train_write_banks(t);
    if (status.code == PB_E_REQUEUE && is_worth_saving(t, true))
        pb_keep_first(&status, pb_train_finished(t)); /* the reason to stop stays */
    if (status.code == PB_E_REQUEUE && strcmp(t->job->options->coreset, "random") == 0)
        pb_keep_first(&status, pb_train_patches_save(t));
    return status;
}

pb_status pb_train_list_rejected(const pb_training *t, const char *bank) {
    char path[PB_PATH_MAX];
    int length = snprintf(path, sizeof path, "%s.rejected.csv", bank);
    if (length >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%s: the name is too long", bank); /* the same on every rank */
    return pb_rejects_write(t->job->comm, &t->rejects, path);
}

/* Collective. The list of rejects comes before the banks, so that no bank is there without it. pb_run_end needs the verdict of
 * all, and the training is freed after it: open files of the state are closed by then. */
pb_status pb_job_train(const pb_job *job) {
    pb_training t = {.job = job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)};
    pb_summary_step(job, "open", "");
    pb_status status = open_all(&t);
    if (!pb_failed(&status))
        status = pb_run_begin(job, job->options->bank, &t.run);
    if (!pb_failed(&status))
        status = select_patches(&t);
    if (!pb_failed(&status))
        status = pb_train_list_rejected(&t, job->options->bank);
    if (!pb_failed(&status))
        status = write_banks(&t);
    pb_run_end(&t.run, &status);
    pb_train_free(&t);
    return status;
}
