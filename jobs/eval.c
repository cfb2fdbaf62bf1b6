/* eval.c: results + labels -> image AUROC, beside the brightness floor, over all images and per class. Rank 0 does that alone:
 * the whole of it is a sort of the image scores. With an archive, whose masks say where defects are, all ranks add the figures of
 * pixels (eval_pixels.h).
 *
 * The answer is made as JSON (docs/FORMATS.md, Figures); the table for people is printed from it, so both say the same. An answer
 * belongs to rank 0; elsewhere it is an empty object. Figures are AUROCs of image scores (coreset/metrics.h), and beside each
 * stands its floor (docs/ARCHITECTURE.md, "The brightness floor"). */
#include "base/log.h"
#include "base/memory.h"
#include "jobs/eval_pixels.h"
#include "jobs/figures.h"
#include "jobs/job.h"
#include "jobs/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The floor: the best that a single grey statistic achieves when statistic and direction are chosen with the labels in hand. An
 * AUROC below a half is above one for the other direction. within: as pb_sample_auroc has it. */
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

/* Where a class has no near pair its other figures are still an answer; of all images it is an error. pairs tells that from other
 * errors. */
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

/* One row of the answer: the figures of one class, or of all images when class is NULL. `row` may hold some of them after a
 * failure. Errors: PB_E_INPUT when either kind of images is missing. */
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

/* Classes in order of first appearance, each once; borrowed names in an array that is the caller's. Cost: images times
 * classes. */
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

/* A class without both kinds of labels has no AUROC; the others' figures are still an answer. Where all images are of one class
 * there are no rows: they would repeat the first. */
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

/* ---- pixels ---- */

static void put_pixels(const pb_pixel_row *of, json_t *row) {
    json_t *pixels = json_object();
    json_object_set_new(pixels, "images", json_integer((json_int_t)of->images));
    json_object_set_new(pixels, "without_mask", json_integer((json_int_t)of->without_mask));
    json_object_set_new(pixels, "empty_mask", json_integer((json_int_t)of->empty_mask));
    json_object_set_new(pixels, "regions", json_integer((json_int_t)of->figures.regions));
    json_object_set_new(pixels, "defective", json_integer((json_int_t)of->figures.defective));
    json_object_set_new(pixels, "normal", json_integer((json_int_t)of->figures.normal));
    json_object_set_new(pixels, "auroc", json_real(of->figures.auroc));
    json_object_set_new(pixels, "pro", json_real(of->figures.pro));
    json_object_set_new(row, "pixels", pixels);
}

/* Collective. Every class that has a row in the answer, which only rank 0 knows and tells for each class. Rows are in the order
 * of the classes, with some left out, so `at` is the next row to come. A class without both kinds of pixels keeps its other
 * figures. */
static pb_status measure_class_pixels(const pb_job *job, const pb_results *results, pb_eval_pixels *pixels, json_t *answer) {
    const bool writes = pb_comm_rank(job->comm) == 0;
    const json_t *rows = json_object_get(answer, "classes");
    const char **names = NULL;
    size_t count = 0, at = 0;
    pb_status status = pb_agree(job->comm, list_classes(results, &names, &count));
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        json_t *row = writes ? json_array_get(rows, at) : NULL;
        const char *next = row ? json_string_value(json_object_get(row, "class")) : NULL;
        /* On rank 0: whether the next row is of this class. The others are told. */
        bool wanted = next && strcmp(next, names[i]) == 0;
        pb_pixel_row found;
        pb_comm_broadcast(job->comm, &wanted, sizeof wanted, 0, "whether a class has figures");
        if (!wanted)
            continue;
        status = pb_eval_pixels_measure(pixels, names[i], &found);
        if (status.code == PB_E_INPUT && (found.figures.normal == 0) != (found.figures.defective == 0)) {
            pb_log_once(PB_LOG_WARN, "pixels-left-out", "class=\"%s\" reason=\"%s\"", names[i], status.message);
            status = pb_ok();
        } else if (!pb_failed(&status) && writes) {
            put_pixels(&found, row);
        }
        at++;
    }
    pb_release(&names);
    return status;
}

/* What the figures of pixels depend on beside the scores. */
static json_t *describe_maps(const pb_job *job, pb_size size) {
    json_t *maps = json_object();
    json_object_set_new(maps, "width", json_integer(size.width));
    json_object_set_new(maps, "height", json_integer(size.height));
    json_object_set_new(maps, "sigma", json_real(job->options->sigma));
    json_object_set_new(maps, "pro_limit", json_real(PB_PRO_LIMIT));
    return maps;
}

