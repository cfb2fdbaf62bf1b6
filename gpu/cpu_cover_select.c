/* Greedy selection among gathered candidates, the filtered way (contract: pb_device_cover_select). One thread: a pick takes about
 * as long as waking others would. Every rank does the same work on the same candidates and so makes the same picks; nothing is
 * exchanged.
 *
 * A contest is a copy of the candidates in the form of the filter: rows padded, places in tiles of 16, bounds that are tightened
 * only as needed (leader and meet in cpu_cover_body.h). A pick is found by settling whoever has the largest bound until the
 * leader is sure, appended as a centre, and met by all. Where this cover does not filter, or the candidates of others are too
 * long for its margins, cpu_cover_exact.c does the same.
 */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <string.h>

/* Arrays of one value a candidate are as long as whole tiles; lanes without a candidate keep the bound -1, which no limit lets
 * through and no maximum sees. c is to be released, after an error too. */
static pb_status allocate(pb_contest *c, const pb_cover *cover) {
    const size_t lanes = (c->count + PB_COVER_TILE - 1) / PB_COVER_TILE * PB_COVER_TILE;
    PB_TRY(pb_allocate(&c->rows, c->count, cover->stride * sizeof *c->rows, "candidates"));
    PB_TRY(pb_allocate(&c->places, c->count, PB_AXES * sizeof *c->places, "places of candidates"));
    PB_TRY(pb_allocate(&c->tiles, lanes, PB_AXES * sizeof *c->tiles, "places of candidates"));
    PB_TRY(pb_allocate(&c->own, lanes, sizeof *c->own, "places of candidates"));
    PB_TRY(pb_allocate(&c->limits, lanes, sizeof *c->limits, "limits of candidates"));
    PB_TRY(pb_allocate(&c->bounds, lanes, sizeof *c->bounds, "bounds of candidates"));
    PB_TRY(pb_allocate(&c->nearest, lanes, sizeof *c->nearest, "nearest centres of candidates"));
    PB_TRY(pb_allocate(&c->exact, lanes, sizeof *c->exact, "bounds of candidates"));
    for (size_t i = 0; i < lanes; i++)
        c->bounds[i] = -1.0f;
    return pb_ok();
}

static void release(pb_contest *c) {
    pb_release(&c->rows);
    pb_release(&c->places);
    pb_release(&c->tiles);
    pb_release(&c->own);
    pb_release(&c->limits);
    pb_release(&c->bounds);
    pb_release(&c->nearest);
    pb_release(&c->exact);
}

/* Candidates may come from ranks whose points are longer than any here: the margins are widened before they are used. If the
 * margins cannot hold for them, pb_cover_widen ends the filter, and the caller sees that by cover->filtered. */
static pb_status enter(pb_contest *c, pb_cover *cover, const float *rows) {
    PB_TRY(allocate(c, cover));
    for (size_t i = 0; i < c->count; i++) {
        PB_ASSERT(c->candidates[i].nearest < cover->centre_count);
        memcpy(c->rows + i * cover->stride, rows + i * (size_t)cover->dim, (size_t)cover->dim * sizeof *rows);
        c->bounds[i] = c->candidates[i].bound;
        c->nearest[i] = c->candidates[i].nearest;
    }
    pb_cover_extent extent = {0};
    cover->kernels->cover->place(cover, c->rows, c->count, c->places, &extent);
    pb_cover_widen(cover, &extent);
    if (cover->filtered)
        cover->kernels->cover->enter(cover, c);
    return pb_ok();
}

/* Picks while there is somebody at or above the floor. A pick's row is one of those that enter has measured, by the same kernel
 * with the same result, so appending it never widens the margins and never ends the filter in the middle. */
static pb_status run(pb_contest *c, pb_cover *cover, uint64_t floor, size_t most, uint64_t *picked, float *distance2,
                     size_t *made, uint64_t *next) {
    const pb_cover_kernels *kernels = cover->kernels->cover;
    size_t winner = 0;
    uint64_t key;
    while ((key = kernels->leader(cover, c, floor, &winner)) > 0 && key >= floor && *made < most) {
        picked[*made] = c->candidates[winner].index;
        distance2[*made] = c->bounds[winner];
        ++*made;
        PB_TRY(pb_cover_append(cover, c->rows + winner * cover->stride));
        kernels->meet(cover, c);
    }
    *next = key >= floor ? key : 0;
    return pb_ok();
}

/* The contest is released before the plain way begins, so that the candidates are not in memory twice over. */
pb_status pb_cpu_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                              uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    (void)device;
    *made = 0;
    *next = 0;
    pb_contest contest = {.count = count, .candidates = candidates, .counts = &cover->work[0].counts};
    pb_status status = cover->filtered ? enter(&contest, cover, rows) : pb_ok();
    const bool filtered = cover->filtered; /* the candidates may have been too long for it */
    if (!pb_failed(&status) && filtered)
        status = run(&contest, cover, floor, most, picked, distance2, made, next);
    for (size_t i = 0; !pb_failed(&status) && filtered && i < count; i++) {
        candidates[i].bound = contest.bounds[i];
        candidates[i].nearest = contest.nearest[i];
    }
    release(&contest);
    if (!pb_failed(&status) && !filtered)
        status = pb_cover_exact_select(cover, candidates, rows, count, floor, most, picked, distance2, made, next);
    return status;
}
