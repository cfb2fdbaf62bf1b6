/* meter_select.c: what selection, denoising and search cost, on a rank alone: a communicator of itself, so that no rank waits for
 * another.
 *
 * Selection is measured three times, of other numbers of patches and picks, and its cost divided by that into what a patch, a
 * pair and a pick cost (fit_selection). Of --repeat turns the one with the least processor time counts: what else the machine
 * does only adds. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/usage.h"
#include "coreset/greedy.h"
#include "coreset/outlier.h"
#include "coreset/search.h"
#include "jobs/collect.h"
#include "jobs/meter.h"

#include <math.h>
#include <string.h>

/* Shares of the patches that are picked: the second tells what a pair and a pick cost. */
static const double RATIO = 0.01, RATIO_MORE = 0.04;

/* --- selection --------------------------------------------------------------------------------------------------- */

/* A cover of the first `images` images of the sample. */
static pb_status fill_cover(pb_meter *m, size_t images, pb_cover **cover) {
    pb_device *device = m->setup.device;
    size_t patches = pb_meter_patches(m), bytes = patches * pb_meter_row_bytes(m);
    int64_t not_finite;
    float *rows;
    PB_TRY(pb_device_cover_create(device, images * patches, pb_projection_dim(m->projection), 0, cover));
    pb_status status = pb_device_alloc(device, bytes, &rows, "projected patches");
    for (size_t i = 0; i < images && !pb_failed(&status); i++) {
        status = pb_device_upload(device, rows, (const char *)m->rows + i * bytes, bytes);
        if (!pb_failed(&status))
            status = pb_device_cover_write(device, *cover, i * patches, patches, rows, &not_finite);
    }
    pb_device_release(device, &rows);
    return status;
}

/* What one selection took. */
typedef struct selected {
    double seconds, processor_s;
    pb_greedy_cost cost;
} selected;

/* Selects once, into m->coreset. Making the cover is not measured: in a training that is part of extraction. */
static pb_status select_once(pb_meter *m, size_t images, double ratio, selected *took) {
    pb_cover *cover = NULL;
    size_t total = images * pb_meter_patches(m), picks = pb_coreset_size(ratio, total);
    PB_TRY(pb_coreset_allocate(&m->coreset, picks));
    pb_status status = fill_cover(m, images, &cover);
    double begun = pb_clock_seconds(), used = pb_usage_now().processor_s;
    if (!pb_failed(&status)) {
        pb_greedy_input input = {.cover = cover,
                                 .count = total,
                                 .total = total,
                                 .dim = pb_projection_dim(m->projection),
                                 .picks = picks,
                                 .candidates_most = (size_t)m->job->options->candidates};
        status = pb_greedy_select(m->alone, &input, &m->coreset, NULL, &took->cost);
    }
    took->seconds = pb_clock_seconds() - begun;
    took->processor_s = pb_usage_now().processor_s - used;
    pb_device_cover_free(m->setup.device, &cover);
    return status;
}

/* The cheapest of several times; m->coreset is that of the last, and all are equal. */
static pb_status select_best(pb_meter *m, size_t images, double ratio, selected *best) {
    best->processor_s = INFINITY;
    for (int64_t turn = 0; turn < m->job->options->repeat; turn++) {
        selected took = {0};
        PB_TRY(select_once(m, images, ratio, &took));
        if (took.processor_s < best->processor_s)
            *best = took;
    }
    return pb_ok();
}

/* Differences of measured times may come out below 0 by noise: such a cost is 0. */
static double not_negative(double value) { return value > 0 ? value : 0; }

/* Processor seconds are a N + b N K + c K of N points and K picks. Three selections give a, b and c: `once` of (N, K), `more` of
 * (N, L), `half` of (N/2, K). From once and more: growth = b N + c, by the difference of picks. c: from half the points at the
 * same picks, what is left of N/2 / N of the cost of once is (1 - N/2 / N) c K. Each is kept within what the others leave. */
