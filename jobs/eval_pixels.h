/* eval_pixels.h: private to jobs/: the part of eval that looks at pixels: maps of results, raised to the size of the network's
 * input and smoothed, against the masks of the archive (jobs/truth.h), counted by coreset/pixels.h.
 *
 * An image takes part when it has a label and a score. Without a mask a normal image is normal in every pixel; a defective one is
 * left out, since nobody knows where. Where there is a mask it decides, whatever the label. Figures are the same for any number
 * of ranks (docs/decisions/0028). */
#ifndef PB_JOBS_EVAL_PIXELS_H
#define PB_JOBS_EVAL_PIXELS_H

#include "coreset/pixels.h"
#include "io/results_file.h"
#include "jobs/job.h"

typedef struct pb_eval_pixels pb_eval_pixels;

/* What is measured of one class, or of all images. */
typedef struct pb_pixel_row {
    pb_pixel_figures figures; /* coreset/pixels.h */
    uint64_t images;       /* that take part */
    uint64_t without_mask; /* defective images that are left out */
    uint64_t empty_mask;   /* of those that take part, defective images in whose cut no pixel is defective */
} pb_pixel_row;

/* Collective. Opens the job's archive, device and the maps of --results; results: what pb_results_read read there, the same on
 * all ranks, borrowed, must outlive it. Owned by the caller. Errors, agreed: PB_E_INPUT (the results are of another archive, or
 * do not say how images became inputs), those of the archive and the device. */
PB_CHECKED pb_status pb_eval_pixels_open(const pb_job *job, const pb_results *results, pb_eval_pixels **pixels_out);
void pb_eval_pixels_close(pb_eval_pixels **pixels);

/* The size of the maps, in pixels. */
pb_size pb_eval_pixels_size(const pb_eval_pixels *pixels);

/* Collective. Measures the images of `class` (NULL: all); the same on every rank. Errors, agreed: PB_E_INPUT (no normal or no
 * defective pixel: figures.normal or figures.defective is then 0; a damaged map or mask), PB_E_SYSTEM, PB_E_UNSUPPORTED. */
PB_CHECKED pb_status pb_eval_pixels_measure(pb_eval_pixels *pixels, const char *class, pb_pixel_row *row_out);

#endif
