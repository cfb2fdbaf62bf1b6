#include "play.h"

#include "base/memory.h"

#include <math.h>

static const double GROWTH = 0.12;

/* A selection under way. */
typedef struct game {
    pb_device *device;
    pb_cover *cover;
    int dim;
    size_t picks, made;
    int32_t *picked;
    uint64_t *round_picked; /* host memory, [picks], as the next */
    float *distance2;
} game;

static uint64_t key_of(float distance2) { return (uint64_t)pb_float_bits(distance2) << 32; }

/* Selects among `count` candidates in device memory. */
static pb_status select_among(game *g, pb_candidate *candidates, float *rows, uint64_t floor, size_t count, size_t *made,
                              uint64_t *next) {
    PB_TRY(pb_device_cover_candidates(g->device, g->cover, candidates, rows));
    PB_TRY(pb_device_cover_select(g->device, g->cover, candidates, rows, count, floor, g->picks - g->made, g->round_picked,
                                  g->distance2, made, next));
    return pb_device_cover_update(g->device, g->cover, candidates, count);
}

static pb_status play_round(game *g, uint64_t floor, size_t count, size_t *made, uint64_t *next) {
    pb_candidate *candidates = NULL;
    float *rows = NULL;
    pb_status status = pb_device_alloc(g->device, count * sizeof *candidates, &candidates, "candidates");
    if (!pb_failed(&status))
        status = pb_device_alloc(g->device, count * (size_t)g->dim * sizeof *rows, &rows, "candidates");
    if (!pb_failed(&status))
        status = select_among(g, candidates, rows, floor, count, made, next);
    pb_device_release(g->device, &candidates);
    pb_device_release(g->device, &rows);
    for (size_t i = 0; i < *made && !pb_failed(&status); i++)
        g->picked[g->made++] = (int32_t)g->round_picked[i];
    return status;
}

static pb_status play(game *g, size_t *rounds) {
    uint64_t most, next = 1;
    size_t count, made = 0;
    double drop = 0.08;
    PB_TRY(pb_device_cover_refresh(g->device, g->cover, UINT64_MAX, &count, &most));
    for (float level = pb_packed_distance2(most); g->made < g->picks && next != 0; ++*rounds) {
        next = 1;
        float lower = (float)((double)level * (1 - drop));
        level = lower < level ? lower : nextafterf(level, 0);
        PB_TRY(pb_device_cover_refresh(g->device, g->cover, key_of(level), &count, &most));
        if (count == 0) {
            level = pb_packed_distance2(most);
            drop = fmin(2 * drop, 0.5);
            continue;
        }
        const double aim = fmax(4, GROWTH * (double)g->made);
        PB_TRY(play_round(g, key_of(level), count, &made, &next));
        const double factor = made > 0 ? sqrt(aim / (double)made) : 2;
        drop = fmin(drop * fmax(0.5, fmin(2, factor)), 0.5);
        next = g->made < g->picks ? 1 : next;
    }
    return pb_ok();
}

pb_status bench_play(pb_device *device, pb_cover *cover, int dim, const float *first, size_t picks, int32_t *picked, size_t *made,
                     size_t *rounds) {
    game g = {.device = device, .cover = cover, .dim = dim, .picks = picks, .made = 1, .picked = picked};
    picked[0] = 0;
    *rounds = 0;
    pb_status status = pb_device_cover_add(device, cover, first, 1);
    if (!pb_failed(&status))
        status = pb_allocate(&g.round_picked, picks, sizeof *g.round_picked, "picks");
    if (!pb_failed(&status))
        status = pb_allocate(&g.distance2, picks, sizeof *g.distance2, "distances");
    if (!pb_failed(&status))
        status = play(&g, rounds);
    pb_release(&g.round_picked);
    pb_release(&g.distance2);
    *made = g.made;
    return status;
}
