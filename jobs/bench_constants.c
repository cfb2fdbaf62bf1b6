/* bench_constants.c: what `patchbank plan` reckons with, measured on this cluster: `patchbank bench constants`.
 *
 * A small training and a small scoring, made of the parts that the jobs are made of, on a sample of the archive. Every rank
 * measures by itself, all at the same time, so that ranks of a host share it as they will; the slowest rank's figures are
 * written, since a job goes at its pace. Processor times are the least of `--repeat`: others on the machine only add to them. */
#include "base/log.h"
#include "base/memory.h"
#include "base/usage.h"
#include "coreset/greedy.h"
#include "coreset/projection.h"
#include "coreset/search.h"
#include "io/file.h"
#include "io/results_file.h"
#include "jobs/collect.h"
#include "jobs/model.h"
#include "jobs/setup.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Images that selection is measured on, at most: 200,704 patches of 224 pixels. */
enum { SELECT_IMAGES = 256 };

/* Bytes written to the disk, copied in memory and sent, each often enough to be seen by a clock. */
enum { WRITE_BYTES = 32 << 20, COPY_BYTES = 64 << 20, LINK_BYTES = 4 << 20, SMALL_MESSAGES = 200, TURNS = 8 };

/* Shares of the patches that are picked: the second tells what a pair and a pick cost. */
static const double RATIO = 0.01, RATIO_MORE = 0.04;

/* One rank's state. Zeroed it is empty. */
typedef struct meter {
    const pb_job *job;
    pb_attributes attributes;
    pb_request request;
    pb_setup setup;
    pb_rejects rejects;
    pb_projection *projection;
    pb_comm *self;         /* this rank alone */
    pb_device_comm *alone; /* likewise */
    uint64_t *images;      /* [count] that were good, archive indices */
    size_t count, wanted;
    float *rows;        /* [select_images * patches][selection dim]: projected patches, host memory */
    size_t select_images;
    float *device_rows; /* [rows of a batch], device memory */
    pb_coreset coreset; /* of RATIO */
    pb_bank bank;       /* its rows */
    pb_constants found;
} meter;

static void meter_free(meter *m) {
    pb_bank_free(&m->bank);
    pb_coreset_free(&m->coreset);
    if (m->setup.device)
        pb_device_release(m->setup.device, &m->device_rows);
    pb_release(&m->rows);
    pb_release(&m->images);
    pb_device_comm_destroy(&m->alone);
    pb_comm_destroy(&m->self);
    pb_projection_free(&m->projection);
    pb_setup_close(&m->setup);
    pb_rejects_free(&m->rejects);
    pb_attributes_free(&m->attributes);
}

static size_t patches(const meter *m) { return pb_pipeline_patches(m->setup.pipeline); }

static size_t row_bytes(const meter *m) { return (size_t)pb_projection_dim(m->projection) * sizeof(float); }

