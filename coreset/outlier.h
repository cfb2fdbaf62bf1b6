/* outlier.h: which training patches are probably not normal: those that are far from what other images have at the same place.
 *
 * In the manner of SoftPatch (X. Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", NeurIPS 2022): the
 * patches of all images at one place of the grid are compared with each other, each gets a score, and the share of all patches
 * that has the highest scores is left out before the coreset is selected. What makes a score:
 *   nearest  distance to the nearest patch of another image
 *   lof      local outlier factor (M. Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000): how much
 *            sparser a patch lies than its neighbours do; relative, so that places of much variety are not all noise
 * Host arithmetic, the same bits everywhere: distance^2 is a sum over k in order, of float products that are rounded by
 * themselves; neighbours are in order of (distance^2, index); sums over neighbours are double, in that order.
 *
 * A job scores the patches of each place of the grid (pb_outlier_scores), place by place, wherever all images' patches of that
 * place are, and then asks for the one limit of all places and ranks (pb_outlier_limit): what is above it is left out.
 */
#ifndef PB_CORESET_OUTLIER_H
#define PB_CORESET_OUTLIER_H

#include "base/status.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* What makes a score, as above. `train --denoise` names it. */
typedef enum pb_outlier_kind { PB_OUTLIER_NEAREST, PB_OUTLIER_LOF } pb_outlier_kind;

/* Neighbours that lof looks at, SoftPatch's number; fewer where there are not so many. */
enum { PB_LOF_NEIGHBOURS = 6 };

/* scores[n], host memory of the caller: how unusual row i is among the n rows [n][dim] (host memory, finite) of one place, >= 0;
 * 0 when it is alone; not finite where distances overflow. n < 2^32 - 1. Uses `threads` OpenMP threads, >= 1; the same bits for
 * any number of them. Not collective. Errors: PB_E_SYSTEM, with scores of 0. Cost: n^2 dim operations; n (dim + 14) floats. */
PB_CHECKED pb_status pb_outlier_scores(pb_outlier_kind kind, const float *rows, size_t n, int dim, int threads, float *scores);

/* Collective. The least float that no more than `most` scores of all ranks are above; equal scores are on the same side, so that
 * fewer may be. The same on all ranks. scores: [count] of this rank, host memory, >= 0 and finite; count may be 0 and differ.
 * `most`: the same on all ranks. Cost: at most 32 allreduces of 8 bytes and passes over the scores. */
float pb_outlier_limit(pb_comm *comm, const float *scores, size_t count, uint64_t most);

#endif
