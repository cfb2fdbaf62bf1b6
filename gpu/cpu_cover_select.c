/* Greedy selection among gathered candidates, the filtered way. One thread: a pick takes about as long as waking others would. */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <string.h>

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

/* Candidates may come from ranks whose points are longer than any here: the margins are widened before they are used. */
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
