/* train.h: private to jobs/: the state of a training, shared by its steps: train.c (the job), train_extract.c, train_select.c,
 * train_two_round.c, train_banks.c, and what a stopped one leaves: train_patches.c, train_checkpoint.c. An update (jobs/update.h)
 * takes the same steps with its new images.
 *
 * What is counted in what: an image has an index in the archive, a position in this rank's selection (setup.selection), and, once
 * it turned out to be good, a place in t->images. A patch is numbered by its image: local patch k of a rank is patch k % patches
 * of t->images[k / patches], and its global number is first_patch + k. Global numbers have no gaps where images were bad, so they
 * mean something only beside the images that were good. What is saved for another run is therefore named by the archive's indices
 * (docs/decisions/0024).
 *
 * Life of a training: open (train.c); extract, which fills cover or points and t->images; select, which fills t->coreset; write
 * the banks. Each step leaves the state good for pb_train_free, also when it fails. */
#ifndef PB_JOBS_TRAIN_H
#define PB_JOBS_TRAIN_H

#include "base/progress.h"
#include "coreset/coreset.h"
#include "coreset/greedy.h"
#include "coreset/projection.h"
#include "io/attributes.h"
#include "io/bank_file.h"
#include "io/rows_file.h"
#include "io/selection_file.h"
#include "jobs/run_state.h"
#include "jobs/setup.h"

enum { PB_RATIOS_MAX = 32 }; /* Shares that --ratios may list; a bank file each. */

/* Why the covering radii of a coreset are what they are: some patch is as far away as that, or no patch is farther than that (the
 * sum of two rounds). Written as the bank's covering_radius_kind. */
typedef enum pb_radius_kind { PB_RADIUS_EXACT, PB_RADIUS_BOUND } pb_radius_kind;

/* One rank's state. Zeroed it is empty. */
typedef struct pb_training {
    const pb_job *job;         /* borrowed */
    pb_setup setup;            /* archive, device, pipeline and this rank's images */
    pb_run run;                /* the state folder; zeroed until the outputs are known to be possible */
    pb_projection *projection; /* from features to what selection sees; the identity for --projection 0 */
    pb_cover *cover;   /* projected patches of this rank's images: for every way of selecting but greedy-step */
    pb_points *points; /* likewise, for greedy-step */
    float
        *host_rows; /* [patches of selection.count images][selection dims] projected patches until they are denoised; else NULL */
    const float *first_centre; /* [selection dims] of centres that are given, NULL: there are none; borrowed */
    pb_rejects rejects;        /* images that are bad, of this rank */
    uint64_t *images; /* [image_count] this rank's images that were good, archive indices */
    size_t image_count;
    size_t cover_begin;  /* of images: the one whose patches the cover begins with */
    size_t images_saved; /* of images: those before it need not be saved any more */
    pb_rows **saved;     /* [saved_count] files of an earlier run that hold patches of this rank's images */
    size_t saved_count;
    bool finished_saved; /* the state has the finished selection */
    pb_selection_state earlier; /* on rank 0: an earlier run's selection in the state, until it is taken; picks 0: none */
    uint64_t start;           /* global patch that is picked first, where no centres are given */
    uint64_t left_out;        /* patches left out as noise, over all ranks */
    uint64_t defective;       /* of them, labelled so: somebody's mistake */
    uint64_t total_images, total_patches, first_patch; /* over all ranks; this rank's first global patch */
    double ratios[PB_RATIOS_MAX];                      /* [ratio_count] falling */
    size_t ratio_count;
    pb_coreset coreset; /* of the largest ratio */
    pb_radius_kind radius_kind; /* of its radii */
    pb_attributes attributes; /* what a bank or a checkpoint says of its making, but for ratio and radius */
} pb_training;

/* Patches an image has: the area of the grid, the same for all images. These three are not collective and the same on every
 * rank. */
static inline size_t pb_training_patches(const pb_training *t) { return pb_pipeline_patches(t->setup.pipeline); }

/* How many picks the largest ratio stands for, at least 1. After pb_train_count, which sets total_patches. */
static inline size_t pb_training_picks(const pb_training *t) { return pb_coreset_size(t->ratios[0], t->total_patches); }

/* Most candidates of a round: --candidates, as far as one message of 1 GiB holds them: what is gathered of all ranks must be
 * below 2 GiB (mpi/comm.h). */