static int rising(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* --- extraction ------------------------------------------------------------------------------------------------- */

/* Collective. */
static pb_status open_all(meter *m) {
    const pb_job *job = m->job;
    size_t wanted = (size_t)job->options->images;
    pb_status status = pb_setup_open_own(job, PB_WHICH_ALL, &m->attributes, &m->request, &m->setup);
    if (pb_failed(&status))
        return status;
    m->found.start_s = pb_clock_seconds() - job->summary->begun;
    m->found.start_processor_s = pb_usage_now().processor_s;
    m->wanted = wanted > 0 && wanted < m->setup.selection.count ? wanted : m->setup.selection.count;
    if (m->wanted < 2)
        status = pb_fail(PB_E_INPUT, "%s: needs two images a rank; measure on fewer ranks", job->options->archive);
    if (!pb_failed(&status))
        status = pb_projection_create(m->setup.device, (uint64_t)job->options->seed, pb_pipeline_dim(m->setup.pipeline),
                                      (int)job->options->projection, &m->projection);
    pb_keep_first(&status, pb_comm_create_self(&m->self));
    if (!pb_failed(&status))
        status = pb_device_comm_create(m->self, m->setup.device, PB_ROUTE_HOST, 0, &m->alone);
    pb_keep_first(&status, pb_allocate(&m->images, m->wanted, sizeof *m->images, "image indices"));
    return pb_agree(job->comm, status);
}

/* Keeps the rows of the first images for selection. */
static pb_status keep_rows(meter *m, const pb_batch *batch, const float *projected) {
    size_t image_bytes = patches(m) * row_bytes(m), room = m->select_images > m->count ? m->select_images - m->count : 0;
    size_t count = batch->count < room ? batch->count : room;
    return pb_device_download(m->setup.device, (char *)m->rows + m->count * image_bytes, projected, count * image_bytes);
}

/* A pass over the sample. cover: where its patches go; NULL: images are only extracted, and nothing is kept. */
static pb_status extract(meter *m, pb_cover *cover) {
    pb_pipeline *pipeline = m->setup.pipeline;
    size_t batch_max = pb_pipeline_batch_max(pipeline), first = 0;
    pb_status status = pb_pipeline_begin(pipeline, m->setup.selection.index, m->wanted);
    for (size_t done = 0; done < m->wanted && !pb_failed(&status); done += batch_max) {
        pb_batch batch;
        const float *projected;
        int64_t not_finite;
        status = pb_pipeline_next(pipeline, &m->rejects, &batch);
        size_t rows = batch.count * patches(m);
        if (!pb_failed(&status))
            status = pb_projection_apply(m->projection, batch.features, rows, &projected);
        if (!pb_failed(&status) && cover) {
            status = pb_device_cover_write(m->setup.device, cover, first, rows, projected, &not_finite);
            if (!pb_failed(&status))
                status = keep_rows(m, &batch, projected);
            memcpy(m->images + m->count, batch.index, batch.count * sizeof *batch.index);
            m->count += batch.count;
            first += rows;
        }
    }
    pb_pipeline_end(pipeline);
    pb_rejects_free(&m->rejects); /* the next pass meets the same ones */
    m->rejects = pb_rejects_begin((uint64_t)m->job->options->max_bad);
    return status;
}

/* How fast images are extracted into a cover, once the files are in the page cache, and what memory it takes before. */
static pb_status measure_extraction(meter *m) {
    pb_cover *cover = NULL;
    const pb_stages *stages = pb_pipeline_stages(m->setup.pipeline);
    PB_TRY(extract(m, NULL));
    m->found.process_bytes = (double)pb_usage_now().peak_bytes;
    m->select_images = m->wanted < SELECT_IMAGES ? m->wanted : SELECT_IMAGES;
    PB_TRY(pb_allocate(&m->rows, m->select_images * patches(m), row_bytes(m), "projected patches"));
    PB_TRY(pb_device_cover_create(m->setup.device, m->wanted * patches(m), pb_projection_dim(m->projection), 0, &cover));
    double begun = pb_clock_seconds(), used = pb_usage_now().processor_s;
    pb_status status = extract(m, cover);
    double seconds = pb_clock_seconds() - begun;
    used = pb_usage_now().processor_s - used;
    pb_device_cover_free(m->setup.device, &cover);
    if (!pb_failed(&status) && m->count < 2)
        status = pb_fail(PB_E_INPUT, "%s: fewer than two images of the sample can be read", m->job->options->archive);
    if (pb_failed(&status))
        return status;
    m->select_images = m->count < m->select_images ? m->count : m->select_images;
    m->found.extract_images_per_s = (double)m->count / seconds;
    m->found.extract_processor_s = used / (double)m->count;
    m->found.read_bytes_per_s = (double)stages->bytes / fmax(stages->read_busy_s, 1e-9);
    m->found.decode_images_per_s = (double)m->count / stages->decode_busy_s;
    m->found.network_images_per_s = (double)m->count / stages->device_busy_s;
    m->found.image_bytes = (double)stages->bytes / (double)m->wanted;
    return pb_ok();
}

/* --- selection --------------------------------------------------------------------------------------------------- */

/* A cover of the first `images` images of the sample. */
static pb_status fill_cover(meter *m, size_t images, pb_cover **cover) {
    pb_device *device = m->setup.device;
    size_t bytes = patches(m) * row_bytes(m);
    int64_t not_finite;
    PB_TRY(pb_device_cover_create(device, images * patches(m), pb_projection_dim(m->projection), 0, cover));
    for (size_t i = 0; i < images; i++) {
        PB_TRY(pb_device_upload(device, m->device_rows, (const char *)m->rows + i * bytes, bytes));
        PB_TRY(pb_device_cover_write(device, *cover, i * patches(m), patches(m), m->device_rows, &not_finite));
    }
    return pb_ok();
}

/* What one selection took. */
typedef struct selected {
    double seconds, processor_s;
    pb_greedy_cost cost;
} selected;

/* Selects once, into m->coreset. */
static pb_status select_once(meter *m, size_t images, double ratio, selected *took) {
    pb_cover *cover = NULL;
    size_t total = images * patches(m), picks = pb_coreset_size(ratio, total);
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

/* The cheapest of several times. */
static pb_status select_best(meter *m, size_t images, double ratio, selected *best) {
    best->processor_s = INFINITY;
    for (int64_t turn = 0; turn < m->job->options->repeat; turn++) {
        selected took = {0};
        PB_TRY(select_once(m, images, ratio, &took));
        if (took.processor_s < best->processor_s)
            *best = took;
    }
    return pb_ok();
}

static double not_negative(double value) { return value > 0 ? value : 0; }

/* Processor seconds are a N + b N K + c K of N points and K picks. Three selections give a, b and c: (N, K), (N, L), (N/2, K). */
static void fit_selection(meter *m, const selected *once, const selected *more, const selected *half, double picks,
                          double picks_more) {
    double n = (double)(m->select_images * patches(m)), n_half = (double)(m->select_images / 2 * patches(m));
    double growth = (more->processor_s - once->processor_s) / (picks_more - picks); /* b N + c */
    double c = not_negative((half->processor_s - n_half / n * once->processor_s) / ((1 - n_half / n) * picks));
    c = c < growth ? c : not_negative(growth);
    double b = not_negative((growth - c) / n);
    m->found.select_pick_s = c;
    m->found.select_pair_s = b;
    m->found.select_point_s = not_negative((once->processor_s - (b * n + c) * picks) / n);
}

/* How strongly the picks of the coreset crowd into images. */
static double spread_of(const meter *m) {
    double images = (double)m->select_images, owners = 0;
    for (size_t i = 0; i < m->select_images; i++)
        for (size_t p = 0; p < m->coreset.count; p++)
            if (m->coreset.picked[p] / patches(m) == i) {
                owners++;
                break;
            }
    owners = fmin(owners, images - 0.5); /* all of them would be an infinite spread */
    return -log(1 - owners / images) * images / (double)m->coreset.count;
}

static pb_status measure_selection(meter *m) {
    selected once, more, half;
    PB_TRY(pb_device_alloc(m->setup.device, patches(m) * row_bytes(m), &m->device_rows, "projected patches"));
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

/* --- search and results ------------------------------------------------------------------------------------------ */

/* The rows of the coreset, and the paths of their images. */
static pb_status collect(meter *m) {
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

/* Searches for the patches of one batch, again and again. */
static pb_status search_batch(meter *m, pb_search *search, const pb_batch *batch, float *distance, uint32_t *row) {
    size_t queries = batch->count * patches(m);
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

static pb_status measure_search(meter *m) {
    pb_pipeline *pipeline = m->setup.pipeline;
    size_t most = pb_pipeline_batch_max(pipeline) * patches(m);
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

/* A block of results of `count` images, all zeros. */
static pb_status allocate_block(size_t count, size_t places, pb_result_block *block) {
    *block = (pb_result_block){.count = count};
    PB_TRY(pb_allocate(&block->score, count, sizeof *block->score, "a block of results"));
    PB_TRY(pb_allocate(&block->patch, count, sizeof *block->patch, "a block of results"));
    PB_TRY(pb_allocate(&block->nearest, count, sizeof *block->nearest, "a block of results"));
    PB_TRY(pb_allocate(&block->brightness, count, sizeof *block->brightness, "a block of results"));
    return pb_allocate(&block->map, count * places, sizeof *block->map, "a block of results");
}

static void free_block(pb_result_block *block) {
    pb_release(&block->score);
    pb_release(&block->patch);
    pb_release(&block->nearest);
    pb_release(&block->brightness);
    pb_release(&block->map);
}

static pb_status write_blocks(meter *m, pb_results_writer *writer, pb_result_block *block, pb_record *records) {
    const size_t most = block->count;
    for (size_t done = 0; done < m->count; done += block->count) {
        block->count = m->count - done < most ? m->count - done : most;
        for (size_t i = 0; i < block->count; i++)
            PB_TRY(pb_archive_record(m->setup.archive, m->images[done + i], &records[i]));
        PB_TRY(pb_results_write(writer, done, block, m->images + done, records));
    }
    return pb_ok();
}

/* Rank 0. Writes results of the sample, as score does. */
static pb_status write_results(meter *m, const char *file, const char *csv) {
    size_t batch = pb_pipeline_batch_max(m->setup.pipeline);
    pb_results_writer *writer = NULL;
    pb_attributes none = {0};
    pb_result_block block;
    pb_record *records = NULL;
    pb_status status = allocate_block(batch, patches(m), &block);
    pb_keep_first(&status, pb_allocate(&records, batch, sizeof *records, "a block of results"));
    if (!pb_failed(&status))
        status = pb_results_create(file, m->count, pb_pipeline_grid(m->setup.pipeline), &none, &writer);
    if (!pb_failed(&status))
        status = write_blocks(m, writer, &block, records);
    if (!pb_failed(&status))
        status = pb_results_publish(&writer, csv, m->bank.paths, m->bank.rows);
    pb_results_abandon(&writer);
    free_block(&block);
    pb_release(&records);
    return status;
}

/* Rank 0. How fast a file is written beside --json, and what the results of an image cost. */
static pb_status measure_disk(meter *m) {
    char file[PB_PATH_MAX], csv[PB_PATH_MAX];
    char *bytes = NULL;
    const char *json = m->job->options->json;
    int length = snprintf(csv, sizeof csv, "%s.probe.csv", json);
    snprintf(file, sizeof file, "%s.probe", json);
    if (length >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%s: the name is too long", json);
    PB_TRY(pb_allocate(&bytes, WRITE_BYTES, 1, "bytes to write"));
    double begun = pb_clock_seconds();
    pb_status status = pb_file_write(file, bytes, WRITE_BYTES);
    m->found.write_bytes_per_s = WRITE_BYTES / (pb_clock_seconds() - begun);
    pb_release(&bytes);
    double used = pb_usage_now().processor_s;
    if (!pb_failed(&status))
        status = write_results(m, file, csv);
    m->found.score_image_processor_s = (pb_usage_now().processor_s - used) / (double)m->count;
    unlink(file);
    unlink(csv);
    return status;
}

static pb_status measure_memory(meter *m) {
    char *from = NULL, *to = NULL;
    double best = INFINITY;
    pb_status status = pb_allocate(&from, COPY_BYTES, 1, "bytes to copy");
    pb_keep_first(&status, pb_allocate(&to, COPY_BYTES, 1, "bytes to copy"));
    for (int turn = 0; turn < TURNS && !pb_failed(&status); turn++) {
        double begun = pb_clock_seconds();
        from[turn] = 1;
        memcpy(to, from, COPY_BYTES);
        best = fmin(best, pb_clock_seconds() - begun);
        PB_ASSERT(to[turn] == 1);
    }
    pb_release(&from);
    pb_release(&to);
    m->found.memory_bytes_per_s = 2 * (double)COPY_BYTES / best;
    return status;
}

/* --- ranks ------------------------------------------------------------------------------------------------------- */

/* Collective. All ranks pass bytes on to the next one at once, as in a ring. */
static pb_status measure_link(meter *m) {
    pb_comm *comm = m->job->comm;
    int ranks = pb_comm_size(comm), rank = pb_comm_rank(comm);
    double times[TURNS];
    char *out = NULL, *in = NULL;
    pb_status status = pb_allocate(&out, LINK_BYTES, 1, "bytes to send");
    pb_keep_first(&status, pb_allocate(&in, LINK_BYTES, 1, "bytes to receive"));
    status = pb_agree(comm, status);
    if (!pb_failed(&status) && ranks > 1) {
        pb_comm_barrier(comm, "before measuring messages");
        double begun = pb_clock_seconds();
        for (int i = 0; i < SMALL_MESSAGES; i++)
            (void)pb_comm_max_u64(comm, 0, "measuring agreement");
        m->found.latency_s = (pb_clock_seconds() - begun) / SMALL_MESSAGES / log2(ranks);
        for (int i = 0; i < TURNS; i++) {
            begun = pb_clock_seconds();
            pb_comm_exchange(comm, out, LINK_BYTES, (rank + 1) % ranks, in, LINK_BYTES, (rank + ranks - 1) % ranks,
                             "measuring messages");
            times[i] = pb_clock_seconds() - begun;
        }
        qsort(times, TURNS, sizeof *times, rising);
        m->found.link_bytes_per_s = LINK_BYTES / times[TURNS / 2];
    }
    pb_release(&out);
    pb_release(&in);
    return status;
}

/* The options that decide the features and were given, as train needs them again. */
static void note_options(meter *m) {
    size_t count, used = 0;
    const pb_option *rows = pb_option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        char value[PB_OPTION_TEXT_MAX];
        if (!rows[i].recorded || !(rows[i].jobs & m->job->bit))
            continue;
        pb_options_value_text(&rows[i], m->job->options, value);
        bool is_flag = rows[i].type == PB_OPTION_FLAG;
        if (is_flag ? strcmp(value, "true") != 0 : rows[i].fallback && strcmp(value, rows[i].fallback) == 0)
            continue;
        int more = snprintf(m->found.options + used, PB_CONSTANT_TEXT - used, "%s--%s%s%s", used ? " " : "", rows[i].name,
                            is_flag ? "" : " ", is_flag ? "" : value);
        used = used + (size_t)more < PB_CONSTANT_TEXT ? used + (size_t)more : PB_CONSTANT_TEXT - 1;
    }
}

static void note_setting(meter *m, double ranks_a_host) {
    pb_constants *found = &m->found;
    snprintf(found->device, PB_CONSTANT_TEXT, "%s", pb_device_description(m->setup.device));
    snprintf(found->backbone, PB_CONSTANT_TEXT, "%s", m->request.backbone);
    snprintf(found->taps, PB_CONSTANT_TEXT, "%s", m->setup.taps);
    note_options(m);
    found->ranks = pb_comm_size(m->job->comm);
    found->ranks_a_host = ranks_a_host;
    found->threads = m->setup.threads;
    found->batch = (double)pb_pipeline_batch_max(m->setup.pipeline);
    found->host_cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    found->host_bytes = (double)pb_usage_host_memory();
    found->device_is_host = pb_device_memory_is_host(m->setup.device);
    found->images = (double)m->count;
    found->patches = (double)patches(m);
    found->dim = pb_pipeline_dim(m->setup.pipeline);
    found->selection_dim = pb_projection_dim(m->projection);
}

/* A job goes at the pace of its slowest rank: the least of every rate, the most of everything else. */
static void keep_worst(pb_constants *all, const pb_constants *more) {
#define KEEP_WORST(name, what)                                                                             \
    all->name = strstr(#name, "_per_s") || strstr(#name, "speedup") ? fmin(all->name, more->name) : fmax(all->name, more->name);
    PB_CONSTANT_NUMBERS(KEEP_WORST)
#undef KEEP_WORST
}

/* Rank 0. */
static pb_status answer(meter *m, const pb_constants *all) {
    pb_constants worst = all[0];
    const char *json = m->job->options->json;
    double write_bytes_per_s = m->found.write_bytes_per_s; /* the others have not written */
    for (int rank = 1; rank < pb_comm_size(m->job->comm); rank++)
        keep_worst(&worst, &all[rank]);
    worst.write_bytes_per_s = write_bytes_per_s;
    pb_constants_print(&worst);
    return pb_constants_write(&worst, json);
}

/* Collective. */
static pb_status measure_all(meter *m) {
    pb_comm *comm = m->job->comm;
    pb_status status = pb_agree(comm, measure_extraction(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, measure_selection(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, measure_search(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, measure_memory(m));
    if (!pb_failed(&status))
        status = measure_link(m);
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_comm_rank(comm) == 0 ? measure_disk(m) : pb_ok());
    return status;
}

pb_status pb_job_bench_constants(const pb_job *job) {
    meter m = {.job = job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)};
    pb_constants *all = NULL;
    size_t *sizes = NULL;
    uint64_t local = pb_comm_max_u64(job->comm, (uint64_t)pb_comm_local_rank(job->comm), "ranks of a host") + 1;
    pb_status status = open_all(&m);
    if (!pb_failed(&status)) {
        note_setting(&m, (double)local);
        status = measure_all(&m);
    }
    if (!pb_failed(&status)) {
        note_setting(&m, (double)local); /* now that the good images are counted */
        status = pb_agree(job->comm, pb_allocate(&sizes, (size_t)pb_comm_size(job->comm), sizeof *sizes, "sizes of parts"));
    }
    if (!pb_failed(&status))
        status = pb_comm_gather(job->comm, &m.found, sizeof m.found, 0, &all, sizes, "constants");
    if (!pb_failed(&status))
        status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? answer(&m, all) : pb_ok());
    pb_release(&all);
    pb_release(&sizes);
    meter_free(&m);
    return status;
}
