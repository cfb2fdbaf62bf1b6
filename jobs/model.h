/* model.h: private to jobs/: how long training, updates and scoring take on how many ranks, and what memory and storage they
 * need, from measured constants. Formulas and reasons are in docs/SCALING.md; symbols there are the names here. Nothing here is
 * collective.
 *
 * All numbers are double, counts too: they are estimates, and products of them exceed what whole numbers hold. Functions are
 * pure; constants must be what jobs/plan.c accepts (rates above 0), or results are infinite or NaN. */
#ifndef PB_JOBS_MODEL_H
#define PB_JOBS_MODEL_H

#include "jobs/constants.h"

#include <stdbool.h>

/* What is to be done. */
typedef struct pb_work {
    double train_images, test_images, update_images; /* to train on; to score; new ones, for a bank of the training images */
    double ratio;      /* of the largest bank */
    double candidates; /* --candidates */
    double parts;      /* of --coreset two-round; 0: greedy, in one */
    bool denoise;      /* --denoise, of training and updates */
} pb_work;

/* One job on so many ranks. Seconds by the clock unless they say otherwise. */
typedef struct pb_forecast {
    double extract_s, denoise_s, select_s, collect_s, search_s, messages_s, write_s;
    double seconds;                /* of all, with the start */
    double processor_s;            /* of all ranks */
    double rank_bytes, root_bytes; /* memory of a rank, and of rank 0, which holds the bank or the results; largest at once */
    double device_bytes;           /* of a rank's device where that has memory of its own, else 0 and part of the others */
    double rounds, picks;          /* of selection; rows of the bank, after an update of the new one */
    double sent_bytes;             /* by a rank */
} pb_forecast;

/* Memory of the points of selection on a rank of the device "cpu" (gpu/cover.h): `points` of them, and `picks` centres with the
 * room that doubling gives them. */
double pb_model_cover_bytes(const pb_constants *constants, double points, double picks);

/* Training, updating, or scoring, on `ranks` >= 1 ranks. Members that a job has no use for are 0: search_s of training and
 * updating, select_s, collect_s and rounds of scoring; `picks` are the rows of the bank, after an update those of the new one. */
pb_forecast pb_model_train(const pb_constants *constants, const pb_work *work, double ranks);

/* An update with work->update_images, at least 1. New rows are at most about as large a share of the new images' patches as the
 * bank's are of its own, which is planned for; how many less depends on how new the images are, and no plan can know. */
pb_forecast pb_model_update(const pb_constants *constants, const pb_work *work, double ranks);

pb_forecast pb_model_score(const pb_constants *constants, const pb_work *work, double ranks);

/* Bytes of files: the archive, the bank of work->ratio, results of the test images. */
double pb_model_archive_bytes(const pb_constants *constants, const pb_work *work);
double pb_model_bank_bytes(const pb_constants *constants, const pb_work *work);
double pb_model_results_bytes(const pb_constants *constants, const pb_work *work);

#endif
