#include "jobs/verify_bank.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "coreset/projection.h"
#include "coreset/search.h"
#include "jobs/bank_fit.h"
#include "jobs/provenance.h"
#include "mpi/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One rank's state. Zeroed it is empty. */
typedef struct verification {
    const pb_bank_choice *choice;
    const pb_job *job; /* the choice's */
    pb_bank bank; /* all of it */
    pb_setup setup;
    pb_projection *projection;
    pb_search *search; /* over projected rows */
    pb_rejects rejects;
    size_t *by_image;  /* [rows] bank rows in order of image */
    float *distance;   /* [batch * patches] */
    uint32_t *nearest; /* likewise */
    float *row;        /* [dim] */
    uint64_t patches, rows_found, rows_wrong;
    float radius;
} verification;

static void verification_free(verification *v) {
    pb_rejects_free(&v->rejects);
    pb_search_free(&v->search);
    pb_projection_free(&v->projection);
    pb_setup_close(&v->setup);
    pb_bank_free(&v->bank);
    pb_release(&v->by_image);
    pb_release(&v->distance);
    pb_release(&v->nearest);
    pb_release(&v->row);
}

static int by_image(const void *left, const void *right, void *context) {
    const pb_bank *bank = context;
    uint64_t a = bank->image[*(const size_t *)left], b = bank->image[*(const size_t *)right];
    return (a > b) - (a < b);
}

static pb_status sort_rows(verification *v) {
    PB_TRY(pb_allocate(&v->by_image, v->bank.rows, sizeof *v->by_image, "order of bank rows"));
    for (size_t i = 0; i < v->bank.rows; i++)
        v->by_image[i] = i;
    qsort_r(v->by_image, v->bank.rows, sizeof *v->by_image, by_image, &v->bank);
    return pb_ok();
}

static pb_status allocate(verification *v) {
    size_t queries = pb_pipeline_batch_max(v->setup.pipeline) * pb_pipeline_patches(v->setup.pipeline);
    uint64_t seed, projection;
    const char *file = v->job->options->bank;
    PB_TRY(pb_allocate(&v->distance, queries, sizeof *v->distance, "patch distances"));
    PB_TRY(pb_allocate(&v->nearest, queries, sizeof *v->nearest, "nearest rows"));
    PB_TRY(pb_allocate(&v->row, (size_t)v->bank.dim, sizeof *v->row, "a bank row"));
    PB_TRY(sort_rows(v));
    PB_TRY(pb_attributes_get_u64(&v->bank.attributes, file, "option.seed", 0, UINT64_MAX, &seed));
    PB_TRY(pb_attributes_get_u64(&v->bank.attributes, file, "option.projection", 0, 65536, &projection));
    return pb_projection_create(v->setup.device, seed, v->bank.dim, (int)projection, &v->projection);
}

/* This rank's shard of the bank, projected, in host memory. */
static pb_status project_shard(verification *v, float **shard) {
    pb_range mine = pb_partition(v->bank.rows, pb_comm_size(v->job->comm), pb_comm_rank(v->job->comm));
    size_t rows = pb_range_size(mine), in = (size_t)v->bank.dim, out = (size_t)pb_projection_dim(v->projection);
    pb_device *device = v->setup.device;
    float *device_rows = NULL;
    const float *projected;
    PB_TRY(pb_allocate(shard, rows * out, sizeof **shard, "projected bank rows"));
    pb_status status = pb_device_alloc(device, rows * in * sizeof(float), &device_rows, "bank rows");
    if (!pb_failed(&status))
        status = pb_device_upload(device, device_rows, v->bank.features + mine.first * in, rows * in * sizeof(float));
    if (!pb_failed(&status))
        status = pb_projection_apply(v->projection, device_rows, rows, &projected);
    if (!pb_failed(&status))
        status = pb_device_download(device, *shard, projected, rows * out * sizeof(float));
    pb_device_release(device, &device_rows);
    return status;
}

