/* pixels.h: how good maps of pixels are: the pixel AUROC and PRO, over the images of all ranks, of any number.
 *
 * Both are sums over the defective pixels that depend on how many normal pixels score higher and how many as high, which must be
 * known exactly. Nothing is sorted and no score is kept: pixels are counted by the bits of their scores, in two levels. The first
 * pass over the images counts by the upper 16 of the 31 bits of a score; only values of the first level with both kinds of pixels
 * are then counted by all bits, PB_PIXELS_FINE of them a pass. Counts are whole numbers, so any number of ranks gives the same
 * bits; memory does not grow with the images (at most 205 MB a rank), and the number of passes only with the range of the scores:
 * a factor of two between scores is 256 values.
 *
 *     do {
 *         for each image of this rank: pb_pixels_add
 *         pb_pixels_next                                  collective
 *     } while (again);
 *     pb_pixels_figures
 */
#ifndef PB_CORESET_PIXELS_H
#define PB_CORESET_PIXELS_H

#include "base/status.h"
#include "mpi/comm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values of the first level that are counted by all bits in one pass: 768 KiB each. Scores within a factor of two of each other
 * have as many values, so that one to three passes are usual (docs/decisions/0028). */
enum { PB_PIXELS_FINE = 256 };

/* The false positive rate up to which PRO is integrated. */
#define PB_PRO_LIMIT 0.3

/* Most regions of all images, so that sums of their shares do not overflow (coreset/pixels.c). */
#define PB_PIXELS_REGIONS_MAX ((uint64_t)1 << 23)

/* Counts under way: of one rank between two ends of passes, of all ranks at these. Used by one thread. */
typedef struct pb_pixels pb_pixels;

/* What comes out. All defective pixels count the same in the AUROC, large regions more than small ones; in PRO all regions count
 * the same. */
typedef struct pb_pixel_figures {
    uint64_t normal, defective, regions; /* pixels, and regions of defective ones */
    double auroc; /* probability that a defective pixel scores above a normal one, a tie counting one half: the quotient of two
                   * whole numbers */
    double pro;   /* per-region overlap: the mean over all regions of the share of their pixels at or above a threshold, as a
                   * function of the false positive rate; its area from 0 to PB_PRO_LIMIT, divided by that. Points of equal score
                   * are one point, and points are joined by straight lines, as in MVTec AD's evaluation (P. Bergmann et al., "The
                   * MVTec anomaly detection dataset", IJCV 2021, which calls it AU-PRO). A pixel counts 1 / size of its region,
                   * rounded to 2^-40: the error is below size x 2^-40 of the figure. */
} pb_pixel_figures;

/* Empty counts of a communicator's ranks, which is borrowed and must outlive them. Owned by the caller, *pixels_out NULL on
 * error; of pb_pixels_free NULL is fine, and *pixels is NULL afterwards. Not collective. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_pixels_create(pb_comm *comm, pb_pixels **pixels_out);
void pb_pixels_free(pb_pixels **pixels);

/* Counts the pixels of an image, host memory, borrowed: scores[count] >= 0, not NaN (asserted), +infinity may be;
 * region_size[count]: the size of the region that each pixel is in, 0 for a normal one, as pb_regions_measure gives it; NULL: all
 * are normal. regions: how many regions they are. A region must not be split over two calls. The same images, with the same bits,
 * in every pass; their order and which rank has them does not matter. Not collective. */
void pb_pixels_add(pb_pixels *pixels, const float *scores, const uint32_t *region_size, size_t count, size_t regions);

/* Collective. Ends a pass over the images; *again: another is needed, on all ranks alike. Errors, agreed: PB_E_SYSTEM (memory),
 * PB_E_UNSUPPORTED (more than PB_PIXELS_REGIONS_MAX regions); only pb_pixels_free may follow. Cost: the first pass sends 1.5 MiB,
 * each other one 768 KiB for each of its values. */
PB_CHECKED pb_status pb_pixels_next(pb_pixels *pixels, bool *again);

/* After the last pass, the same on every rank. Errors: PB_E_INPUT when one of the kinds has no pixel, with their numbers; the
 * figures are then NaN, the counts right. Not collective. */
PB_CHECKED pb_status pb_pixels_figures(const pb_pixels *pixels, pb_pixel_figures *figures_out);

#endif
