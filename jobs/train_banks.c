/* train_banks.c: from picks to bank files: the features of the picked patches are collected on rank 0, and a prefix of them is
 * written for each ratio. Rows stand in the order of selection, so the bank of a smaller ratio is the head of the larger one's
 * (docs/ARCHITECTURE.md, invariant 9), and one selection serves all. */
#include "jobs/train.h"

#include "base/clock.h"
#include "base/log.h"
#include "io/file.h"
#include "jobs/collect.h"
#include "jobs/provenance.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The bank of one of several ratios: "parts.bank.h5" and 0.01 give "parts.bank.1pct.h5". */
pb_status pb_train_bank_path(const pb_training *t, double ratio, char *path) {
    const char *bank = t->job->options->bank, *slash = strrchr(bank, '/'), *dot = strrchr(bank, '.');
    int stem = dot && (!slash || dot > slash) ? (int)(dot - bank) : (int)strlen(bank);
    int length = t->ratio_count == 1 ? snprintf(path, PB_PATH_MAX, "%s", bank)
                                     : snprintf(path, PB_PATH_MAX, "%.*s.%gpct%s", stem, bank, 100 * ratio, bank + stem);
    return length < PB_PATH_MAX ? pb_ok() : pb_fail(PB_E_INPUT, "%s: the name is too long", bank);
}

/* How good the first `rows` rows are. Half the radius is a bound of what anybody can reach only for greedy picks with an exact
 * radius: the rows and a patch at the radius are rows + 1 patches, all that far apart (Gonzalez 1985). */
static pb_status describe_radius(const pb_training *t, size_t rows, pb_attributes *attributes) {
    double radius = (double)t->coreset.radius[rows - 1];
    bool exact = t->radius_kind == PB_RADIUS_EXACT, random = strcmp(t->job->options->coreset, "random") == 0;
    PB_TRY(pb_attributes_set_real(attributes, "covering_radius", radius));
    PB_TRY(pb_attributes_set(attributes, "covering_radius_kind", exact ? "exact" : "bound"));
    return exact && !random ? pb_attributes_set_real(attributes, "optimal_radius_at_least", radius / 2) : pb_ok();
}

/* On rank 0. The first rows of the bank are the bank of a smaller ratio. A selection that ended early, at radius 0, has fewer
 * rows than the ratio stands for; the bank is then complete with these. `prefix` borrows the arrays of `bank` and owns its
 * attributes. */
static pb_status write_prefix(const pb_training *t, const pb_bank *bank, double ratio) {
    size_t rows = pb_coreset_size(ratio, t->total_patches);
    char path[PB_PATH_MAX];
    PB_TRY(pb_train_bank_path(t, ratio, path));
    pb_bank prefix = *bank;
    prefix.rows = rows < bank->rows ? rows : bank->rows;
    prefix.attributes = (pb_attributes){0};
    pb_status status = pb_attributes_add(&prefix.attributes, &t->attributes);
    if (!pb_failed(&status))
        status = pb_attributes_set_real(&prefix.attributes, "ratio", ratio);
    if (!pb_failed(&status))
        status = describe_radius(t, prefix.rows, &prefix.attributes);
    if (!pb_failed(&status))
        status = pb_bank_write(path, &prefix);
    if (!pb_failed(&status))
        pb_log(PB_LOG_INFO, "bank", "file=\"%s\" rows=%zu dim=%d covering_radius=%.6g", path, prefix.rows, prefix.dim,
               (double)t->coreset.radius[prefix.rows - 1]);
    pb_attributes_free(&prefix.attributes);
    return status;
}

/* On rank 0, largest first. Banks are written one after the other: each is complete or not there, and a failure leaves those
 * before it. */
static pb_status write_all(const pb_training *t, pb_bank *bank) {
    for (size_t i = 0; i < t->ratio_count; i++)
        PB_TRY(write_prefix(t, bank, t->ratios[i]));
    return pb_ok();
}

/* Stages of the pipeline are noted only where a pass was made: after other failures they may still be those of extraction. */
pb_status pb_train_collect(pb_training *t, pb_bank *bank) {
    pb_collect_input input = {.comm = t->job->comm,
                              .device = t->setup.device,
                              .archive = t->setup.archive,
                              .pipeline = t->setup.pipeline,
                              .images = t->images,
                              .image_count = t->image_count,
                              .first_patch = t->first_patch,
                              .picked = t->coreset.picked,
                              .radius = t->coreset.radius,
                              .picks = t->coreset.count,
                              .run = &t->run,
                              .attributes = &t->attributes};
    pb_summary_step(t->job, "collect", "images");
    pb_status status = pb_collect_bank(&input, bank);
    if (!pb_failed(&status) || status.code == PB_E_REQUEUE) /* else they may be of the pass before */
        pb_summary_stages(t->job, pb_pipeline_stages(t->setup.pipeline));
    pb_summary_step(t->job, "write", "rows");
    for (size_t i = 0; i < bank->rows; i++)
        if (isnan(bank->covering_radius[i]))
            bank->covering_radius[i] = -1; /* not known: docs/FORMATS.md */
    return status;
}

/* Only rank 0 has rows and writes; the others wait in the agreement. */
pb_status pb_train_write_banks(pb_training *t) {
    pb_comm *comm = t->job->comm;
    double begun = pb_clock_seconds();
    pb_bank bank = {0};
    pb_status status = pb_train_collect(t, &bank);
    if (!pb_failed(&status) && pb_comm_rank(comm) == 0)
        status = write_all(t, &bank);
    pb_summary_done(t->job, bank.rows);
    pb_bank_free(&bank);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "written", "banks=%zu seconds=%.2f", t->ratio_count, pb_clock_seconds() - begun);
    return status;
}
