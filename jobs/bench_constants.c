/* bench_constants.c: what `patchbank plan` reckons with, measured on this cluster: `patchbank bench constants`.
 *
 * A small training and a small scoring, made of the parts that the jobs are made of, on a sample of the archive. Every rank
 * measures by itself, all at the same time, so that ranks of a host share it as they will; the slowest rank's figures are
 * written, since a job goes at its pace. Processor times are the least of `--repeat`: others on the machine only add to them. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/usage.h"
#include "gpu/cover.h"
#include "jobs/meter.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Images that selection is measured on, at most: 200,704 patches of 224 pixels, 784 an image. Their rows are kept in host
 * memory. */
enum { SELECT_IMAGES = 256 };

/* Takes a meter in any state. */
static void meter_free(pb_meter *m) {
    pb_bank_free(&m->bank);
    pb_coreset_free(&m->coreset);
    pb_release(&m->rows);
    pb_release(&m->images);
    pb_device_comm_destroy(&m->alone);
    pb_comm_destroy(&m->self);
    pb_projection_free(&m->projection);
    pb_setup_close(&m->setup);
    pb_rejects_free(&m->rejects);
    pb_attributes_free(&m->attributes);
}

/* --- extraction ------------------------------------------------------------------------------------------------- */

/* Collective. What it took until here is what a job needs before its first image: start_s and start_processor_s. m->wanted:
 * images of this rank's sample, at least two, or there would be no half of them. */
static pb_status open_all(pb_meter *m) {
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

/* Keeps the rows of the first images for selection, as far as there is room (m->select_images). Before m->count counts the
 * batch. */
static pb_status keep_rows(pb_meter *m, const pb_batch *batch, const float *projected) {
    size_t image_bytes = pb_meter_patches(m) * pb_meter_row_bytes(m);
    size_t room = m->select_images > m->count ? m->select_images - m->count : 0;
    size_t count = batch->count < room ? batch->count : room;
    return pb_device_download(m->setup.device, (char *)m->rows + m->count * image_bytes, projected, count * image_bytes);
}

/* A pass over the sample. cover: where its patches go; NULL: images are only extracted, and nothing is kept. Bad images are left
 * out and not listed. */
static pb_status extract(pb_meter *m, pb_cover *cover) {
    pb_pipeline *pipeline = m->setup.pipeline;
    size_t batch_max = pb_pipeline_batch_max(pipeline), first = 0;
    pb_status status = pb_pipeline_begin(pipeline, m->setup.selection.index, m->wanted);
    for (size_t done = 0; done < m->wanted && !pb_failed(&status); done += batch_max) {
        pb_batch batch;
        const float *projected;
        int64_t not_finite;
        status = pb_pipeline_next(pipeline, &m->rejects, &batch);
        size_t rows = batch.count * pb_meter_patches(m);
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

/* How fast images are extracted into a cover, once the files are in the page cache, and what memory it takes before: the peak is
 * looked at between the two passes. Not collective. */
static pb_status measure_extraction(pb_meter *m) {
    pb_cover *cover = NULL;
    const pb_stages *stages = pb_pipeline_stages(m->setup.pipeline);
    PB_TRY(extract(m, NULL));
    m->found.process_bytes = (double)pb_usage_now().peak_bytes;
    m->select_images = m->wanted < SELECT_IMAGES ? m->wanted : SELECT_IMAGES;
    PB_TRY(pb_allocate(&m->rows, m->select_images * pb_meter_patches(m), pb_meter_row_bytes(m), "projected patches"));
    PB_TRY(pb_device_cover_create(m->setup.device, m->wanted * pb_meter_patches(m), pb_projection_dim(m->projection), 0, &cover));
    /* The second pass, with warm files and memory, is the measured one. */
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

/* The options that decide the features and were given, as train needs them again: words for a command line, those with their
 * default left out. What does not fit is cut at the end. */
static void note_options(pb_meter *m) {
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

/* What the measurements are of. The good images are only counted at the end. */
static void note_setting(pb_meter *m, double ranks_a_host) {
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
    found->patches = (double)pb_meter_patches(m);
    found->dim = pb_pipeline_dim(m->setup.pipeline);
    found->selection_dim = pb_projection_dim(m->projection);
}

/* A job goes at the pace of its slowest rank: the least of every rate, the most of everything else. By the names, as
 * jobs/constants.h says. */
static void keep_worst(pb_constants *all, const pb_constants *more) {
#define KEEP_WORST(name, what)                                                                             \
    all->name = strstr(#name, "_per_s") || strstr(#name, "speedup") ? fmin(all->name, more->name) : fmax(all->name, more->name);
    PB_CONSTANT_NUMBERS(KEEP_WORST)
#undef KEEP_WORST
}

/* Rank 0. The worst of all ranks, but for the disk, which rank 0 alone has measured. */
static pb_status answer(pb_meter *m, const pb_constants *all) {
    pb_constants worst = all[0];
    const char *json = m->job->options->json;
    double write_bytes_per_s = m->found.write_bytes_per_s; /* the others have not written */
    for (int rank = 1; rank < pb_comm_size(m->job->comm); rank++)
        keep_worst(&worst, &all[rank]);
    worst.write_bytes_per_s = write_bytes_per_s;
    pb_constants_print(&worst);
    return pb_constants_write(&worst, json);
}

/* Collective. Each kind begins on all ranks together, so that ranks of a host get in each other's way as they do in a job. */
static pb_status measure_all(pb_meter *m) {
    pb_comm *comm = m->job->comm;
    pb_status status = pb_agree(comm, measure_extraction(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_meter_selection(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_meter_comparison(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_meter_search(m));
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_meter_memory(m));
    if (!pb_failed(&status))
        status = pb_meter_link(m);
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_comm_rank(comm) == 0 ? pb_meter_disk(m) : pb_ok());
    return status;
}

/* Collective. Ranks of a host are counted by the largest local rank of any. */
pb_status pb_job_bench_constants(const pb_job *job) {
    pb_meter m = {.job = job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)};
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
