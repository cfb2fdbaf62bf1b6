/* Points of the "cpu" device: tiles of PB_LANES points (cpu_kernels.h), so that the kernels read them with whole registers.
 *
 * Threads share the work by tiles or by queries; their packed results are merged by maximum or minimum, which are the same
 * whatever the division.
 *
 * Two things are done with points. A greedy step is one pass over all tiles, each thread with a stretch of them. A search is
 * divided by chunks of queries and slices of tiles; after some millions of pairs it goes through a filter first
 * (gpu/cpu_cover_search.h), which is a copy of the points as centres of a cover, and belongs to the points as they are: every
 * write forgets it.
 *
 * Points and their distances are in step: whatever writes points resets the distances of just those. A filter is only ever a
 * matter of speed: without memory for it, or where it does not pay, a search is the plain one, and the same bits.
 */
#include "gpu/cpu_cover_search.h"

#include "base/memory.h"

#include <string.h>

/* A filter for searches, made once searches of the present points have cost what it costs. It is behind a pointer because a
 * search takes points as const: what it finds out about their use is no change of them. */
typedef struct search_filter {
    pb_cover *cover; /* NULL: none yet, or none that these points can have */
    uint64_t pairs;  /* searched since they were written */
} search_filter;

struct pb_points {
    size_t capacity, count;
    int dim;
    search_filter *filter;
    float *tiles;     /* [tile][dim][PB_LANES] */
    float *distance2; /* [tile][PB_LANES]; a write sets those of its points to +infinity, past count they mean nothing */
};

static size_t tiles_of(size_t points) { return (points + PB_LANES - 1) / PB_LANES; }

static size_t tile_floats(const pb_points *points) { return (size_t)points->dim * PB_LANES; }

static const pb_cpu_kernels *kernels_of(const pb_device *device) { return ((const pb_cpu_state *)device->state)->kernels; }

/* Contract: gpu/device.h. Memory is zeroed, so lanes beyond the last point hold zeros until they are written. */
pb_status pb_cpu_points_create(pb_device *device, size_t capacity, int dim, pb_points **points_out) {
    (void)device;
    PB_ASSERT(capacity < UINT32_MAX && dim >= 1);
    *points_out = NULL;
    pb_points *points;
    PB_TRY(pb_allocate(&points, 1, sizeof *points, "points"));
    *points = (pb_points){.capacity = capacity, .dim = dim};
    size_t lanes = tiles_of(capacity) * PB_LANES;
    pb_status status = pb_allocate(&points->filter, 1, sizeof *points->filter, "points");
    if (!pb_failed(&status))
        status = pb_allocate(&points->tiles, lanes, (size_t)dim * sizeof(float), "points");
    if (!pb_failed(&status))
        status = pb_allocate(&points->distance2, lanes, sizeof(float), "distances of points");
    if (pb_failed(&status)) {
        pb_cpu_points_free(device, points);
        return status;
    }
    *points_out = points;
    return status;
}

/* To be called before points change. The count of pairs begins anew, so other points may have a filter again. */
static void forget_filter(pb_device *device, pb_points *points) {
    pb_cpu_cover_free(device, points->filter->cover);
    *points->filter = (search_filter){0};
}

/* Takes points at any stage of being made. */
void pb_cpu_points_free(pb_device *device, pb_points *points) {
    if (!points)
        return;
    if (points->filter)
        forget_filter(device, points);
    pb_release(&points->filter);
    pb_release(&points->tiles);
    pb_release(&points->distance2);
    pb_release(&points);
}

enum { STRIP = 64 }; /* dimensions moved at a time: 8 KiB of a tile, which stays in the first cache while 32 rows are laid in */

/* By bits: an exponent of all ones is an infinity or a NaN. */
static bool finite(float value) { return (pb_float_bits(value) & 0x7F800000u) != 0x7F800000u; }

/* Lays rows [lanes][dim] into the lanes of a tile from `lane` on. Returns the least row with a value that is not finite, or
 * lanes. */