/* Collective. */
static pb_status open_all(verification *v) {
    pb_comm *comm = v->job->comm;
    uint64_t rows;
    char sha256[PB_SHA256_TEXT];
    const char *archive_sha256, *file = v->job->options->bank;
    float *shard = NULL;
    bool again = true;
    if (!v->job->options->weights) /* the same on every rank */
        return pb_fail(PB_E_USAGE, "--weights FILE is missing: a bank is verified with them");
    pb_status status = pb_bank_fit_read(v->choice, true, &v->bank, &rows, sha256);
    if (!pb_failed(&status))
        status = pb_agree(comm, pb_attributes_need(&v->bank.attributes, file, "archive_sha256", &archive_sha256));
    if (!pb_failed(&status)) /* a certificate is about the images that the bank was made from, not about what came since */
        status = pb_prefix(pb_bank_fit_open(v->job, &v->bank, PB_WHICH_TRAIN, archive_sha256, &v->setup), file);
    if (pb_failed(&status))
        return status;
    status = allocate(v);
    if (!pb_failed(&status))
        status = project_shard(v, &shard);
    status = pb_agree(comm, status);
    while (again && !pb_failed(&status)) {
        pb_search_free(&v->search);
        status = pb_search_create(v->setup.devices, shard, v->bank.rows, pb_projection_dim(v->projection), &v->search);
        const size_t queries = pb_pipeline_batch_max(v->setup.pipeline) * pb_pipeline_patches(v->setup.pipeline);
        if (!pb_failed(&status))
            status = pb_projection_reserve(v->projection, queries);
        if (!pb_failed(&status))
            status = pb_search_reserve(v->search, queries);
        status = pb_setup_relieve(v->job, &v->setup, pb_agree(comm, status), &again);
    }
    pb_release(&shard);
    return status;
}

/* The first place in by_image whose image is not below `image`. */
static size_t first_row_of(const verification *v, uint64_t image) {
    size_t low = 0, high = v->bank.rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->bank.image[v->by_image[middle]] < image)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Compares the bank rows of image `i` of the batch with what was extracted. */
static pb_status trace_image(verification *v, const pb_batch *batch, size_t i) {
    size_t dim = (size_t)v->bank.dim;
    pb_size grid = pb_pipeline_grid(v->setup.pipeline);
    for (size_t at = first_row_of(v, batch->index[i]); at < v->bank.rows; at++) {
        size_t row = v->by_image[at];
        if (v->bank.image[row] != batch->index[i])
            break;
        v->rows_found++;
        bool inside = v->bank.patch_row[row] < (uint32_t)grid.height && v->bank.patch_column[row] < (uint32_t)grid.width;
        if (inside) {
            size_t patch = (i * (size_t)grid.height + v->bank.patch_row[row]) * (size_t)grid.width + v->bank.patch_column[row];
            PB_TRY(pb_device_download(v->setup.device, v->row, batch->features + patch * dim, dim * sizeof *v->row));
        }
        if (!inside || memcmp(v->row, v->bank.features + row * dim, dim * sizeof *v->row) != 0) {
            v->rows_wrong++;
            pb_log(PB_LOG_ERROR, "wrong-row", "row=%zu path=\"%s\" reason=\"not the feature of its patch\"", row,
                   v->bank.paths[row]);
        }
    }
    return pb_ok();
}

/* Extracts, traces and projects the next batch of this rank. */
static pb_status prepare(verification *v, pb_batch *batch, const float **projected) {
    PB_TRY(pb_pipeline_next(v->setup.pipeline, &v->rejects, batch));
    for (size_t i = 0; i < batch->count; i++)
        PB_TRY(trace_image(v, batch, i));
    return pb_projection_apply(v->projection, batch->features, batch->count * pb_pipeline_patches(v->setup.pipeline), projected);
}

