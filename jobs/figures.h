/* figures.h: private to jobs/: figures of results: what eval shows and what the gate of the bank store decides by, so that both
 * mean the same by an AUROC. Not collective.
 *
 * A figure is of a sample: the images of a class, or of all, that have a label and a score. Those without are counted in it, so
 * that nobody mistakes what a figure is of. */
#ifndef PB_JOBS_FIGURES_H
#define PB_JOBS_FIGURES_H

#include "io/results_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The labelled and scored images of one class (or of all), ready for coreset/metrics.h: arrays of `count` with room for all
 * images of the results. Zeroed it is empty; arrays are owned. */
typedef struct pb_sample {
    size_t count;
    double *score;                           /* of the results, as double */
    double *brightness[PB_BRIGHTNESS_STATS]; /* a column for each statistic */
    bool *defective;
    int64_t *group; /* only when the groups are needed */
    uint64_t defects, unlabelled, unscored; /* of the sample; and left out of it */
} pb_sample;

/* Chooses from results. class NULL: all images. groups: their names as whole numbers too. Errors: PB_E_INPUT (a group that is no
 * such number), PB_E_SYSTEM; pb_sample_free follows in any case. */
PB_CHECKED pb_status pb_sample_choose(const pb_results *results, const char *class, bool groups, pb_sample *chosen);
void pb_sample_free(pb_sample *chosen);

/* The AUROC of one score of the sample (its own, or a brightness): over all pairs of a defective and a normal image, or, for
 * within >= 0, over near pairs, whose groups differ by at most that, and which *pairs then counts (else it may be NULL). The
 * sample must have groups for it. Errors: those of coreset/metrics.h. */
PB_CHECKED pb_status pb_sample_auroc(const pb_sample *chosen, const double *score, int64_t within, double *auroc,
                                     uint64_t *pairs);

/* Reads results.h5 of a folder of results; owned by the caller (pb_results_free). Errors: those of pb_results_read. */
PB_CHECKED pb_status pb_results_of_folder(const char *folder, pb_results *results_out);

#endif
