/* gate.c: the gate of a bank store: figures of two banks on the same images, and a verdict. A figure is a number of which more is
 * better, and comes from results that `score` wrote: what is judged is what was really scored, and by the SHA-256 of the banks no
 * other results can slip in.
 *
 * In order: the candidate's figure; the current version's, if there is one, after a proof that both are of the same images; the
 * verdict. */
#include "jobs/gate.h"

#include "base/memory.h"
#include "jobs/figures.h"
#include "jobs/provenance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_auroc(const pb_job_options *options) { return strcmp(options->gate, "auroc") == 0; }

/* Share of the normal images whose score is at most the threshold: those that raise no false alarm. *images: how many normal ones
 * there are. */
static pb_status quiet_share(const pb_sample *sample, double threshold, double *figure, uint64_t *images) {
    uint64_t normal = 0, quiet = 0;
    for (size_t i = 0; i < sample->count; i++) {
        normal += !sample->defective[i];
        quiet += !sample->defective[i] && sample->score[i] <= threshold;
    }
    if (normal == 0)
        return pb_fail(PB_E_INPUT, "no image is scored and labelled as normal, which false alarms are counted on");
    *figure = (double)quiet / (double)normal;
    *images = normal;
    return pb_ok();
}

/* The figure of --gate, and of how many images it is. */
static pb_status figure_of(const pb_job_options *options, const pb_results *results, double *figure, uint64_t *images) {
    pb_sample sample;
    pb_status status = pb_sample_choose(results, NULL, false, &sample);
    if (!pb_failed(&status) && is_auroc(options)) {
        status = pb_sample_auroc(&sample, sample.score, -1, figure, NULL);
        *images = sample.count;
    } else if (!pb_failed(&status)) {
        status = quiet_share(&sample, options->threshold, figure, images);
    }
    pb_sample_free(&sample);
    return status;
}

/* Results must be of the very file that is to be published. */
static pb_status candidate_figure(const pb_job_options *options, const pb_results *results, const char *bank_sha256,
                                  pb_gate_record *record) {
    const char *folder = options->results, *of, *archive;
    PB_TRY(pb_attributes_need(&results->attributes, folder, "bank_sha256", &of));
    PB_TRY(pb_attributes_need(&results->attributes, folder, "archive_sha256", &archive));
    if (strcmp(of, bank_sha256) != 0)
        return pb_fail(PB_E_INPUT, "--results %s: are not of %s, whose SHA-256 is %s, but of a bank with %s", folder,
                       options->bank, bank_sha256, of);
    snprintf(record->archive_sha256, sizeof record->archive_sha256, "%s", archive);
    return pb_prefix(figure_of(options, results, &record->figure, &record->images), folder);
}

/* --- the current version's -------------------------------------------------------------------------------------- */

/* What to do about results that are not the current version's. Of an older version of the store: somebody published meanwhile, so
 * scoring again helps, and the code says retry. Of another bank: the command is wrong. */
static pb_status not_of_current(const pb_job_options *options, const pb_bank_version *current, const char *of) {
    pb_bank_version *versions;
    size_t count, i = 0;
    PB_TRY(pb_bank_store_list(options->store, &versions, &count));
    while (i < count && strcmp(versions[i].bank_sha256, of) != 0)
        i++;
    pb_status status = i < count ? pb_fail(PB_E_SYSTEM,
                                           "--current-results %s: are of version %s, but %s is current now; score the gate's "
                                           "images with that one and publish again",
                                           options->current_results, versions[i].name, current->name)
                                 : pb_fail(PB_E_INPUT,
                                           "--current-results %s: are not of version %s, whose bank has the SHA-256 %s, but of a "
                                           "bank with %s",
                                           options->current_results, current->name, current->bank_sha256, of);
    pb_release(&versions);
    return status;
}

/* Path, label, and whether there is a score: figures of other samples cannot be compared. */
static bool is_same_image(const pb_results *a, const pb_results *b, uint64_t i) {
    return strcmp(a->paths[i], b->paths[i]) == 0 && a->label[i] == b->label[i] &&
           (a->nearest[i] == PB_RESULT_UNSCORED) == (b->nearest[i] == PB_RESULT_UNSCORED);
}