static inline size_t pb_training_candidates(const pb_training *t) {
    size_t most = ((size_t)1 << 30) / (sizeof(pb_candidate) + (size_t)pb_projection_dim(t->projection) * sizeof(float));
    size_t wanted = (size_t)t->job->options->candidates;
    return wanted < most ? wanted : most;
}

/* Where projected patches go: called for each batch with its rows (device memory, [count][selection dims], valid during the
 * call), the first being local patch `first` of the sink; calls follow each other without gaps. *not_finite: the least bad row's
 * place, counted like `first`, or -1; then nothing of the batch may be used. Not collective. */
typedef pb_status (*pb_patch_sink)(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite);

/* --- train.c --- */

/* Not collective. Frees all that a training has and leaves it unusable. */
void pb_train_free(pb_training *t);

/* Collective. Writes BANK.rejected.csv; before the bank, so that none is without it. Not plain rejected.csv: a folder may hold
 * many banks, or be the archive's. Errors, agreed. */
PB_CHECKED pb_status pb_train_list_rejected(const pb_training *t, const char *bank);

/* --- train_extract.c --- */

/* The sink of t->cover. */
PB_CHECKED pb_status pb_train_into_cover(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite);

/* Whether this build can select from so many patches: a patch's number is 32 bits of a key (gpu/cover.h). Known before a single
 * image is read, and the same on every rank; not collective. Errors: PB_E_UNSUPPORTED. */
PB_CHECKED pb_status pb_train_check_size(const pb_training *t);

/* Collective. Extracts and projects images begin .. end - 1 of this rank's selection into the sink, starting at its patch 0, or
 * takes what an earlier run saved of them; appends the good ones to t->images. Ranks go batch by batch and agree after each, so
 * that none waits long for another, and a failure or a wish to stop ends all of them at once; what is in the cover is saved when
 * it is time, and when they stop. Errors, agreed: those of the pipeline; PB_E_INPUT naming a patch that is not finite. */
PB_CHECKED pb_status pb_train_extract_range(pb_training *t, size_t begin, size_t end, pb_patch_sink sink, pb_progress *progress);

/* Appends images of this rank to t->images, which has room for the whole selection, and counts those labelled defective. Not
 * collective. Errors: pb_archive_record's; nothing is appended then. */
PB_CHECKED pb_status pb_train_note_images(pb_training *t, const uint64_t *index, size_t count);

/* Collective. Makes the cover, or for greedy-step (`step`) the points, for the patches of `images` images of this rank, and room
 * for the projection of a batch. Where a device has no memory for it, batches become smaller on all ranks (pb_setup_relieve).
 * Errors, agreed: the device's; what was made stays for pb_train_free. */
PB_CHECKED pb_status pb_train_make_room(pb_training *t, size_t images, bool step);

/* Collective. Extracts all images of the ranks, into cover or points as the way of selecting needs, counts them, and with
 * --denoise leaves out patches. Afterwards the cover's points have their global numbers. Errors, agreed: those of
 * pb_train_extract_range, pb_train_count and pb_train_denoise. */
PB_CHECKED pb_status pb_train_extract(pb_training *t);

/* Collective. After all images went through the pipeline: checks the rejects, counts images and patches over the ranks, sets
 * first_patch, logs. `seconds` of this rank; the slowest one's are logged. Errors, agreed: PB_E_INPUT when there are more rejects
 * than --max-bad, or no image is left. */
PB_CHECKED pb_status pb_train_count(pb_training *t, double seconds);

/* --- train_denoise.c --- */

/* Whether --denoise asks for it. The same on every rank. Not collective. */
bool pb_train_denoises(const pb_training *t);

/* Whether it goes with the way of selecting: not with random and two-round, which do not have all patches at hand. Not
 * collective. Errors: PB_E_USAGE, the same on every rank. */
PB_CHECKED pb_status pb_train_denoise_check(const pb_training *t);

/* A pb_patch_sink into t->host_rows. Not collective. Errors: the device's. */
PB_CHECKED pb_status pb_train_denoise_keep(pb_training *t, size_t first, size_t count, const float *rows, int64_t *not_finite);