static void fit_selection(pb_meter *m, const selected *once, const selected *more, const selected *half, double picks,
                          double picks_more) {
    double n = (double)(m->select_images * pb_meter_patches(m)), n_half = (double)(m->select_images / 2 * pb_meter_patches(m));
    double growth = (more->processor_s - once->processor_s) / (picks_more - picks); /* b N + c */
    double c = not_negative((half->processor_s - n_half / n * once->processor_s) / ((1 - n_half / n) * picks));
    c = c < growth ? c : not_negative(growth);
    double b = not_negative((growth - c) / n);
    m->found.select_pick_s = c;
    m->found.select_pair_s = b;
    m->found.select_point_s = not_negative((once->processor_s - (b * n + c) * picks) / n);
}

/* How strongly the picks of the coreset crowd into images: jobs/constants.h has the law, solved here for spread. Cost: images
 * times picks, some 10^5 to 10^6 comparisons. */
static double spread_of(const pb_meter *m) {
    double images = (double)m->select_images, owners = 0;
    for (size_t i = 0; i < m->select_images; i++)
        for (size_t p = 0; p < m->coreset.count; p++)
            if (m->coreset.picked[p] / pb_meter_patches(m) == i) {
                owners++;
                break;
            }
    owners = fmin(owners, images - 0.5); /* all of them would be an infinite spread */
    return -log(1 - owners / images) * images / (double)m->coreset.count;
}

/* The order leaves the smaller coreset in the meter, which is the one that rounds, candidates and spread are of. */
pb_status pb_meter_selection(pb_meter *m) {
    selected once, more, half;
    PB_TRY(select_best(m, m->select_images, RATIO_MORE, &more));
    double picks_more = (double)m->coreset.count;
    /* As many picks from half of the patches. */
    PB_TRY(select_best(m, m->select_images / 2, RATIO * (double)m->select_images / (double)(m->select_images / 2), &half));
    PB_TRY(select_best(m, m->select_images, RATIO, &once));
    double picks = (double)m->coreset.count;
    if (picks_more <= picks || once.cost.rounds == 0)
        return pb_fail(PB_E_INPUT, "%s: its images are too few or too much alike to measure selection with",
                       m->job->options->archive);
    fit_selection(m, &once, &more, &half, picks, picks_more);
    m->found.select_speedup = fmax(once.processor_s / once.seconds, 1e-3);
    m->found.rounds = (double)once.cost.rounds;
    m->found.rounds_picks = picks;
    m->found.candidates_a_pick = (double)once.cost.candidates_sum / picks;
    m->found.spread = spread_of(m);
    return pb_ok();
}

/* --- denoising --------------------------------------------------------------------------------------------------- */

enum { PLACES_MOST = 64 }; /* places that are compared: enough to be seen by a clock */

/* Patch `place` of every image. */
static void gather_place(const pb_meter *m, size_t place, char *rows) {
    size_t bytes = pb_meter_row_bytes(m);
    for (size_t i = 0; i < m->select_images; i++)
        memcpy(rows + i * bytes, (const char *)m->rows + (i * pb_meter_patches(m) + place) * bytes, bytes);
}

/* Adds what some places cost to *took. */
static pb_status compare_places(const pb_meter *m, size_t places, float *rows, float *scores, selected *took) {
    for (size_t i = 0; i < places; i++) {
        gather_place(m, i * pb_meter_patches(m) / places, (char *)rows);
        double begun = pb_clock_seconds(), used = pb_usage_now().processor_s;
        PB_TRY(pb_outlier_scores(PB_OUTLIER_NEAREST, rows, m->select_images, pb_projection_dim(m->projection), m->setup.threads,
                                 scores));
        took->seconds += pb_clock_seconds() - begun;
        took->processor_s += pb_usage_now().processor_s - used;
    }
    return pb_ok();
}

