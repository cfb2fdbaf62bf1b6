/* The plain way to work on a cover: every distance is canonical, none is left out but for bounds below the floor. It is taken
 * where the filter does not pay or its margins do not hold, and is what that is tested against. The kernels are those of
 * pb_points (cpu_kernels.h), used the other way round: the centres are the tiles, the points the queries.
 *
 * Two parts: points that meet a chunk of centres (pb_cover_exact_advance), as in a round, and selection among gathered candidates
 * (pb_cover_exact_select), a textbook step over them for each pick. A cover may change between the filtered and the plain way
 * from block to block, and from one call to the next, as both keep the same promise of a bound (top of cpu_cover_body.h).
 */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <string.h>

/* Centres begin .. end - 1 into tiles [dim][PB_LANES] (cpu_kernels.h), from lane 0 on. Lanes beyond hold what was there. */
static void lay_tiles(const pb_cover *cover, size_t begin, size_t end, float *tiles) {
    const size_t dim = (size_t)cover->dim;
    for (size_t j = begin; j < end; j++) {
        const float *row = cover->centres + j * cover->stride;
        float *lane = tiles + (j - begin) / PB_LANES * PB_LANES * dim + (j - begin) % PB_LANES;
        for (size_t k = 0; k < dim; k++)
            lane[k * PB_LANES] = row[k];
    }
}

/* The nearest of some centres is packed, canonical. The bound may not be; as in cpu_cover_body.h, margin 2. The canonical
 * distance `fresh` is compared with a bound that may be up to 3 EPS above the canonical one: when fresh is too close below to
 * tell, the old centre is measured canonically. Ties stay with the old centre, whose number is smaller, because chunks and tiles
 * are met in rising order. */
static void take(pb_cover *cover, uint32_t point, uint64_t packed, pb_cover_counts *counts) {
    const float fresh = pb_packed_distance2(packed), bound = cover->bounds[point];
    const uint32_t j = pb_nearest_index(packed), nearest = cover->nearest[point];
    if (fresh >= bound)
        return;
    if (j != nearest && fresh >= bound * (1 - 3 * cover->rounding)) {
        float old = cover->kernels->distance2(cover->rows + point * cover->stride, cover->centres + nearest * cover->stride,
                                              cover->dim);
        counts->canonical++;
        if (old <= fresh) {
            cover->bounds[point] = old;
            return;
        }
    }
    cover->bounds[point] = fresh;
    cover->nearest[point] = j;
}

/* Meets centres begin .. end - 1, which lie in work's tiles. Points come as queries, up to pb_cpu_chunk_rows at a time so that
 * they stay in the second cache while the tiles pass. The kernel's own index of a centre is `begin` more, its number. */
static size_t meet_tiles(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                         uint64_t floor) {
    const size_t dim = (size_t)cover->dim, most = pb_cpu_chunk_rows(cover->dim);
    size_t left = 0;
    for (size_t first = 0; first < count; first += most) {
        const size_t rows = count - first < most ? count - first : most;
        for (size_t i = 0; i < rows; i++) {
            memcpy(work->rows + i * dim, cover->rows + points[first + i] * cover->stride, dim * sizeof *work->rows);
            work->packed[i] = PB_NEAREST_NONE;
        }
        cover->kernels->nearest(work->tiles, end - begin, cover->dim, (uint32_t)begin, work->rows, rows, work->packed);
        for (size_t i = 0; i < rows; i++) {
            uint32_t point = points[first + i];
            take(cover, point, work->packed[i], &work->counts);
            cover->met[point] = (uint32_t)end;
            if (pb_cover_key_of(cover, point) >= floor)
                points[left++] = point; /* left <= first + i: what is overwritten has been read */
        }
    }
    work->counts.plain += count * (end - begin);
    return left;
}

/* Centres are laid into tiles again for every block of points: dim moves a centre against dim multiply-adds for each of up to
 * 1024 points. */
