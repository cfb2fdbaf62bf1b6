/* brightness.h: private to jobs/: the brightness floor: a detector that sees nothing but four grey statistics of an image
 * (io/image.h). Score = sum over the statistics of ((s - mean) / deviation)^2, mean and standard deviation over the training images; a
 * statistic that does not vary there is left out. Whatever a memory bank achieves must be seen beside it. */
#ifndef PB_JOBS_BRIGHTNESS_H
#define PB_JOBS_BRIGHTNESS_H

#include "base/status.h"
#include "io/attributes.h"
#include "io/image.h"
#include "mpi/comm.h"

#include <stddef.h>

typedef struct pb_brightness_model {
    double mean[PB_BRIGHTNESS_STATS], deviation[PB_BRIGHTNESS_STATS];
} pb_brightness_model;

/* Collective. Fits it to the statistics of all ranks' images, summed in image order on rank 0, so that the bits do not depend on the ranks.
 * The model is valid on rank 0 alone. Errors, agreed: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_brightness_fit(pb_comm *comm, double (*stats)[PB_BRIGHTNESS_STATS], size_t count,
                                       pb_brightness_model *model);

double pb_brightness_score(const pb_brightness_model *model, const double stats[PB_BRIGHTNESS_STATS]);

/* To and from a bank's attributes; file names the bank in messages. */
PB_CHECKED pb_status pb_brightness_store(const pb_brightness_model *model, pb_attributes *attributes);
PB_CHECKED pb_status pb_brightness_load(const pb_attributes *attributes, const char *file, pb_brightness_model *model);

#endif