pb_status pb_meter_comparison(pb_meter *m) {
    const size_t n = m->select_images, places = pb_meter_patches(m) < PLACES_MOST ? pb_meter_patches(m) : PLACES_MOST;
    double pairs = (double)places * (double)n * (double)n, best = INFINITY, least = INFINITY;
    float *rows = NULL, *scores = NULL;
    pb_status status = pb_allocate(&rows, n, pb_meter_row_bytes(m), "patches of a place");
    pb_keep_first(&status, pb_allocate(&scores, n, sizeof *scores, "scores of a place"));
    for (int64_t turn = 0; turn < m->job->options->repeat && !pb_failed(&status); turn++) {
        selected took = {0};
        status = compare_places(m, places, rows, scores, &took);
        best = fmin(best, took.seconds);
        least = fmin(least, took.processor_s);
    }
    pb_release(&rows);
    pb_release(&scores);
    m->found.compare_pairs_per_s = pairs / fmax(best, 1e-9);
    m->found.compare_pair_processor_s = least / pairs;
    return status;
}

/* --- search ------------------------------------------------------------------------------------------------------ */

/* The rows of the coreset, and the paths of their images, whose mean length with its 0 is a constant. */
static pb_status collect(pb_meter *m) {
    pb_collect_input input = {.comm = m->self,
                              .device = m->setup.device,
                              .archive = m->setup.archive,
                              .pipeline = m->setup.pipeline,
                              .images = m->images,
                              .image_count = m->select_images,
                              .picked = m->coreset.picked,
                              .radius = m->coreset.radius,
                              .picks = m->coreset.count};
    PB_TRY(pb_collect_bank(&input, &m->bank));
    for (size_t i = 0; i < m->bank.rows; i++)
        m->found.path_bytes += (double)(strlen(m->bank.paths[i]) + 1) / (double)m->bank.rows;
    return pb_ok();
}

/* Searches for the patches of one batch, again and again; the fastest turn counts. */
static pb_status search_batch(pb_meter *m, pb_search *search, const pb_batch *batch, float *distance, uint32_t *row) {
    size_t queries = batch->count * pb_meter_patches(m);
    double pairs = (double)queries * (double)m->bank.rows, best = INFINITY, least = INFINITY;
    for (int64_t turn = 0; turn < m->job->options->repeat; turn++) {
        double begun = pb_clock_seconds(), used = pb_usage_now().processor_s;
        PB_TRY(pb_search_nearest(search, batch->features, queries, distance, row));
        best = fmin(best, pb_clock_seconds() - begun);
        least = fmin(least, pb_usage_now().processor_s - used);
    }
    m->found.search_pairs_per_s = pairs / best;
    m->found.search_pair_processor_s = least / pairs;
    return pb_ok();
}

/* The bank is one shard here: a rank alone sends nothing round. */
pb_status pb_meter_search(pb_meter *m) {
    pb_pipeline *pipeline = m->setup.pipeline;
    size_t most = pb_pipeline_batch_max(pipeline) * pb_meter_patches(m);
    pb_search *search = NULL;
    float *distance = NULL;
    uint32_t *row = NULL;
    pb_batch batch;
    PB_TRY(collect(m));
    pb_status status = pb_search_create(m->alone, m->bank.features, m->bank.rows, m->bank.dim, &search);
    pb_keep_first(&status, pb_allocate(&distance, most, sizeof *distance, "patch distances"));
    pb_keep_first(&status, pb_allocate(&row, most, sizeof *row, "nearest rows"));
    if (!pb_failed(&status))
        status = pb_pipeline_begin(pipeline, m->images, m->count);
    if (!pb_failed(&status))
        status = pb_pipeline_next(pipeline, &m->rejects, &batch);
    if (!pb_failed(&status))
        status = search_batch(m, search, &batch, distance, row);
    pb_pipeline_end(pipeline);
    pb_search_free(&search);
    pb_release(&distance);
    pb_release(&row);
    return status;
}