size_t pb_cover_exact_advance(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                              uint64_t floor) {
    const size_t step = pb_cover_tile_centres(cover->dim);
    for (size_t j = begin; j < end; j += step) {
        const size_t stop = end - j < step ? end : j + step;
        lay_tiles(cover, j, stop, work->tiles);
        count = meet_tiles(cover, work, points, count, j, stop, floor);
    }
    return count;
}

/* Candidates as tiles, for the textbook step. */
typedef struct contest {
    size_t count;
    float *tiles, *distance2, *before; /* before: the distances ahead of the last step */
} contest;

/* Lays candidates into tiles and makes their distances canonical: they come with bounds of a rank that may have filtered. c is to
 * be released by end_contest, after an error too. */
static pb_status begin_contest(contest *c, const pb_cover *cover, const pb_candidate *candidates, const float *rows,
                               size_t count) {
    const size_t dim = (size_t)cover->dim, lanes = (count + PB_LANES - 1) / PB_LANES * PB_LANES;
    c->count = count;
    PB_TRY(pb_allocate(&c->tiles, lanes, dim * sizeof *c->tiles, "candidates"));
    PB_TRY(pb_allocate(&c->distance2, lanes, sizeof *c->distance2, "distances of candidates"));
    PB_TRY(pb_allocate(&c->before, lanes, sizeof *c->before, "distances of candidates"));
    for (size_t i = 0; i < count; i++) {
        PB_ASSERT(candidates[i].nearest < cover->centre_count);
        const float *row = rows + i * dim;
        for (size_t k = 0; k < dim; k++)
            c->tiles[(i / PB_LANES * dim + k) * PB_LANES + i % PB_LANES] = row[k];
        /* Bounds need not be exact. */
        c->distance2[i] = cover->kernels->distance2(row, cover->centres + candidates[i].nearest * cover->stride, cover->dim);
    }
    return pb_ok();
}

static void end_contest(contest *c) {
    pb_release(&c->tiles);
    pb_release(&c->distance2);
    pb_release(&c->before);
}

/* The largest key; *winner is whose. 0 without candidates. One pass a pick; the step before it costs dim times as much. */
static uint64_t leader(const contest *c, const pb_candidate *candidates, size_t *winner) {
    uint64_t most = 0;
    for (size_t i = 0; i < c->count; i++) {
        uint64_t key = pb_pack_farthest(c->distance2[i], candidates[i].index);
        if (key > most) {
            most = key;
            *winner = i;
        }
    }
    return most;
}

/* All candidates meet the centre added last. The kernel lowers distances without telling whose, so the distances from before are
 * kept to see which fell: those have a new nearest centre. An equal distance leaves the older centre, of smaller number. */
static void meet_last(contest *c, const pb_cover *cover, pb_candidate *candidates) {
    const size_t j = cover->centre_count - 1;
    memcpy(c->before, c->distance2, c->count * sizeof *c->before);
    cover->kernels->greedy_step(c->tiles, c->count, cover->dim, 0, cover->centres + j * cover->stride, c->distance2);
    for (size_t i = 0; i < c->count; i++)
        if (c->distance2[i] < c->before[i])
            candidates[i].nearest = (uint32_t)j;
}

/* A pick becomes a centre of the cover at once, so after an error *made tells how many are in. A key of 0 ends it: keys of real
 * candidates are larger, as even at distance 0 the lower half, 0xFFFFFFFF - index, is not 0. */
pb_status pb_cover_exact_select(pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count, uint64_t floor,
                                size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    contest c = {0};
    pb_status status = begin_contest(&c, cover, candidates, rows, count);
    size_t winner = 0;
    uint64_t key = 0;
    while (!pb_failed(&status) && (key = leader(&c, candidates, &winner)) >= floor && key > 0 && *made < most) {
        picked[*made] = candidates[winner].index;
        distance2[*made] = c.distance2[winner];
        ++*made;
        status = pb_cover_append(cover, rows + winner * (size_t)cover->dim);
        if (!pb_failed(&status))
            meet_last(&c, cover, candidates);
    }
    *next = key >= floor ? key : 0;
    for (size_t i = 0; !pb_failed(&status) && i < count; i++)
        candidates[i].bound = c.distance2[i];
    end_contest(&c);
    return status;
}