/* Collective: every rank takes part in every round, also one that has no batch left. */
static pb_status verify_round(verification *v, bool has_batch) {
    pb_batch batch = {0};
    const float *projected = NULL;
    pb_status status = has_batch ? prepare(v, &batch, &projected) : pb_ok();
    size_t queries = batch.count * pb_pipeline_patches(v->setup.pipeline);
    status = pb_agree(v->job->comm, status);
    if (!pb_failed(&status))
        status = pb_search_nearest(v->search, projected, queries, v->distance, v->nearest);
    for (size_t i = 0; i < queries && !pb_failed(&status); i++)
        v->radius = v->distance[i] > v->radius ? v->distance[i] : v->radius;
    v->patches += queries;
    return status;
}

/* Collective. */
static pb_status verify_all(verification *v) {
    pb_comm *comm = v->job->comm;
    const pb_selection *selection = &v->setup.selection;
    pb_pipeline *pipeline = v->setup.pipeline;
    size_t batch_max = pb_pipeline_batch_max(pipeline);
    size_t longest = (size_t)pb_range_size(pb_partition(selection->total, pb_comm_size(comm), 0));
    pb_progress progress;
    pb_progress_begin(&progress, "verify", longest, "images a rank", pb_comm_rank(comm) == 0);
    pb_status status = pb_agree(comm, pb_pipeline_begin(pipeline, selection->index, selection->count));
    for (size_t begin = 0; begin < longest && !pb_failed(&status); begin += batch_max) {
        status = verify_round(v, begin < selection->count);
        pb_progress_update(&progress, begin + batch_max);
    }
    pb_pipeline_end(pipeline);
    pb_progress_end(&progress);
    if (!pb_failed(&status))
        status = pb_rejects_agree(comm, &v->rejects);
    if (pb_failed(&status))
        return status;
    pb_stages_log(comm, "verify", pb_pipeline_stages(pipeline));
    v->patches = pb_comm_sum_u64(comm, v->patches, "patches");
    v->rows_found = pb_comm_sum_u64(comm, v->rows_found, "rows found");
    v->rows_wrong = pb_comm_sum_u64(comm, v->rows_wrong, "rows that differ") + v->bank.rows - v->rows_found;
    v->radius = (float)pb_comm_max_real(comm, (double)v->radius, "covering radius"); /* a float: exact in a double */
    return status;
}

/* The same on every rank; printed on rank 0. */
static pb_status judge(const verification *v) {
    const char *file = v->job->options->bank, *kind;
    float stored = v->bank.covering_radius[v->bank.rows - 1];
    PB_TRY(pb_attributes_need(&v->bank.attributes, file, "covering_radius_kind", &kind));
    bool exact = strcmp(kind, "exact") == 0;
    bool fits = exact ? v->radius >= stored && v->radius <= stored : v->radius <= stored;
    bool sound = fits && v->rows_wrong == 0;
    if (pb_comm_rank(v->job->comm) == 0)
        printf("%s: %zu rows, %" PRIu64 " not as extracted; covering radius of %" PRIu64 " patches: recomputed %.9g, in the bank "
               "%s%.9g: %s\n",
               file, v->bank.rows, v->rows_wrong, v->patches, (double)v->radius, exact ? "" : "at most ", (double)stored,
               sound ? "sound" : "DIFFERENT");
    return sound ? pb_ok() : pb_fail(PB_E_NO, "%s: is not what it says", file);
}

pb_status pb_verify_bank(const pb_job *given) {
    pb_bank_choice choice;
    PB_TRY(pb_bank_choose(given, &choice)); /* agreed */
    verification v = {
        .choice = &choice, .job = &choice.job, .rejects = pb_rejects_begin((uint64_t)given->options->max_bad)};
    pb_status status = open_all(&v);
    if (!pb_failed(&status))
        status = verify_all(&v);
    if (!pb_failed(&status))
        status = judge(&v);
    verification_free(&v);
    return status;
}
