/* greedy_step.h: greedy selection as the textbook has it: one pass over all points and one all-reduce per pick.
 *
 * The oracle of coreset/greedy.h and, as `--coreset greedy-step`, the plain way for whoever wants it: same picks, same radii, bit
 * for bit.
 */
#ifndef PB_CORESET_GREEDY_STEP_H
#define PB_CORESET_GREEDY_STEP_H

#include "coreset/coreset.h"
#include "mpi/device_comm.h"

/* Called on every rank after each pick, its radius included; for progress. Not collective. A failure of any rank ends the
 * selection on all of them with the next pick, if there is one. */
typedef pb_status (*pb_greedy_step_report)(void *context, const pb_coreset *so_far);

/* What is selected from, and how much. Borrowed for the call. */
typedef struct pb_greedy_step_input {
    pb_points *points; /* this rank's points on its device; their distances are used up */
    uint64_t count;    /* how many */
    uint64_t first;    /* global index of the first; the ranks' ranges follow each other in rank order */
    uint64_t total;    /* over all ranks, < 2^32 - 1 */
    int dim;
    uint64_t start;               /* global index of the first pick */
    size_t picks;                 /* how many to make, 1 .. total */
    pb_greedy_step_report report; /* may be NULL */
    void *context;
} pb_greedy_step_input;

/* Collective over the ranks of devices. As pb_greedy_select (coreset/greedy.h) in its results and errors; all members of the
 * input but points, count, first, report and context must be equal on all ranks. coreset: owned by the caller, empty, with room
 * for input->picks. It always goes on to input->picks or radius 0; it has no given centres and does not go on from earlier picks.
 * After an error it holds the picks made until then. Cost a pick: two allreduces of 8 bytes (the farthest patch, and agreeing on
 * success) and one broadcast of dim floats; all points are read once. */
PB_CHECKED pb_status pb_greedy_step_select(pb_device_comm *devices, const pb_greedy_step_input *input, pb_coreset *coreset);

#endif
