/* greedy.h: the coreset: greedy minimax facility location (farthest-first traversal), exact, over the ranks.
 *
 * Starting from a given patch, again and again the patch farthest from all picked ones (T. F. Gonzalez, "Clustering to minimize
 * the maximum intercluster distance", TCS 38, 1985: the covering radius is at most twice the optimum; PatchCore, algorithm 1).
 * This file holds the textbook loop: one pass over the points and one all-reduce of a packed 64-bit maximum per pick. Ties go to
 * the smallest global index. Distances are canonical (gpu/device.h), so the picks are the same for any ranks and devices.
 */
#ifndef PB_CORESET_GREEDY_H
#define PB_CORESET_GREEDY_H

#include "base/status.h"
#include "gpu/device.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* Called on every rank after each pick with the number of picks made and the covering radius so far; for progress. */
typedef void (*pb_greedy_report)(void *context, size_t picks, float covering_radius);

typedef struct pb_greedy_input {
    pb_points *points;     /* this rank's points on `device`, their distances are used up */
    uint64_t count;        /* how many */
    uint64_t first;        /* global index of the first; the ranks' ranges follow each other in rank order */
    uint64_t total;        /* over all ranks, < 2^32 - 1 */
    int dim;
    uint64_t start;        /* global index of the first pick */
    size_t picks;          /* how many to make, 1 .. total */
    pb_greedy_report report;
    void *context;
} pb_greedy_input;

/* Collective over comm. Selects up to input->picks points. All members but points, count and first must be equal on all ranks.
 * Out, on every rank alike: *made, how many were picked; picked[*made], global indices in order; radius[*made]: after pick i the
 * largest distance (not squared) of any point to the picked ones. picked and radius: host memory of the caller, room for
 * input->picks. Selection ends early, with *made < picks, once the radius is 0: every point then equals a picked one, and a
 * repeated row would change no score.
 * Errors: those of the device, agreed: the same on every rank. Cost a pick: four allreduces of 8 bytes (two agree on success, one
 * finds the owner, one the farthest patch) and one broadcast of dim floats. */
PB_CHECKED pb_status pb_greedy_select(pb_comm *comm, pb_device *device, const pb_greedy_input *input, uint64_t *picked,
                                      float *radius, size_t *made);

/* How many points a ratio stands for: floor(ratio * total), at least 1 and at most total. */
size_t pb_coreset_size(double ratio, uint64_t total);

#endif
