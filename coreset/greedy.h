/* greedy.h: the coreset: exact greedy minimax facility location (farthest-first traversal) over the ranks, in rounds.
 *
 * Starting from a given patch, again and again the patch farthest from all picked ones (T. F. Gonzalez, "Clustering to minimize
 * the maximum intercluster distance", TCS 38, 1985: the covering radius is at most twice the optimum; PatchCore, algorithm 1).
 * Or going on from centres that are no points: the rows of an older bank.
 *
 * The textbook loop (coreset/greedy_step.h) looks at every point for every pick. Here a round lowers a floor; each rank brings up
 * to date only its points whose bounds reach the floor (gpu/cover.h); those that still do are the candidates, and nothing else
 * can be picked before all of them have fallen below the floor. So every rank gathers all candidates and makes the same picks
 * among them, without a further message, until none is left above the floor. Rounds grow with the logarithm of the number of
 * picks. How far the floor is lowered decides only the cost. It is computed from counts and agreed values with IEEE operations
 * alone, so that all ranks have the same floor.
 */
#ifndef PB_CORESET_GREEDY_H
#define PB_CORESET_GREEDY_H

#include "coreset/coreset.h"
#include "gpu/cover.h"
#include "mpi/device_comm.h"

#include <stddef.h>
#include <stdint.h>

/* Called on every rank after each round that made a pick, with what has been picked so far (the last radius is still NaN), for
 * progress and checkpoints. Not a collective: it may do different things on different ranks, but must not use a collective of the
 * selection's communicator unless all ranks do. A failure of any rank, as of one that was asked to stop, ends the selection on
 * all of them in the next round, if there is one; what has been picked until then is in the coreset. */
typedef pb_status (*pb_greedy_report)(void *context, const pb_coreset *so_far);

/* What is selected from, and until when. Borrowed for the call; only the cover is changed. */
typedef struct pb_greedy_input {
    pb_cover *cover; /* this rank's points on `device`, placed, without centres; used up */
    uint64_t count;  /* how many points */
    uint64_t first;  /* global index of the first; the ranks' ranges follow each other in rank order */
    uint64_t total;  /* over all ranks, < 2^32 - 1 */
    int dim;
    uint64_t start;     /* global index of the first pick, < total even where it is not looked at: where centres are given, or the
                         * coreset comes with picks */
    const float *given; /* [given_count][dim] host memory, finite: centres before the first pick, which is then the point that
                         * is farthest from them; may be NULL */
    size_t given_count; /* 0: none */
    float enough;            /* no more picks once every point is within this distance (>= 0, not squared) of a centre; 0: picks
                              * go on until every point equals one */
    size_t picks;            /* how many to make at most, 1 .. total */
    size_t candidates_most;  /* candidates that are gathered in one round, >= number of ranks; bounds the memory of a round to
                              * about candidates_most * (dim + 3) * 12 bytes on every rank (8,192 of 128 values: 13 MB), and two
                              * thirds of that again in host memory where exchanges are staged */
    pb_greedy_report report; /* may be NULL */
    void *context;
} pb_greedy_input;

/* What a selection cost, the same on every rank. The counts are filled also when the selection fails. */
typedef struct pb_greedy_cost {
    uint64_t rounds, candidates_most, candidates_sum; /* rounds; most candidates in one, and all together */
    uint64_t capped;                                  /* rounds with more candidates than input->candidates_most */
} pb_greedy_cost;

/* Collective over the ranks of devices. Selects up to input->picks points. All members but cover, count, first, report and
 * context must be equal on all ranks; `given` in its values. coreset: owned by the caller, with room for input->picks. If it
 * holds picks on entry (the first ones of an interrupted selection from the same points; equal on all ranks), selection goes on
 * after them. On return it holds all picks and all radii, on every rank alike, the same bits as the textbook loop for any number
 * of ranks, device, threads and interruptions; a radius is that of given centres and picks together. Selection ends early, with
 * fewer than input->picks, perhaps none where centres are given, once the radius is at most input->enough; at 0 every point
 * equals a centre, and a repeated row would change no score. given_radius: the radius by the given centres alone (NaN: none are,
 * or there were picks on entry); may be NULL, as cost. Precondition: all coordinates are finite (pb_device_cover_write reports
 * those that are not). Errors, the same on every rank: those of the device; PB_E_SYSTEM (memory); pb_coreset_overflow; whatever
 * `report` said. After one the coreset holds the picks made until then, each of them right, and the cover is used up. Cost: four
 * collectives a round: what each rank has, the candidates, and before and after the picks an agreement. */
PB_CHECKED pb_status pb_greedy_select(pb_device_comm *devices, const pb_greedy_input *input, pb_coreset *coreset,
                                      float *given_radius, pb_greedy_cost *cost);

/* Collective over the ranks of devices. The covering radii of prefixes of a coreset that was not made by pb_greedy_select:
 * radii[i], exact, on every rank, of all points by the first prefixes[i] picks; `count` prefixes, rising. input->cover as above,
 * without centres; picks, start, given, enough and report are not looked at. Errors, agreed: those of the device; PB_E_SYSTEM
 * (memory); pb_coreset_overflow. Cost: a few rounds a prefix, each of pb_greedy_select's collectives. */
PB_CHECKED pb_status pb_greedy_radii(pb_device_comm *devices, const pb_greedy_input *input, const pb_coreset *coreset,
                                     const size_t *prefixes, size_t count, float *radii);

#endif