/* Collective. Of all patches in t->host_rows the --denoise-share most unusual ones become copies of the first centre, which is
 * t->first_centre or, t->start being set to it, the first patch that stays. Errors, agreed: PB_E_SYSTEM; pb_coreset_overflow.
 * Memory beside the rows: a float a patch, and the patches of one place of all images. Cost: each pair of images at each place.
 */
PB_CHECKED pb_status pb_train_denoise(pb_training *t);

/* --- train_select.c --- */

/* What a greedy selection of at most `picks` patches of t->cover begins with. Not collective. */
pb_greedy_input pb_train_greedy_input(const pb_training *t, size_t picks);

/* Collective. Fills t->coreset and t->radius_kind from cover or points; every way but two-round. The cover is used up. Stopped,
 * it has saved its picks (greedy only) and patches. Errors, agreed: those of selection; PB_E_REQUEUE. */
PB_CHECKED pb_status pb_train_select(pb_training *t);

/* --- train_two_round.c --- */

/* Collective. Extracts and selects part by part, then among the parts' picks; fills t->images, the counts and t->coreset, whose
 * radii are bounds. Errors, agreed: those of extraction and selection; PB_E_UNSUPPORTED when the parts' picks are too many for
 * one message. */
PB_CHECKED pb_status pb_train_two_round(pb_training *t);

/* --- train_patches.c: not collective --- */

/* Opens the saved patches in the state folder that may be of this rank's images and were made in the same way; others are logged
 * and left. t->attributes must say by now how patches are made. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_train_patches_open(pb_training *t);
void pb_train_patches_close(pb_training *t);

/* How many images, at most `most`, from `position` of this rank's selection on, stand one behind the other in a file of saved
 * patches: *rows, from its key `*place` on. 0: the first is in none. Cost: a binary search in each file. */
size_t pb_train_patches_find(const pb_training *t, size_t position, size_t most, pb_rows **rows, size_t *place);

/* Says that a file turned out to be damaged, and closes it. */
void pb_train_patches_forget(pb_training *t, pb_rows *rows, const pb_status *why);

/* Saves the patches of the images from t->images_saved on, out of the cover or t->host_rows, in one file; nothing when there are
 * none, or when they are in t->points, which cannot be read back. Errors: pb_run_tolerate's. */
PB_CHECKED pb_status pb_train_patches_save(pb_training *t);

/* --- train_checkpoint.c --- */

/* Collective, after extraction. If t->earlier is of the same patches, its picks are put into t->coreset, on every rank, as far as
 * there is room. One that does not fit is left alone and logged. It is empty afterwards. */
void pb_train_resume(pb_training *t);

/* Rank 0, not collective. Saves the picks made so far. Errors: pb_run_tolerate's. */
PB_CHECKED pb_status pb_train_checkpoint(pb_training *t, const pb_coreset *so_far);

/* Collective, before extraction. Reads the selection that the state has, for once: if it is finished, and of the same images,
 * t->coreset and t->images, counts and rejects are as extraction and selection would leave them, *done, and neither is needed.
 * Else it waits in t->earlier. One that does not fit is left alone and logged; so is one of which an image was bad then and is
 * good now (a shard was repaired, say), since a run without a state would select from that. Errors, agreed: those of reading
 * images, and too many bad ones. */
PB_CHECKED pb_status pb_train_resume_finished(pb_training *t, bool *done);

/* Collective. Saves the finished selection, so that a run that is stopped while it collects rows need not select again. Errors,
 * agreed: pb_run_tolerate's; PB_E_SYSTEM. */
PB_CHECKED pb_status pb_train_finished(pb_training *t);

/* --- train_banks.c --- */

/* Not collective. The file of the bank of `ratio`: --bank itself, or one of several beside it. path: PB_PATH_MAX bytes. */
PB_CHECKED pb_status pb_train_bank_path(const pb_training *t, double ratio, char *path);

/* Collective. Fills the bank on rank 0 from t->coreset, without attributes; radii that are not known are -1. It is empty
 * elsewhere. Errors, agreed: pb_collect_bank's. */
PB_CHECKED pb_status pb_train_collect(pb_training *t, pb_bank *bank);

/* Collective. Writes a bank for each ratio: prefixes of one coreset. Errors, agreed: those of pb_train_collect and pb_bank_write;
 * banks that were written before stay. */
PB_CHECKED pb_status pb_train_write_banks(pb_training *t);

#endif
