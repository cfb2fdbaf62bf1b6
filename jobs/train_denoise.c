/* train_denoise.c: leaves out the training patches that are probably not normal (coreset/outlier.h), before selection.
 *
 * Each place of the grid is looked at by one rank, which gathers the patches of all images there; ranks take places by turns. A
 * patch that is left out keeps its number and becomes a copy of the first centre: at distance 0 from the beginning, it is never
 * picked and counts for no radius, and all else goes on as if it were not there.
 *
 * Scores are of a place, the limit is of all: the share with the highest scores anywhere is left out, so that a place of much
 * variety does not lose the same number as a quiet one. Which patches that are depends on scores alone, and these on images in
 * the order of the selection, not on the ranks (docs/decisions/0031 has the reasons and what was rejected). Cost: n^2 distances
 * at each place, for n images; messages: every projected patch once, every score to all. Memory beside the projected patches:
 * those of one place of all images, and a float a patch. */
#include "jobs/train.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "coreset/outlier.h"
#include "jobs/summary.h"

#include <math.h>
#include <string.h>

/* One rank's work space. */
typedef struct denoising {
    pb_training *t;
    pb_outlier_kind kind;
    float *sent;    /* [image_count][dim] this rank's patches of a place */
    float *at_hand; /* [total_images][dim] those of all, of the place that is this rank's in this turn; NULL: it has none */
    size_t *sizes;  /* [ranks] */
    float *own;     /* [total_images] its scores */
    float *place;   /* [total_images] scores of a place that is handed out */
    float *scores;  /* [image_count * patches] of this rank's patches */
} denoising;

static size_t row_bytes(const pb_training *t) { return (size_t)pb_projection_dim(t->projection) * sizeof(float); }

/* Patches of this rank's good images. */
static size_t patches_here(const pb_training *t) { return t->image_count * pb_training_patches(t); }

/* Local patch `patch`, in host memory. */
static float *host_row(const pb_training *t, size_t patch) {
    return t->host_rows + patch * (size_t)pb_projection_dim(t->projection);
}

bool pb_train_denoises(const pb_training *t) { return strcmp(t->job->options->denoise, "none") != 0; }

pb_status pb_train_denoise_check(const pb_training *t) {
    const char *how = t->job->options->coreset;
    if (pb_train_denoises(t) && (strcmp(how, "two-round") == 0 || strcmp(how, "random") == 0))
        return pb_fail(PB_E_USAGE, "--denoise %s: compares the patches of all images, which --coreset %s does not: take greedy",
                       t->job->options->denoise, how);
    return pb_ok();
}

/* The check that devices make when they take points (gpu/cover.h): a value that is not finite has no place among others. */
pb_status pb_train_denoise_keep(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite) {
    size_t dim = (size_t)pb_projection_dim(t->projection), values = count * dim;
    float *to = host_row(t, first);
    *not_finite = -1;
    PB_TRY(pb_device_download(t->setup.device, to, rows, values * sizeof *to));
    for (size_t i = 0; i < values && *not_finite < 0; i++)
        if (!isfinite(to[i]))
            *not_finite = (int64_t)(first + i / dim);
    return pb_ok();
}

/* --- scores ------------------------------------------------------------------------------------------------------- */

static void denoising_free(denoising *d) {
    pb_release(&d->sent);
    pb_release(&d->at_hand);
    pb_release(&d->sizes);
    pb_release(&d->own);
    pb_release(&d->place);
    pb_release(&d->scores);
}

/* The places' rows are not among it: pb_comm_gather allocates them on the rank whose turn it is. */
static pb_status allocate(denoising *d) {
    const pb_training *t = d->t;
    size_t ranks = (size_t)pb_comm_size(t->job->comm);
    PB_TRY(pb_allocate(&d->sent, t->image_count, row_bytes(t), "patches of a place"));
    PB_TRY(pb_allocate(&d->sizes, ranks, sizeof *d->sizes, "sizes of parts"));
    PB_TRY(pb_allocate(&d->own, t->total_images, sizeof *d->own, "scores of a place"));
    PB_TRY(pb_allocate(&d->place, t->total_images, sizeof *d->place, "scores of a place"));
    return pb_allocate(&d->scores, patches_here(t), sizeof *d->scores, "scores of patches");
}

/* Collective. The patches of all images at one place, on rank `root`, in the order of the images over all ranks: that of the
 * parts of a gather, because ranks have consecutive images. */
static pb_status gather_place(denoising *d, size_t place, int root) {
    const pb_training *t = d->t;
    float *gathered = NULL;
    for (size_t i = 0; i < t->image_count; i++)
        memcpy((char *)d->sent + i * row_bytes(t), host_row(t, i * pb_training_patches(t) + place), row_bytes(t));
    pb_status status = pb_comm_gather(t->job->comm, d->sent, t->image_count * row_bytes(t), root, &gathered, d->sizes,
                                      "patches of a place");
    if (pb_comm_rank(t->job->comm) == root)
        d->at_hand = gathered;
    return status;
}

/* This rank's place of the turn, by all its threads; scores that are not finite have no order, and mean that distances
 * overflow. */
static pb_status score_place(denoising *d) {
    const pb_training *t = d->t;
    if (!d->at_hand)
        return pb_ok();
    PB_TRY(pb_outlier_scores(d->kind, d->at_hand, (size_t)t->total_images, pb_projection_dim(t->projection), t->setup.threads,
                             d->own));
    for (uint64_t i = 0; i < t->total_images; i++)
        if (!isfinite(d->own[i]))
            return pb_coreset_overflow();
    return pb_ok();
}

