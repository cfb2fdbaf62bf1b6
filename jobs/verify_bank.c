/* verify_bank.c: a bank's certificate, checked from the images (docs/decisions/0012). verify_bank.h says what is compared.
 *
 * The training images are extracted as they were; every row of this archive is compared with the patch that it names, and every
 * patch is searched for its nearest row. All in batches, ranks in step, each with its own images; rows of an image are compared
 * by the rank that extracts it. Only canonical arithmetic decides (docs/ARCHITECTURE.md, invariant 1), so equal means equal bits.
 * Every rank has the whole bank, for the rows; for the search its projected shard. */
#include "jobs/verify_bank.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "coreset/projection.h"
#include "coreset/search.h"
#include "jobs/bank_archives.h"
#include "jobs/bank_fit.h"
#include "jobs/provenance.h"
#include "mpi/partition.h"

#include <inttypes.h>
#include <math.h>
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
    bool whole;        /* all archives of the bank are editions of this one */
    uint64_t left_out; /* patches of training images that the bank's radius is not about */
    size_t rows_here, *by_image; /* [rows_here] bank rows of this archive's editions, in order of image */
    float *distance;   /* [batch * patches] */
    uint32_t *nearest; /* likewise */
    float *row;        /* [dim] */
    uint64_t patches, rows_found, rows_wrong;
    uint64_t outside;       /* patches farther from all rows than the radius in the bank */
    float inside, farthest; /* largest distance that is not above it, and of all */
} verification;

/* Takes a verification in any state. The search goes before the device that it is on. */
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

/* For qsort_r; context: the bank. */
static int by_image(const void *left, const void *right, void *context) {
    const pb_bank *bank = context;
    uint64_t a = bank->image[*(const size_t *)left], b = bank->image[*(const size_t *)right];
    return (a > b) - (a < b);
}

/* Lists the rows that are of this archive, whichever of its editions, in order of image, so that those of an image are found by
 * halving. Indices of images are the same in all editions of an archive. */
static pb_status sort_rows(verification *v) {
    PB_TRY(pb_allocate(&v->by_image, v->bank.rows, sizeof *v->by_image, "order of bank rows"));
    for (size_t i = 0; i < v->bank.rows; i++)
        if (pb_bank_is_of(&v->bank.attributes, v->setup.archive, v->bank.archive[i]))
            v->by_image[v->rows_here++] = i;
    qsort_r(v->by_image, v->rows_here, sizeof *v->by_image, by_image, &v->bank);
    return pb_ok();
}

static pb_status allocate(verification *v) {
    size_t queries = pb_pipeline_batch_max(v->setup.pipeline) * pb_pipeline_patches(v->setup.pipeline);
    const char *file = v->job->options->bank;
    PB_TRY(pb_allocate(&v->distance, queries, sizeof *v->distance, "patch distances"));
    PB_TRY(pb_allocate(&v->nearest, queries, sizeof *v->nearest, "nearest rows"));
    PB_TRY(pb_allocate(&v->row, (size_t)v->bank.dim, sizeof *v->row, "a bank row"));
    return pb_bank_fit_projection(&v->bank, file, v->setup.device, &v->projection);
}

/* This rank's shard of the bank, projected, in host memory. */
static pb_status project_shard(verification *v, float **shard) {
    pb_range mine = pb_partition(v->bank.rows, pb_comm_size(v->job->comm), pb_comm_rank(v->job->comm));
    return pb_bank_fit_project(v->setup.device, v->projection, v->bank.features + mine.first * (size_t)v->bank.dim,
                               pb_range_size(mine), v->bank.dim, shard);
}

/* The rows that this archive has, and what the bank's radius is not about. */
static pb_status read_scope(verification *v) {
    const pb_attributes *attributes = &v->bank.attributes;
    const char *file = v->job->options->bank;
    int64_t newest;
    v->whole = pb_bank_editions(attributes, v->setup.archive, &newest) == pb_bank_archives(attributes);
    if (pb_attributes_get(attributes, "left_out_patches"))
        PB_TRY(pb_attributes_get_u64(attributes, file, "left_out_patches", 0, UINT64_MAX, &v->left_out));
    return sort_rows(v);
}

/* Collective. Which edition: the newest that the bank is of. Where the device has no memory for the search, batches become
 * smaller, and it is made again from the projected shard. The buffers of allocate are for the first, largest batch. */