/* Results of one archive with one selection stand in the same order, so images are compared place by place. */
static pb_status check_same_images(const pb_job_options *options, const pb_results *results, const pb_results *current,
                                   const char *archive_sha256) {
    const char *archive;
    uint64_t i = 0;
    PB_TRY(pb_attributes_need(&current->attributes, options->current_results, "archive_sha256", &archive));
    bool same = strcmp(archive, archive_sha256) == 0 && results->images == current->images;
    while (same && i < results->images && is_same_image(results, current, i))
        i++;
    return same && i == results->images
               ? pb_ok()
               : pb_fail(PB_E_INPUT, "%s and %s: are not of the same images of one archive, so their figures cannot be compared",
                         options->results, options->current_results);
}

/* The order tells the most useful error: another bank before other images. */
static pb_status current_figure(const pb_job_options *options, const pb_bank_version *current, const pb_results *results,
                                const pb_results *current_results, pb_gate_record *record) {
    const char *of;
    uint64_t images;
    PB_TRY(pb_attributes_need(&current_results->attributes, options->current_results, "bank_sha256", &of));
    if (strcmp(of, current->bank_sha256) != 0)
        return not_of_current(options, current, of);
    PB_TRY(check_same_images(options, results, current_results, record->archive_sha256));
    return pb_prefix(figure_of(options, current_results, &record->current_figure, &images), options->current_results);
}

/* --- the verdict ------------------------------------------------------------------------------------------------ */

/* Written so that a figure that is not a number does not pass. */
static pb_status decide(const pb_job_options *options, const pb_bank_version *current, const pb_gate_record *record) {
    const char *what = is_auroc(options) ? "AUROC" : "share of normal images without an alarm";
    /* The first version of a store has only the floor to meet. */
    bool compared = *current->name != '\0';
    if (!(record->figure >= record->floor))
        return pb_fail(PB_E_NO, "%s %.6g is below the floor %g", what, record->figure, record->floor);
    if (compared && !(record->figure >= record->current_figure - record->margin))
        return pb_fail(PB_E_NO, "%s %.6g is below that of version %s, %.6g, by more than the margin %g", what, record->figure,
                       current->name, record->current_figure, record->margin);
    return pb_ok();
}

/* What depends on whether the store has a version: only known under its lock, so after the command was parsed. */
static pb_status check_options(const pb_job_options *options, const pb_bank_version *current) {
    if (!is_auroc(options) && options->threshold < 0)
        return pb_fail(PB_E_USAGE, "--threshold SCORE is missing: false alarms are scores above it");
    if (*current->name && !options->current_results)
        return pb_fail(PB_E_USAGE, "--current-results FOLDER is missing: %s has version %s, and the gate compares with it",
                       options->store, current->name);
    if (!*current->name && options->current_results)
        return pb_fail(PB_E_USAGE, "--current-results %s: there is nothing that they could be of: %s has no version yet",
                       options->current_results, options->store);
    return pb_ok();
}

/* NaN stands for what there is not: docs/FORMATS.md has null. Without a current version only the floor decides. */
pb_status pb_gate_judge(const pb_job_options *options, const char *bank_sha256, const pb_bank_version *current,
                        pb_gate_record *record) {
    pb_results results = {0}, current_results = {0};
    *record = (pb_gate_record){.current_figure = NAN,
                               .margin = options->margin,
                               .floor = options->floor,
                               .threshold = is_auroc(options) ? (double)NAN : options->threshold};
    snprintf(record->kind, sizeof record->kind, "%s", options->gate);
    PB_TRY(check_options(options, current));
    pb_status status = pb_results_of_folder(options->results, &results);
    if (!pb_failed(&status))
        status = candidate_figure(options, &results, bank_sha256, record);
    if (!pb_failed(&status) && *current->name)
        status = pb_results_of_folder(options->current_results, &current_results);
    if (!pb_failed(&status) && *current->name)
        status = current_figure(options, current, &results, &current_results, record);
    if (!pb_failed(&status))
        status = decide(options, current, record);
    pb_results_free(&results);
    pb_results_free(&current_results);
    return status;
}