/* Collective. answer: rank 0's, with its rows; elsewhere it is not touched. */
static pb_status measure_pixels(const pb_job *job, const pb_results *results, json_t *answer) {
    pb_eval_pixels *pixels;
    pb_pixel_row found;
    pb_status status = pb_eval_pixels_open(job, results, &pixels);
    if (pb_failed(&status))
        return status;
    status = pb_prefix(pb_eval_pixels_measure(pixels, NULL, &found), job->options->results);
    if (!pb_failed(&status)) {
        if (pb_comm_rank(job->comm) == 0) {
            put_pixels(&found, answer);
            json_object_set_new(answer, "maps", describe_maps(job, pb_eval_pixels_size(pixels)));
        }
        status = measure_class_pixels(job, results, pixels, answer);
    }
    pb_eval_pixels_close(&pixels);
    return status;
}

/* ---- what people see ---- */

static long long count_of(const json_t *object, const char *key) {
    return (long long)json_integer_value(json_object_get(object, key));
}

/* Figures of pixels, or as many blanks where a class has none. */
static void print_pixels(const json_t *row) {
    const json_t *pixels = json_object_get(row, "pixels");
    if (pixels)
        printf("  %.4f  %.4f", json_real_value(json_object_get(pixels, "auroc")),
               json_real_value(json_object_get(pixels, "pro")));
    else
        printf("%16s", "");
}

/* maps: whether the answer has figures of pixels. */
static void print_row(const json_t *row, const json_t *maps) {
    const char *class = json_string_value(json_object_get(row, "class"));
    printf("%-16s %9lld %9lld   %.4f  %.4f", class ? class : "all images",
           count_of(row, "defective"), count_of(row, "normal"), json_real_value(json_object_get(row, "auroc")),
           json_real_value(json_object_get(row, "auroc_brightness")));
    if (maps)
        print_pixels(row);
    if (json_object_get(row, "near_pairs"))
        printf(" %9lld   %.4f  %.4f", count_of(row, "near_pairs"), json_real_value(json_object_get(row, "near_pair_auroc")),
               json_real_value(json_object_get(row, "near_pair_auroc_brightness")));
    printf("\n");
}

static void print_maps(const json_t *answer, const json_t *maps) {
    const json_t *pixels = json_object_get(answer, "pixels");
    printf("# pixels: their AUROC, on maps of %lld x %lld, sigma %g; PRO: overlap of %lld regions up to a false positive rate of "
           "%g\n",
           count_of(maps, "width"), count_of(maps, "height"), json_real_value(json_object_get(maps, "sigma")),
           count_of(pixels, "regions"), json_real_value(json_object_get(maps, "pro_limit")));
    printf("# of the defective images %lld without a mask are left out, %lld have an empty one\n",
           count_of(pixels, "without_mask"), count_of(pixels, "empty_mask"));
}

static void print_table(const json_t *answer, int64_t within) {
    const json_t *maps = json_object_get(answer, "maps");
    size_t i;
    json_t *row;
    printf("#                defective    normal    AUROC   floor");
    if (maps)
        printf("  pixels     PRO");
    if (within >= 0)
        printf("     pairs    AUROC   floor of pairs within %" PRId64 " groups", within);
    printf("\n");
    print_row(answer, maps);
    json_array_foreach(json_object_get(answer, "classes"), i, row) print_row(row, maps);
    printf(
        "# floor: the best that one brightness statistic achieves, chosen with the labels in hand; a bank that is not clearly\n"
        "# above it has seen the light, not the defect\n");
    if (maps)
        print_maps(answer, maps);
}

/* ---- the job ---- */

/* On rank 0. What fails here fails for what the results say, so their folder is named. */
static pb_status measure_all(const pb_results *results, const pb_job_options *options, json_t *answer) {
    json_t *classes = json_array();
    pb_status status = measure(results, NULL, options->pairs_within, answer);
    if (!pb_failed(&status))
        status = measure_classes(results, options->pairs_within, classes);
    json_object_set_new(answer, "classes", classes);
    return pb_prefix(status, options->results);
}

static pb_status show(const pb_job_options *options, const json_t *answer) {
    if (!pb_json_only(options->json))
        print_table(answer, options->pairs_within);
    return options->json ? pb_json_write(answer, options->json) : pb_ok();
}

/* Collective. With an archive all ranks read the results themselves, since each makes maps of some; pb_eval_pixels_open makes
 * sure that they read the same. */
pb_status pb_job_eval(const pb_job *job) {
    const pb_job_options *options = job->options;
    const bool writes = pb_comm_rank(job->comm) == 0;
    pb_results results = {0};
    json_t *answer = json_object();
    pb_status status = pb_ok();
    if (writes || options->archive)
        status = pb_results_of_folder(options->results, &results);
    status = pb_agree(job->comm, status);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, writes ? measure_all(&results, options, answer) : pb_ok());
    if (!pb_failed(&status) && options->archive)
        status = measure_pixels(job, &results, answer);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, writes ? show(options, answer) : pb_ok());
    json_decref(answer);
    pb_results_free(&results);
    return status;
}
