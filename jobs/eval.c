/* eval.c: results + labels -> image AUROC, beside the brightness floor, over all images and per class. Rank 0 works alone: the
 * whole of it is a sort of the image scores. */
#include "base/log.h"
#include "base/memory.h"
#include "jobs/figures.h"
#include "jobs/job.h"
#include "jobs/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The floor: the best that a single grey statistic achieves when statistic and direction are chosen with the labels in hand. */
static pb_status floor_of(const pb_sample *chosen, int64_t within, double *floor_auroc) {
    uint64_t pairs;
    *floor_auroc = 0;
    for (int k = 0; k < PB_BRIGHTNESS_STATS; k++) {
        double auroc;
        PB_TRY(pb_sample_auroc(chosen, chosen->brightness[k], within, &auroc, &pairs));
        *floor_auroc = fmax(*floor_auroc, fmax(auroc, 1 - auroc));
    }
    return pb_ok();
}

/* Where a class has no near pair its other figures are still an answer; of all images it is an error. */
static pb_status put_near_pairs(const pb_sample *chosen, int64_t within, const char *class, json_t *row) {
    double auroc, floor_auroc;
    uint64_t pairs;
    pb_status status = pb_sample_auroc(chosen, chosen->score, within, &auroc, &pairs);
    if (class && status.code == PB_E_INPUT && pairs == 0) {
        pb_log(PB_LOG_WARN, "near-pairs-left-out", "class=\"%s\" reason=\"%s\"", class, status.message);
        return pb_ok();
    }
    if (pb_failed(&status))
        return status;
    PB_TRY(floor_of(chosen, within, &floor_auroc));
    json_object_set_new(row, "near_pairs_within", json_integer(within));
    json_object_set_new(row, "near_pairs", json_integer((json_int_t)pairs));
    json_object_set_new(row, "near_pair_auroc", json_real(auroc));
    json_object_set_new(row, "near_pair_auroc_brightness", json_real(floor_auroc));
    return pb_ok();
}

/* One row of the answer: the figures of one class, or of all images when class is NULL. */
static pb_status measure(const pb_results *results, const char *class, int64_t within, json_t *row) {
    pb_sample chosen;
    double auroc = NAN, floor_auroc = NAN;
    pb_status status = pb_sample_choose(results, class, within >= 0, &chosen);
    if (!pb_failed(&status))
        status = pb_sample_auroc(&chosen, chosen.score, -1, &auroc, NULL);
    if (!pb_failed(&status))
        status = floor_of(&chosen, -1, &floor_auroc);
    if (!pb_failed(&status)) {
        json_object_set_new(row, "class", class ? json_string(class) : json_null());
        json_object_set_new(row, "defective", json_integer((json_int_t)chosen.defects));
        json_object_set_new(row, "normal", json_integer((json_int_t)(chosen.count - chosen.defects)));
        json_object_set_new(row, "unlabelled", json_integer((json_int_t)chosen.unlabelled));
        json_object_set_new(row, "unscored", json_integer((json_int_t)chosen.unscored));
        json_object_set_new(row, "auroc", json_real(auroc));
        json_object_set_new(row, "auroc_brightness", json_real(floor_auroc));
        if (within >= 0)
            status = put_near_pairs(&chosen, within, class, row);
    }
    pb_sample_free(&chosen);
    return status;
}

/* Classes in order of first appearance, each once; borrowed. */
static pb_status list_classes(const pb_results *results, const char ***names_out, size_t *count_out) {
    const char **names;
    size_t count = 0;
    PB_TRY(pb_allocate(&names, (size_t)results->images, sizeof *names, "class names"));
    for (uint64_t i = 0; i < results->images; i++) {
        size_t known = 0;
        while (known < count && strcmp(names[known], results->classes[i]) != 0)
            known++;
        if (known == count)
            names[count++] = results->classes[i];
    }
    *names_out = names;
    *count_out = count;
    return pb_ok();
}

/* A class without both kinds of labels has no AUROC; the others' figures are still an answer. */
static pb_status measure_classes(const pb_results *results, int64_t within, json_t *rows) {
    const char **names;
    size_t count;
    PB_TRY(list_classes(results, &names, &count));
    pb_status status = pb_ok();
    for (size_t i = 0; i < count && count > 1 && !pb_failed(&status); i++) {
        json_t *row = json_object();
        status = measure(results, names[i], within, row);
        if (status.code == PB_E_INPUT) {
            pb_log(PB_LOG_WARN, "class-left-out", "class=\"%s\" reason=\"%s\"", names[i], status.message);
            json_decref(row);
            status = pb_ok();
            continue;
        }
        json_array_append_new(rows, row);
    }
    pb_release(&names);
    return status;
}

static void print_row(const json_t *row) {
    const char *class = json_string_value(json_object_get(row, "class"));
    printf("%-16s %9lld %9lld   %.4f  %.4f", class ? class : "all images",
           (long long)json_integer_value(json_object_get(row, "defective")),
           (long long)json_integer_value(json_object_get(row, "normal")), json_real_value(json_object_get(row, "auroc")),
           json_real_value(json_object_get(row, "auroc_brightness")));
    if (json_object_get(row, "near_pairs"))
        printf(" %9lld   %.4f  %.4f", (long long)json_integer_value(json_object_get(row, "near_pairs")),
               json_real_value(json_object_get(row, "near_pair_auroc")),
               json_real_value(json_object_get(row, "near_pair_auroc_brightness")));
    printf("\n");
}

static void print_table(const json_t *answer, int64_t within) {
    size_t i;
    json_t *row;
    printf("#                defective    normal    AUROC   floor");
    if (within >= 0)
        printf("     pairs    AUROC   floor of pairs within %" PRId64 " groups", within);
    printf("\n");
    print_row(answer);
    json_array_foreach(json_object_get(answer, "classes"), i, row) print_row(row);
    printf(
        "# floor: the best that one brightness statistic achieves, chosen with the labels in hand; a bank that is not clearly\n"
        "# above it has seen the light, not the defect\n");
}

/* What fails here fails for what the results say, so their folder is named. */
static pb_status measure_all(const pb_results *results, const pb_job_options *options, json_t *answer) {
    json_t *classes = json_array();
    pb_status status = measure(results, NULL, options->pairs_within, answer);
    if (!pb_failed(&status))
        status = measure_classes(results, options->pairs_within, classes);
    json_object_set_new(answer, "classes", classes);
    return pb_prefix(status, options->results);
}

static pb_status evaluate(const pb_job_options *options) {
    pb_results results;
    PB_TRY(pb_results_of_folder(options->results, &results));
    json_t *answer = json_object();
    pb_status status = measure_all(&results, options, answer);
    if (!pb_failed(&status) && !pb_json_only(options->json))
        print_table(answer, options->pairs_within);
    if (!pb_failed(&status) && options->json)
        status = pb_json_write(answer, options->json);
    json_decref(answer);
    pb_results_free(&results);
    return status;
}

pb_status pb_job_eval(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? evaluate(job->options) : pb_ok());
}
