/* Searches of the "cuda" device: small ones exactly; large ones through a filter (nearest_filter.cu), which leaves a few
 * candidates of each query to be measured exactly. Both give the same bits.
 *
 * What the filter needs beside the rows, and makes anew for each search, lies in the device's scratch memory, half of it for
 * queries and half for points, which come in pieces: the points are turned to halves in 1 / 500 of the time that 25,000 queries
 * need for them, and kept halves would be half the memory of the points once more. */
#include "gpu/cuda/cuda.h"

enum { ALIGNMENT = 256, DIM_MOST = 1 << 15 /* up to which margins are small */ };

/* One search, and where a piece of it lies in scratch memory. */
typedef struct search {
    const pb_device *device;
    pb_cuda_search of;
    size_t queries_most, points_most; /* of a piece */
    pb_cuda_halves points, queries;
    pb_cuda_candidates candidates;
} search;

/* Takes `bytes` bytes from *at on. */
static void *take(char **at, size_t bytes) {
    void *taken = *at;
    *at += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return taken;
}

static size_t tiles_of(size_t points) { return (points + PB_CUDA_FILTER_SIDE - 1) / PB_CUDA_FILTER_SIDE; }

/* Lays out scratch memory from `at` on, which may be NULL; its size. */
static size_t lay_out(search *s, char *at) {
    const size_t row = (size_t)pb_cuda_halves_pitch(s->of.dim) * sizeof(uint16_t), n = s->points_most, count = s->queries_most;
    char *const begin = at;
    s->points = (pb_cuda_halves){take(&at, n * row), take(&at, n * sizeof(pb_cuda_about)),
                                 take(&at, tiles_of(n) * 2 * sizeof(uint64_t))};
    s->queries = (pb_cuda_halves){take(&at, count * row), take(&at, count * sizeof(pb_cuda_about)), NULL};
    s->candidates.most = take(&at, count * sizeof(uint64_t));
    s->candidates.counts = take(&at, (count + 1) * sizeof(uint64_t));
    s->candidates.beyond_count = s->candidates.counts + count; /* both are 0 before */
    s->candidates.lists = take(&at, count * PB_CUDA_FILTER_ROOM * sizeof(uint32_t));
    s->candidates.beyond = take(&at, count * sizeof(uint32_t));
    return (size_t)(at - begin);
}

static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

/* As many of `count` as half of scratch memory has room for, `each` bytes one, in whole tiles. */
static size_t piece_of(const search *s, size_t count, size_t each) {
    const size_t tile = PB_CUDA_FILTER_SIDE, fit = pb_cuda_state_of(s->device)->scratch_most / 2 / each / tile * tile;
    return lesser(count, fit < tile ? tile : fit);
}

/* Divides the search into pieces, and makes room for one of them. Batches were fitted to the device before, and a search comes in
 * the midst of a pass, so a lack of memory must not end the job: pieces become smaller, for good, down to a tile, and the bits
 * are the same. What else may be wrong is so with the smallest too. */
static pb_status make_room(search *s) {
    const size_t row = (size_t)pb_cuda_halves_pitch(s->of.dim) * sizeof(uint16_t) + sizeof(pb_cuda_about);
    pb_cuda_state *state = pb_cuda_state_of(s->device);
    static char nowhere[1]; /* only the size is asked for */
    for (;; state->scratch_most /= 2) {
        s->points_most = piece_of(s, s->of.n, row);
        s->queries_most = piece_of(s, s->of.count, row + PB_CUDA_FILTER_ROOM * sizeof(uint32_t) + 3 * sizeof(uint64_t));
        pb_status status = pb_cuda_room_for(s->device, &state->scratch, lay_out(s, nowhere), "a search");
        if (!pb_failed(&status))
            break;
        if (s->points_most <= PB_CUDA_FILTER_SIDE && s->queries_most <= PB_CUDA_FILTER_SIDE)
            return status;
    }
    (void)lay_out(s, state->scratch.memory);
    return pb_ok();
}

/* `count` queries meet `n` points from place `first` on. */
static pb_status filter(search *s, size_t query, size_t count, size_t first, size_t n) {
    const pb_cuda_state *state = pb_cuda_state_of(s->device);
    const pb_cuda_search *of = &s->of;
    PB_TRY(pb_cuda_set(s->device, s->points.tiles, 0, tiles_of(n) * 2 * sizeof *s->points.tiles));
    PB_TRY(pb_cuda_check(s->device,
                         pb_cuda_nearest_halves(state->stream, of->points + first * (size_t)of->dim, n, of->dim, s->points),
                         "nearest_halves"));
    for (int bounds_only = first == 0; bounds_only >= 0; bounds_only--)
        PB_TRY(pb_cuda_check(s->device,
                             pb_cuda_nearest_filter(state->stream, state->blocks, s->points, n, (uint32_t)first, of->dim,
                                                    s->queries, count, of->nearest + query, s->candidates, bounds_only),
                             "nearest_filter"));
    return pb_ok();
}

/* Those of `count` queries from number `query` on. */
static pb_status search_queries(search *s, size_t query, size_t count) {
    const pb_cuda_state *state = pb_cuda_state_of(s->device);
    const pb_cuda_search *of = &s->of;
    const float *queries = of->queries + query * (size_t)of->dim;
    const pb_cuda_candidates *found = &s->candidates;
    PB_TRY(pb_cuda_set(s->device, found->most, 0xFF, count * sizeof *found->most));
    PB_TRY(pb_cuda_set(s->device, found->counts, 0, (s->queries_most + 1) * sizeof *found->counts));
    PB_TRY(pb_cuda_check(s->device, pb_cuda_nearest_halves(state->stream, queries, count, of->dim, s->queries),
                         "nearest_halves"));
    for (size_t first = 0; first < of->n; first += s->points_most)
        PB_TRY(filter(s, query, count, first, lesser(of->n - first, s->points_most)));
    PB_TRY(pb_cuda_check(s->device,
                         pb_cuda_nearest_decide(state->stream, of->points, of->dim, of->first_index, queries, count, *found,
                                                of->nearest + query),
                         "nearest_decide"));
    return pb_cuda_check(s->device,
                         pb_cuda_nearest(state->stream, state->blocks, of->points, of->n, of->dim, of->first_index, queries,
                                         count, found->beyond, found->beyond_count, of->nearest + query),
                         "nearest");
}

/* Whether a filter pays: its seven launches take some 30 us. */
static bool is_large(const pb_cuda_state *state, const pb_cuda_search *of) {
    const double products = (double)of->n * (double)of->count * (double)of->dim;
    return of->dim <= DIM_MOST && of->n > 0 && of->count > 0 && products >= (double)state->filter_least;
}

pb_status pb_cuda_search_run(const pb_device *device, const pb_cuda_search *of) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    search s = {.device = device, .of = *of};
    if (!is_large(state, of))
        return pb_cuda_check(device,
                             pb_cuda_nearest(state->stream, state->blocks, of->points, of->n, of->dim, of->first_index,
                                             of->queries, of->count, NULL, NULL, of->nearest),
                             "nearest");
    PB_TRY(make_room(&s));
    for (size_t query = 0; query < of->count; query += s.queries_most)
        PB_TRY(search_queries(&s, query, lesser(of->count - query, s.queries_most)));
    return pb_ok();
}
