/* figures.c: the images of results that figures can be of. An image without a label or without a score is counted and left out,
 * never guessed. */
#include "jobs/figures.h"

#include "base/memory.h"
#include "coreset/metrics.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void pb_sample_free(pb_sample *chosen) {
    pb_release(&chosen->score);
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++)
        pb_release(&chosen->brightness[k]);
    pb_release(&chosen->defective);
    pb_release(&chosen->group);
}

/* Groups are names; --pairs-within takes their difference, so they must be whole numbers. */
static pb_status parse_group(const pb_results *results, size_t i, int64_t *group) {
    const char *text = results->groups[i];
    char *end;
    errno = 0;
    *group = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return pb_fail(PB_E_INPUT, "%s: group \"%s\" is not a whole number, which --pairs-within needs", results->paths[i], text);
    if (errno == ERANGE)
        return pb_fail(PB_E_INPUT,
                       "%s: group \"%s\" is too large a number for --pairs-within, which takes %" PRId64 " to %" PRId64,
                       results->paths[i], text, INT64_MIN, INT64_MAX);
    return pb_ok();
}

static pb_status add(const pb_results *results, size_t i, pb_sample *chosen) {
    if (results->label[i] == PB_LABEL_UNKNOWN) {
        chosen->unlabelled++;
        return pb_ok();
    }
    if (isnan(results->score[i])) {
        chosen->unscored++;
        return pb_ok();
    }
    size_t at = chosen->count++;
    chosen->score[at] = results->score[i];
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++)
        chosen->brightness[k][at] = results->brightness[i][k];
    chosen->defective[at] = results->label[i] == PB_LABEL_DEFECTIVE;
    chosen->defects += chosen->defective[at];
    return chosen->group ? parse_group(results, i, &chosen->group[at]) : pb_ok();
}

/* Room for all images, so that nothing is counted twice; `group` only when it is needed, since groups need not be numbers. */
pb_status pb_sample_choose(const pb_results *results, const char *class, bool groups, pb_sample *chosen) {
    size_t images = (size_t)results->images;
    *chosen = (pb_sample){0};
    PB_TRY(pb_allocate(&chosen->score, images, sizeof *chosen->score, "scores"));
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++)
        PB_TRY(pb_allocate(&chosen->brightness[k], images, sizeof *chosen->brightness[k], "scores"));
    PB_TRY(pb_allocate(&chosen->defective, images, sizeof *chosen->defective, "labels"));
    if (groups)
        PB_TRY(pb_allocate(&chosen->group, images, sizeof *chosen->group, "groups"));
    for (size_t i = 0; i < images; i++)
        if (!class || strcmp(class, results->classes[i]) == 0)
            PB_TRY(add(results, i, chosen));
    return pb_ok();
}

pb_status pb_sample_auroc(const pb_sample *chosen, const double *score, int64_t within, double *auroc, uint64_t *pairs) {
    return within < 0 ? pb_auroc(score, chosen->defective, chosen->count, auroc)
                      : pb_auroc_near_pairs(score, chosen->defective, chosen->group, chosen->count, within, auroc, pairs);
}

pb_status pb_results_of_folder(const char *folder, pb_results *results_out) {
    char path[PB_PATH_MAX];
    *results_out = (pb_results){0};
    PB_TRY(pb_path_join(folder, "results.h5", path));
    return pb_results_read(path, results_out);
}