static size_t fill_tile(float *tile, int dim, size_t lane, const float *rows, size_t lanes) {
    size_t bad = lanes;
    for (int strip = 0; strip < dim; strip += STRIP) {
        int end = strip + STRIP < dim ? strip + STRIP : dim;
        for (size_t i = 0; i < lanes; i++) {
            bool sound = true;
            for (int k = strip; k < end; k++) {
                float value = rows[i * (size_t)dim + (size_t)k];
                sound &= finite(value);
                tile[(size_t)k * PB_LANES + lane + i] = value;
            }
            if (!sound && i < bad)
                bad = i;
        }
    }
    return bad;
}

/* Each thread fills whole tiles (the first and the last perhaps in part), so that no two write to one. The least index is a
 * minimum over threads, the same for any division. */
pb_status pb_cpu_points_write(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                              int64_t *not_finite) {
    PB_ASSERT(count <= points->capacity && first <= points->capacity - count);
    const size_t end = first + count;
    int64_t least = INT64_MAX;
    forget_filter(device, points);
#pragma omp parallel for num_threads(device->threads) schedule(static) reduction(min : least)
    for (size_t tile = first / PB_LANES; tile < tiles_of(end); tile++) {
        size_t begin = tile * PB_LANES < first ? first : tile * PB_LANES;
        size_t lanes = (end < (tile + 1) * PB_LANES ? end : (tile + 1) * PB_LANES) - begin;
        size_t bad = fill_tile(points->tiles + tile * tile_floats(points), points->dim, begin % PB_LANES,
                               rows + (begin - first) * (size_t)points->dim, lanes);
        if (bad < lanes && (int64_t)(begin + bad) < least)
            least = (int64_t)(begin + bad);
    }
    for (size_t i = first; i < end; i++)
        points->distance2[i] = __builtin_inff();
    points->count = end > points->count ? end : points->count;
    *not_finite = least == INT64_MAX ? -1 : least;
    return pb_ok();
}

/* Copies a point; a pb_row_reader. The row's values are PB_LANES floats apart. */
static void read_point(const void *context, size_t index, float *row) {
    const pb_points *points = context;
    const float *lane = points->tiles + index / PB_LANES * tile_floats(points) + index % PB_LANES;
    for (int k = 0; k < points->dim; k++)
        row[k] = lane[(size_t)k * PB_LANES];
}

pb_status pb_cpu_points_read(pb_device *device, const pb_points *points, size_t index, float *row) {
    (void)device;
    PB_ASSERT(index < points->count);
    read_point(points, index, row);
    return pb_ok();
}

void pb_cpu_points_clear(pb_device *device, pb_points *points) {
    forget_filter(device, points);
    points->count = 0; /* whatever is written next resets its own distances */
}

/* A share of whole tiles for each thread, always the same one, so that its points may still be in that thread's cache. The
 * maximum of packed pairs is the same for any division. */
pb_status pb_cpu_greedy_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best) {
    const pb_cpu_kernels *kernels = kernels_of(device);
    const size_t tiles = tiles_of(points->count), shares = (size_t)device->threads;
    uint64_t farthest = 0;
#pragma omp parallel for num_threads(device->threads) schedule(static) reduction(max : farthest)
    for (size_t share = 0; share < shares; share++) {
        size_t first = tiles * share / shares, last = tiles * (share + 1) / shares;
        size_t begin = first * PB_LANES, end = last * PB_LANES < points->count ? last * PB_LANES : points->count;
        if (begin >= end)
            continue;
        uint64_t packed = kernels->greedy_step(points->tiles + first * tile_floats(points), end - begin, points->dim,
                                               first_index + (uint32_t)begin, centre, points->distance2 + begin);
        farthest = packed > farthest ? packed : farthest;
    }
    *best = farthest;
    return pb_ok();
}

/* A search is divided into chunks of queries times slices of tiles; each pair is one piece of work for one thread. nearest: the
 * caller's, in and out. slices > 1 only where there are fewer chunks than threads need. */
typedef struct search {
    const pb_cpu_kernels *kernels;
    const pb_points *points;
    uint32_t first_index;
    const float *queries;
    size_t count, chunk_rows, chunks, slices;
    uint64_t *nearest;
} search;

enum { PIECES_A_THREAD = 4 }; /* so that the last piece holds up the others by a quarter of a thread's share at most */

