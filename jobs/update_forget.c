/* update_forget.c: rows of images that are to be forgotten leave the bank, and what it still promises is reckoned.
 *
 * A patch within R of a row x that leaves is within R + d(x) of a row that stays, d(x) being the distance of x to the nearest of
 * these: the triangle inequality. So the largest d(x) is measured, by a search for the nearest row that stays
 * (docs/decisions/0031). All in the space of selection. What is to be forgotten is named in no output: neither the file's name
 * nor a path of it goes into the new bank. */
#include "jobs/update.h"

#include "base/log.h"
#include "base/memory.h"
#include "coreset/coreset.h"
#include "coreset/search.h"
#include "mpi/partition.h"

#include <math.h>
#include <string.h>

/* Moves row `from` of the bank to place `to`, in front of it. Paths are owned by the bank, so the two change places and none is
 * lost. */
static void move_row(pb_update *u, size_t to, size_t from) {
    pb_bank *bank = &u->bank;
    size_t dim = (size_t)bank->dim, seen = (size_t)pb_projection_dim(u->training.projection);
    char *path = bank->paths[from];
    memmove(bank->features + to * dim, bank->features + from * dim, dim * sizeof *bank->features);
    memmove(u->centres + to * seen, u->centres + from * seen, seen * sizeof *u->centres);
    bank->image[to] = bank->image[from];
    bank->archive[to] = bank->archive[from];
    bank->patch_row[to] = bank->patch_row[from];
    bank->patch_column[to] = bank->patch_column[from];
    bank->covering_radius[to] = bank->covering_radius[from];
    bank->paths[from] = bank->paths[to];
    bank->paths[to] = path;
}

/* Closes the gaps in the bank, the rows that stay keeping their order. gone: room for all its rows, as selection sees them; gets
 * those that leave. The same on every rank. */
static void part_rows(pb_update *u, float *gone) {
    const size_t seen = (size_t)pb_projection_dim(u->training.projection), rows = u->bank.rows;
    size_t kept = 0;
    for (size_t row = 0; row < rows; row++) {
        if (pb_forget_has(&u->forget, u->bank.paths[row]))
            memcpy(gone + u->rows_forgotten++ * seen, u->centres + row * seen, seen * sizeof *gone);
        else if (kept++ != row)
            move_row(u, kept - 1, row);
    }
    for (size_t row = kept; row < rows; row++)
        pb_release(&u->bank.paths[row]);
    u->bank.rows = kept;
}

/* The `count` rows that this rank asks about, in device memory; *queries is the caller's to release, also after a failure. */
static pb_status upload_queries(const pb_update *u, const float *gone, size_t count, float **queries) {
    size_t bytes = count * (size_t)pb_projection_dim(u->training.projection) * sizeof **queries;
    pb_device *device = u->training.setup.device;
    PB_TRY(pb_device_alloc(device, bytes, queries, "rows to forget"));
    return pb_device_upload(device, *queries, gone, bytes);
}

/* Collective. The largest distance of a row that left to one that stays. Rows that left are divided among the ranks, as queries;
 * so are the rows that stay, as the searched bank. *farthest: the same on every rank. */
static pb_status measure(const pb_update *u, const float *gone, double *farthest) {
    pb_comm *comm = u->training.job->comm;
    const int ranks = pb_comm_size(comm), rank = pb_comm_rank(comm), seen = pb_projection_dim(u->training.projection);
    const pb_range mine = pb_partition(u->rows_forgotten, ranks, rank), shard = pb_partition(u->bank.rows, ranks, rank);
    const size_t count = pb_range_size(mine);
    pb_search *search = NULL;
    float *queries = NULL, *distance = NULL;
    uint32_t *nearest = NULL;
    pb_status status = pb_allocate(&distance, count, sizeof *distance, "distances of rows");
    pb_keep_first(&status, pb_allocate(&nearest, count, sizeof *nearest, "nearest rows"));
    if (!pb_failed(&status))
        status = upload_queries(u, gone + mine.first * (size_t)seen, count, &queries);
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status =
            pb_search_create(u->training.setup.devices, u->centres + shard.first * (size_t)seen, u->bank.rows, seen, &search);
    if (!pb_failed(&status))
        status = pb_search_nearest(search, queries, count, distance, nearest);
    /* A rank without queries has taken part in the search all the same; its maximum is 0. */
    *farthest = 0;
    for (size_t i = 0; i < count && !pb_failed(&status); i++)
        *farthest = fmax(*farthest, (double)distance[i]);
    if (!pb_failed(&status))
        *farthest = pb_comm_max_real(comm, *farthest, "farthest row to forget");
    pb_search_free(&search);
    pb_device_release(u->training.setup.device, &queries);
    pb_release(&distance);
    pb_release(&nearest);
    return status;
}

/* Images may have been trained on without a row in the bank, so a path that matches nothing need not be a mistake. */
static void say(const pb_update *u, double farthest) {
    pb_log_once(PB_LOG_INFO, "forgotten", "listed=%zu rows=%llu images_left_out=%llu farthest=%.6g radius_at_most=%.6g",
                u->forget.count, (unsigned long long)u->rows_forgotten, (unsigned long long)u->images_left_out, farthest,
                (double)u->held);
    if (u->rows_forgotten == 0 && u->images_left_out == 0)
        pb_log_once(PB_LOG_WARN, "nothing-forgotten", "list=\"%s\" reason=\"neither bank nor archive has an image of it\"",
                    u->training.job->options->forget);
}

/* Every rank has the bank, so all take the same rows out and fail alike; only measuring needs others. */
pb_status pb_update_forget(pb_update *u) {
    pb_comm *comm = u->training.job->comm;
    const int seen = pb_projection_dim(u->training.projection);
    float *gone = NULL;
    double farthest = 0;
    if (u->forget.count == 0) /* the same on every rank */
        return pb_ok();
    pb_status status = pb_agree(comm, pb_allocate(&gone, u->bank.rows * (size_t)seen, sizeof *gone, "rows to forget"));
    if (pb_failed(&status))
        return status;
    part_rows(u, gone);
    if (u->bank.rows == 0) /* the same on every rank */
        status = pb_fail(PB_E_INPUT, "--forget %s: no row of %s would be left; train a new bank",
                         u->training.job->options->forget, u->training.job->options->bank);
    else if (u->rows_forgotten > 0)
        status = measure(u, gone, &farthest);
    pb_release(&gone);
    if (!pb_failed(&status) && u->rows_forgotten > 0) {
        u->held = pb_coreset_radius_sum(u->held, farthest, seen);
        u->held_exactly = false;
    }
    if (!pb_failed(&status))
        say(u, farthest);
    return status;
}