/* Collective. Hands the scores of a place to all; each takes those of its images. */
static void hand_out(denoising *d, size_t place, int root) {
    const pb_training *t = d->t;
    const size_t patches = pb_training_patches(t), first = (size_t)t->first_patch / patches,
                 bytes = t->total_images * sizeof *d->own;
    if (pb_comm_rank(t->job->comm) == root)
        memcpy(d->place, d->own, bytes);
    pb_comm_broadcast(t->job->comm, d->place, bytes, root, "scores of a place");
    for (size_t i = 0; i < t->image_count; i++)
        d->scores[i * patches + place] = d->place[first + i];
}

/* Collective. Places first, first + 1, ...: one for each rank, as far as there are any. Gathering is one rank after the other, so
 * that a turn costs a gather for each place; scoring, which takes the time, is done by all ranks at once. A rank without a place
 * waits in the agreement. What was gathered is freed here in any case. */
static pb_status score_turn(denoising *d, size_t first) {
    pb_comm *comm = d->t->job->comm;
    const size_t left = pb_training_patches(d->t) - first;
    const int count = left < (size_t)pb_comm_size(comm) ? (int)left : pb_comm_size(comm);
    pb_status status = pb_ok();
    for (int root = 0; root < count && !pb_failed(&status); root++)
        status = gather_place(d, first + (size_t)root, root);
    if (!pb_failed(&status)) {
        status = score_place(d);
        pb_fault("train.denoise");
        pb_keep_first(&status, pb_stop_check());
        status = pb_agree(comm, status);
    }
    for (int root = 0; root < count && !pb_failed(&status); root++)
        hand_out(d, first + (size_t)root, root);
    pb_summary_done(d->t->job, !pb_failed(&status) && d->at_hand ? 1 : 0);
    pb_release(&d->at_hand);
    return status;
}

/* Collective. Fills d->scores. */
static pb_status score_all(denoising *d) {
    pb_comm *comm = d->t->job->comm;
    const size_t patches = pb_training_patches(d->t), ranks = (size_t)pb_comm_size(comm);
    pb_progress progress;
    pb_progress_begin(&progress, "denoise", patches, "places", pb_comm_rank(comm) == 0);
    pb_summary_step(d->t->job, "denoise", "places");
    pb_status status = pb_agree(comm, allocate(d));
    for (size_t first = 0; first < patches && !pb_failed(&status); first += ranks) {
        status = score_turn(d, first);
        pb_progress_update(&progress, first + ranks < patches ? first + ranks : patches);
    }
    double seconds = pb_progress_end(&progress);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "compared", "places=%zu images=%llu seconds=%.2f", patches,
                    (unsigned long long)d->t->total_images, seconds);
    return status;
}

/* --- what is left ------------------------------------------------------------------------------------------------- */

/* Collective. The first patch that stays: the first pick. There is one, as less than all are left out. UINT64_MAX stands for none
 * on a rank; the maximum of what is left to it is the minimum. */
static uint64_t first_left(const denoising *d, float limit) {
    uint64_t mine = UINT64_MAX;
    for (size_t i = 0; i < patches_here(d->t) && mine == UINT64_MAX; i++)
        if (d->scores[i] <= limit)
            mine = d->t->first_patch + i;
    return UINT64_MAX - pb_comm_max_u64(d->t->job->comm, UINT64_MAX - mine, "first patch that stays");
}

/* Collective. row: the first centre on every rank: the first of those given, else patch t->start, which one rank has.
 * t->first_centre is NULL on all ranks or on none. */
static void share_first_centre(const pb_training *t, float *row) {
    pb_comm *comm = t->job->comm;
    bool mine = t->start >= t->first_patch && t->start - t->first_patch < patches_here(t);
    if (t->first_centre) {
        memcpy(row, t->first_centre, row_bytes(t));
        return;
    }
    if (mine)
        memcpy(row, host_row(t, (size_t)(t->start - t->first_patch)), row_bytes(t));
    int owner = (int)pb_comm_max_u64(comm, mine ? (uint64_t)pb_comm_rank(comm) : 0, "owner of the first patch");
    pb_comm_broadcast(comm, row, row_bytes(t), owner, "the first patch");
}

/* Collective. Overwrites what is above the limit; `!(... <= ...)` as in first_left, so that both agree on every score. */
static pb_status leave_out(denoising *d, float limit) {
    pb_training *t = d->t;
    float *row = NULL;
    uint64_t left_out = 0;
    pb_status status = pb_agree(t->job->comm, pb_allocate(&row, 1, row_bytes(t), "the first patch"));
    if (pb_failed(&status))
        return status;
    t->start = first_left(d, limit);
    share_first_centre(t, row);
    for (size_t i = 0; i < patches_here(t); i++)
        if (!(d->scores[i] <= limit)) {
            memcpy(host_row(t, i), row, row_bytes(t));
            left_out++;
        }
    t->left_out = pb_comm_sum_u64(t->job->comm, left_out, "patches left out");
    pb_release(&row);
    pb_log_once(PB_LOG_INFO, "denoised", "how=%s patches_left_out=%llu of=%llu score_above=%.6g", t->job->options->denoise,
                (unsigned long long)t->left_out, (unsigned long long)t->total_patches, (double)limit);
    return status;
}

/* `most` is rounded down: no more than the share that was asked for. */
pb_status pb_train_denoise(pb_training *t) {
    const pb_job_options *options = t->job->options;
    denoising d = {.t = t, .kind = strcmp(options->denoise, "lof") == 0 ? PB_OUTLIER_LOF : PB_OUTLIER_NEAREST};
    pb_status status = score_all(&d);
    if (!pb_failed(&status)) {
        uint64_t most = (uint64_t)(options->denoise_share * (double)t->total_patches);
        status = leave_out(&d, pb_outlier_limit(t->job->comm, d.scores, patches_here(t), most));
    }
    denoising_free(&d);
    return status;
}