/* One slice if there are enough chunks to occupy the threads: a chunk then reads the points once, and nothing is merged. */
static void divide(search *s, int threads) {
    const size_t tiles = tiles_of(s->points->count), wanted = threads > 1 ? (size_t)threads * PIECES_A_THREAD : 1;
    s->chunk_rows = pb_cpu_chunk_rows(s->points->dim);
    s->chunks = (s->count + s->chunk_rows - 1) / s->chunk_rows;
    s->slices = s->chunks > 0 && s->chunks < wanted ? (wanted + s->chunks - 1) / s->chunks : 1;
    s->slices = s->slices < tiles ? s->slices : tiles;
}

/* Chunk number piece % chunks against slice number piece / chunks. What is found goes to a list of its own first, as pieces of
 * different slices have the same queries; merging it is 240 comparisons at most, under a lock that is rarely waited for. */
static void search_piece(const search *s, size_t piece) {
    const size_t query = piece % s->chunks * s->chunk_rows, slice = piece / s->chunks;
    const size_t rows = s->count - query < s->chunk_rows ? s->count - query : s->chunk_rows;
    const size_t tiles = tiles_of(s->points->count), first = tiles * slice / s->slices, last = tiles * (slice + 1) / s->slices;
    const size_t begin = first * PB_LANES, end = last * PB_LANES < s->points->count ? last * PB_LANES : s->points->count;

    uint64_t found[PB_ROWS_CHUNK];
    memset(found, 0xFF, sizeof found); /* PB_NEAREST_NONE */
    s->kernels->nearest(s->points->tiles + first * tile_floats(s->points), end - begin, s->points->dim,
                        s->first_index + (uint32_t)begin, s->queries + query * (size_t)s->points->dim, rows, found);
#pragma omp critical(pb_cpu_nearest_merge)
    for (size_t i = 0; i < rows; i++)
        if (found[i] < s->nearest[query + i])
            s->nearest[query + i] = found[i];
}

/* Every pair by the kernels. A count of 0 is nothing to do. */
static void search_plainly(const pb_device *device, const pb_points *points, uint32_t first_index, const float *queries,
                           size_t count, uint64_t *nearest) {
    search work = {.kernels = kernels_of(device), .points = points, .first_index = first_index, .queries = queries,
                   .count = count, .nearest = nearest};
    divide(&work, device->threads);
    const size_t pieces = work.chunks * work.slices;
#pragma omp parallel for num_threads(device->threads) schedule(dynamic)
    for (size_t piece = 0; piece < pieces; piece++)
        search_piece(&work, piece);
}

/* Fewer points are searched as fast without a filter; that many pairs cost what a filter of a few thousand points does. */
enum { FILTERED_LEAST = 256, PAIRS_BEFORE = 4 << 20 };

/* Makes the filter when it is due. Without memory for it searches go on as they are. It is due in the one call in which the count
 * of pairs passes PAIRS_BEFORE; when that gives none (no memory, no axes, numbers too large) it is not tried again for these
 * points. */
static void consider_filter(pb_device *device, const pb_points *points, size_t count) {
    const uint64_t before = points->filter->pairs;
    points->filter->pairs += (uint64_t)points->count * count;
    if (points->count < FILTERED_LEAST || points->filter->pairs < PAIRS_BEFORE || before >= PAIRS_BEFORE)
        return;
    pb_status status = pb_cover_search_begin(device, points->count, points->dim, read_point, points, &points->filter->cover);
    (void)status;
}

/* Contract: gpu/device.h. The filter takes queries from the first on as far as its margins hold; those that it leaves are
 * searched plainly. So every query is searched once, by one way or the other, with the same result. */
pb_status pb_cpu_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries, size_t count,
                         uint64_t *nearest) {
    PB_ASSERT(points->count <= UINT32_MAX - first_index);
    consider_filter(device, points, count);
    size_t done = 0;
    if (points->filter->cover)
        done = pb_cover_search(points->filter->cover, first_index, queries, count, nearest);
    if (points->filter->cover && !pb_cover_search_pays(points->filter->cover)) { /* and it is not due again */
        pb_cpu_cover_free(device, points->filter->cover);
        points->filter->cover = NULL;
    }
    search_plainly(device, points, first_index, queries + done * (size_t)points->dim, count - done, nearest + done);
    return pb_ok();
}