static pb_status open_all(verification *v) {
    pb_comm *comm = v->job->comm;
    uint64_t rows;
    char sha256[PB_SHA256_TEXT];
    char archive_sha256[PB_SHA256_TEXT];
    const char *file = v->job->options->bank;
    float *shard = NULL;
    bool again = true;
    if (!v->job->options->weights) /* the same on every rank */
        return pb_fail(PB_E_USAGE, "--weights FILE is missing: a bank is verified with them");
    pb_status status = pb_bank_fit_read(v->choice, true, &v->bank, &rows, sha256);
    if (!pb_failed(&status))
        status = pb_bank_newest_edition(comm, v->job->options->archive, &v->bank.attributes, file, archive_sha256);
    if (!pb_failed(&status)) /* a certificate is about the images that the bank was made from, not about what came since */
        status = pb_bank_fit_open(v->job, &v->bank, PB_WHICH_TRAIN, archive_sha256, &v->setup);
    if (!pb_failed(&status))
        status = pb_agree(comm, read_scope(v));
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
    size_t low = 0, high = v->rows_here;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->bank.image[v->by_image[middle]] < image)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Compares the bank rows of image `i` of the batch with what was extracted. A row whose place lies outside of the grid is wrong,
 * too. Logged one by one: each is a row that somebody wants to know. */
static pb_status trace_image(verification *v, const pb_batch *batch, size_t i) {
    size_t dim = (size_t)v->bank.dim;
    pb_size grid = pb_pipeline_grid(v->setup.pipeline);
    for (size_t at = first_row_of(v, batch->index[i]); at < v->rows_here; at++) {
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

/* How the patches of a batch lie to the radius in the bank. Written so that NaN is outside. */
static void compare_distances(verification *v, size_t queries) {
    const float radius = v->bank.covering_radius[v->bank.rows - 1];
    for (size_t i = 0; i < queries; i++) {
        bool is_inside = v->distance[i] <= radius;
        v->outside += !is_inside;
        v->inside = is_inside ? fmaxf(v->inside, v->distance[i]) : v->inside;
        v->farthest = fmaxf(v->farthest, v->distance[i]);
    }
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
    if (!pb_failed(&status))
        compare_distances(v, queries);
    v->patches += queries;
    return status;
}

/* Collective. Rows whose image was never met count as wrong: the difference of what there should be and what was found. Images
 * that cannot be read are rejects; their rows are among these. */
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
    /* Counts become those of all ranks, on every rank, so that all judge alike. */
    v->patches = pb_comm_sum_u64(comm, v->patches, "patches");
    v->rows_found = pb_comm_sum_u64(comm, v->rows_found, "rows found");
    v->rows_wrong = pb_comm_sum_u64(comm, v->rows_wrong, "rows that differ") + v->rows_here - v->rows_found;
    v->outside = pb_comm_sum_u64(comm, v->outside, "patches outside");
    v->inside = (float)pb_comm_max_real(comm, (double)v->inside, "covering radius"); /* a float: exact in a double */
    v->farthest = (float)pb_comm_max_real(comm, (double)v->farthest, "farthest patch");
    return status;
}

/* The patch that decides an exact radius may be in another archive, and what was left out may lie anywhere. No more patches
 * outside than were left out; and where it can be decided here, some patch at the radius. */
static bool radius_fits(const verification *v, bool exact) {
    float stored = v->bank.covering_radius[v->bank.rows - 1];
    bool decided_here = exact && v->whole;
    return v->outside <= v->left_out && (!decided_here || v->inside >= stored);
}

/* On rank 0. */
static void print_verdict(const verification *v, bool exact, bool sound) {
    printf("%s: %zu rows", v->job->options->bank, v->bank.rows);
    if (!v->whole)
        printf(", %zu from this archive", v->rows_here);
    printf(", %" PRIu64 " not as extracted; covering radius of %" PRIu64 " patches: recomputed %.9g, in the bank %s%.9g",
           v->rows_wrong, v->patches, (double)(v->left_out > 0 ? v->inside : v->farthest), exact ? "" : "at most ",
           (double)v->bank.covering_radius[v->bank.rows - 1]);
    if (v->left_out > 0)
        printf(", which is not about %" PRIu64 " that were left out; %" PRIu64 " lie outside", v->left_out, v->outside);
    printf(": %s\n", sound ? "sound" : "DIFFERENT");
}

/* The same on every rank; rank 0 prints. */
static pb_status judge(const verification *v) {
    const char *file = v->job->options->bank, *kind;
    PB_TRY(pb_attributes_need(&v->bank.attributes, file, "covering_radius_kind", &kind));
    bool exact = strcmp(kind, "exact") == 0, sound = radius_fits(v, exact) && v->rows_wrong == 0;
    if (pb_comm_rank(v->job->comm) == 0)
        print_verdict(v, exact, sound);
    return sound ? pb_ok() : pb_fail(PB_E_NO, "%s: is not what it says", file);
}

/* Agreed at every step, so the early return is everybody's. */
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
