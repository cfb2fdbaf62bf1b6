/* score_state.h: private to jobs/: the scores of a stopped or killed run: saved by each rank for the images it had, taken up by
 * whichever rank has them in the next run.
 *
 * A file of the state is a results file (io/results_file.h) of some images, so it is found and checked by what it is of: bank,
 * archive, weights, options and arithmetic. Images that could not be scored are not in it: they are tried again, so that their
 * reasons are known. Files are named by their first and last image in the archive, and their images rise. One rank's object;
 * nothing here is collective. */
#ifndef PB_JOBS_SCORE_STATE_H
#define PB_JOBS_SCORE_STATE_H

#include "io/archive.h"
#include "io/results_file.h"
#include "jobs/run_state.h"
#include "jobs/selection.h"

/* What one image's scoring says beside its map. Plain data, as it travels to rank 0. */
typedef struct pb_verdict {
    uint64_t position; /* among the images selected, over all ranks */
    uint64_t index;    /* in the archive */
    double brightness[PB_BRIGHTNESS_STATS]; /* grey values (io/image.h); NaN without a score */
    float score;                            /* the largest distance of a patch; NaN: could not be read */
    /* The patch with that distance, and the bank row nearest to it; PB_RESULT_UNSCORED where there is no score. */
    uint32_t patch, nearest;
} pb_verdict;

/* Writes `count` verdicts with their maps [count][grid] as images first .. of a results file; `archive` has their records. The
 * maps are only read. Errors: those of pb_archive_record and pb_results_write; PB_E_SYSTEM. After an error only
 * pb_results_abandon may follow. */
PB_CHECKED pb_status pb_verdicts_write(pb_results_writer *writer, uint64_t first, pb_archive *archive, const pb_verdict *verdicts,
                                       float *maps, size_t count);

typedef struct pb_saved_scores pb_saved_scores; /* an open file of them */

/* Zeroed it is empty. */
typedef struct pb_score_state {
    pb_run run;                     /* of the job */
    pb_attributes attributes;       /* what saved scores must be of */
    pb_archive *archive;            /* borrowed */
    const pb_selection *selection;  /* borrowed: this rank's images */
    pb_size grid;                   /* patches of an image */
    pb_verdict *verdicts;           /* [count] scored and not yet saved */
    float *maps;                    /* [count][grid] */
    size_t count, room;             /* images that are held; that there is room for */
    pb_saved_scores **saved;        /* [saved_count] */
    size_t saved_count;
    pb_results_maps *maps_open;     /* of the file maps_of */
    const pb_saved_scores *maps_of; /* whose maps are open, NULL: none */
} pb_score_state;

/* Opens the files of saved scores that may be of this rank's images; all of them are in memory but for their maps. The members
 * above `verdicts` are the caller's to set first. Errors: PB_E_SYSTEM; a file that cannot be used is logged and left out. */
PB_CHECKED pb_status pb_score_state_open(pb_score_state *state);
void pb_score_state_free(pb_score_state *state);

/* The images of this rank that have no saved scores go to todo[selection->count], positions in its selection; the others to
 * done[..] likewise, with as much room. Both rise. Cost: a binary search in each file for each image. */
void pb_score_state_divide(const pb_score_state *state, size_t *todo, size_t *todo_count, size_t *done, size_t *done_count);

/* The saved verdict and map of the image at `place` of this rank's selection, which pb_score_state_divide found done. Errors:
 * PB_E_INPUT when the file turns out to be damaged; it says to remove it. */
PB_CHECKED pb_status pb_score_state_take(pb_score_state *state, size_t place, pb_verdict *verdict, float *map);

/* Notes scored images, [count] with their maps, which are copied; those without a score are passed over. Calls come in the order
 * of the images. Saves what has gathered when it is time, or too much to hold. Errors: PB_E_SYSTEM; pb_score_state_save's. */
PB_CHECKED pb_status pb_score_state_keep(pb_score_state *state, const pb_verdict *verdicts, const float *maps, size_t count);

/* Saves what has gathered, and forgets it, saved or not. Errors: pb_run_tolerate's. */
PB_CHECKED pb_status pb_score_state_save(pb_score_state *state);

#endif
