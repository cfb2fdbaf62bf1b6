/* cpu_cover_body.h: private to gpu/: the inner loops of a cover's filter, included once by each cpu_cover_SET.c, which
 * sets before
 *   KERNELS             the table to define
 *   vec, WIDTH          a register of WIDTH floats, with load and store (aligned), load_any, broadcast, add, sub, multiply_add
 *                       (fused or not), max, largest(a): of the lanes, total(a): their sum in any order
 *   number              a register of as many uint32_t, with broadcast_number and store_number (aligned)
 *   not_above(a, b), not_below(a, b), equal(a, b)   the lanes where it is so, as bits
 *   keep_less(score, j, least, which)               least[lane] = score and which[lane] = j where that is less
 *   transpose(rows, out)                            16 rows of 16 floats become columns; out aligned
 *   ROWS, GROUP         rows that are placed and centres that are scored at a time, so that their sums stay in registers
 *   MEASURE_COST        how much longer measuring a dimension of a pair takes here than in the kernels of cpu_kernels.h
 *
 * What is kept. Let m be the least canonical distance^2 of a point to the centres that it has met. Always
 *       bound (1 - 3 EPS) <= m <= bound,   and m is attained at `nearest`.
 * So the canonical one is evaluated only where two centres are too close to say which is nearer, or where a candidate is the
 * farthest: about once a pick.
 *
 * Margins. u = 2^-24, g(p) = p u / (1 - p u), D = dim. All is about the floats as stored; d is the exact |x - c|^2.
 *  1. Measured and canonical. t = fl(x - c) = (x - c)(1 + e), |e| <= u. Its square is rounded at most once by itself, and goes
 *     through at most D - 1 inexact additions (fused: D roundings, the square's among them), in any order. All terms are >= 0. So
 *     either value is d (1 + e) with |e| <= g(D + 2), and for D <= 2048, with EPS = 2 (D + 4) u and a measured v,
 *       v (1 - EPS) <= canonical <= v (1 + EPS),
 *     the rounding of these products included. Underflow adds up to D 2^-150, which shows below TINY = 2^-99 only; there the
 *     canonical one is evaluated. A measured 0 is exact: every square has rounded to 0, whatever the order.
 *  2. A point measures a new centre at v.
 *       v (1 - EPS) > bound               m stays as it is;
 *       v (1 + EPS) < bound (1 - 3 EPS)   m is lowered; the new bound v (1 + EPS) is as tight as promised: (1 + EPS)(1 - 3 EPS)
 *                                         <= 1 - EPS, less the roundings;
 *       else                              both canonical ones are evaluated and the bound becomes the lesser.
 *  3. Places. y = fl(R x - b) with the stored axes R, |R| <= 1 (cpu_axes.h proves it), and b = shift. Component j is a sum of
 *     D + 1 terms and off by at most g(D + 2) (|b_j| + |R_j| X) where X >= |x|; with E^2 the sum of the squares of these,
 *       |y - y_c| <= |R (x - c)| + 2E <= sqrt(d) + 2E,      since b cancels, whatever its own rounding.
 *     A centre can lower m only if canonical < m <= bound, so only if |y - y_c| <= sqrt(bound)(1 + EPS) + 2E =: r.
 *  4. Scores. |y_c|^2 - 2 y y_c is compared with r^2 - |y|^2. With Y >= |y|, |y_c| each of PB_AXES partial sums is at most 3 Y^2,
 *     the products, if rounded, add 2 u Y^2, both squares are off by g(PB_AXES + 1) Y^2 and the difference by u Y^2: together
 *     less than (5 PB_AXES + 6) u Y^2. With G = 8 (PB_AXES + 6) u Y^2 + 2^-100, the last for underflow, no score above
 *       limit = (r^2 + G)(1 + 8 u) - |y|^2
 *     can lower m. The factor is for the roundings of r^2 + G. What can equal m, so that its number decides, passes too.
 *     A bound below 0 has the limit -infinity: there is no point.
 * X and Y are maxima over points, centres and candidates from elsewhere, measured and rounded up (cpu_cover.c, which also sees
 * to it that X^2 is neither so large that a square could overflow nor so small that an underflow could be seen beside E). On
 * patch features of 128 dimensions, where sqrt(bound) is about 25, 2E is 0.004 and G 0.03: the margins cost nothing.
 */
#include "gpu/cpu_cover.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")

/* Registers that a tile's 16 points, or a strip of two tiles' floats of a row, take. */
enum { VECTORS = PB_COVER_TILE / WIDTH, STRIP = 2 * PB_COVER_TILE, SUMS = STRIP / WIDTH };

_Static_assert((int)PB_AXES == (int)PB_COVER_TILE, "one transpose serves both");
_Static_assert(PB_COVER_SPARE >= GROUP - 1 && PB_COVER_CHUNK % GROUP == 0, "whole groups of scores");

/* u and TINY of the margins above. */
static const float U = 0x1p-24f, TINY = 0x1p-99f;

/* Sum of the squares of a, or of a - b, in any order. size is a multiple of 16. A strip's SUMS registers are independent chains,
 * so the latency of an addition is hidden; they are added pairwise at the end. Rows are aligned and have zeros beyond dim
 * (cpu_cover.c), so no remainder is left. `difference` is a constant at every call, and the loops are compiled for it. */
INLINE float sum_squares(const float *a, const float *b, size_t size, const bool difference) {
    vec sums[SUMS];
    UNROLL for (int v = 0; v < SUMS; v++)
        sums[v] = broadcast(0.0f);
    for (; size >= STRIP; size -= STRIP, a += STRIP, b += STRIP)
        UNROLL for (int v = 0; v < SUMS; v++) {
            vec t = load(a + v * WIDTH);
            t = difference ? sub(t, load(b + v * WIDTH)) : t;
            sums[v] = multiply_add(t, t, sums[v]);
        }
    for (; size > 0; size -= PB_COVER_TILE, a += PB_COVER_TILE, b += PB_COVER_TILE)
        UNROLL for (int v = 0; v < VECTORS; v++) {
            vec t = load(a + v * WIDTH);
            t = difference ? sub(t, load(b + v * WIDTH)) : t;
            sums[v] = multiply_add(t, t, sums[v]);
        }
    UNROLL for (int step = SUMS / 2; step > 0; step /= 2)
        UNROLL for (int v = 0; v < step; v++)
            sums[v] = add(sums[v], sums[v + step]);
    return total(sums[0]);
}

INLINE float measure(const float *a, const float *b, size_t stride) { return sum_squares(a, b, stride, true); }

INLINE float square(const float *a, size_t size) { return sum_squares(a, a, size, false); }

/* A point, whose bound and nearest centre these are, has been measured at v from centre j: margin 2, but for its first case.
 * Called when v may lower the bound, or is too close to it or too small to tell. Apart from `meet`, so that this rare case takes
 * none of its registers. */
APART void weigh(const pb_cover *cover, const float *row, size_t j, float v, float *bound, uint32_t *nearest,
                 pb_cover_counts *counts) {
    const float *centres = cover->centres, eps = cover->rounding;
    if ((v >= TINY || v == 0) && v * (1 + eps) < *bound * (1 - 3 * eps)) {
        *bound = v * (1 + eps);
        *nearest = (uint32_t)j;
        return;
    }
    float old = cover->kernels->distance2(row, centres + *nearest * cover->stride, cover->dim);
    float fresh = cover->kernels->distance2(row, centres + j * cover->stride, cover->dim);
    counts->canonical += 2;
    if (fresh < old || (fresh <= old && j < *nearest)) /* a chunk's centres are not met in order */
        *nearest = (uint32_t)j;
    *bound = fresh < old ? fresh : old;
}

/* A point measures centre j. Most of the time that is all: the centre is too far. The test is so written that a NaN, which finite
 * rows cannot give but a caller's mistake could, goes to `weigh`. */
INLINE void meet(const pb_cover *cover, const float *row, size_t j, float *bound, uint32_t *nearest, pb_cover_counts *counts) {
    if (j == *nearest)
        return;
    float v = measure(row, cover->centres + j * cover->stride, cover->stride);
    float least = v * (1 - cover->rounding);
    counts->measured++;
    if (!(least > *bound && least >= TINY))
        weigh(cover, row, j, v, bound, nearest, counts);
}

/* ---- places ---- */

/* Places of up to ROWS rows at once, so that an axis that has been loaded serves all: y = -b, then one multiply-add a dimension
 * (margin 3). A short group computes its last row again and stores it once. Widens *extent by the squares of rows and places,
 * whose error margins 3 and 4 allow for (`longer` in cpu_cover.c). */
INLINE void place_group(const pb_cover *cover, const float *rows, size_t height, float *places, pb_cover_extent *extent) {
    const float *row[ROWS];
    vec sums[ROWS][VECTORS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        row[r] = rows + ((size_t)r < height ? (size_t)r : height - 1) * cover->stride;
        UNROLL for (int v = 0; v < VECTORS; v++)
            sums[r][v] = sub(broadcast(0.0f), load_any(cover->axes.shift + v * WIDTH));
    }
    const float *column = cover->axes.columns;
    for (ptrdiff_t k = 0; k < cover->dim; k++, column += PB_AXES) {
        vec axes[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++)
            axes[v] = load(column + v * WIDTH);
        UNROLL for (int r = 0; r < ROWS; r++) {
            vec x = broadcast(row[r][k]);
            UNROLL for (int v = 0; v < VECTORS; v++)
                sums[r][v] = multiply_add(axes[v], x, sums[r][v]);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
        if ((size_t)r < height) {
            float *place = places + r * PB_AXES;
            UNROLL for (int v = 0; v < VECTORS; v++)
                store(place + v * WIDTH, sums[r][v]);
            float row2 = square(row[r], cover->stride), place2 = square(place, PB_AXES);
            extent->row2 = row2 > extent->row2 ? row2 : extent->row2;
            extent->place2 = place2 > extent->place2 ? place2 : extent->place2;
        }
}

/* Contract: pb_cover_kernels.place. */
static void place(const pb_cover *cover, const float *rows, size_t count, float *places, pb_cover_extent *extent) {
    for (size_t i = 0; i < count; i += ROWS)
        place_group(cover, rows + i * cover->stride, count - i < ROWS ? count - i : ROWS, places + i * PB_AXES, extent);
}

/* Contract: pb_cover_kernels.start. As `weigh` with nothing met before: the bound is the measured distance made longer by EPS, or
 * the canonical one where v is tiny. */
static void start(pb_cover *cover, size_t begin, size_t end, pb_cover_counts *counts, pb_cover_extent *extent) {
    for (size_t i = begin; i < end; i += ROWS) {
        const size_t height = end - i < ROWS ? end - i : ROWS;
        const float *rows = cover->rows + i * cover->stride;
        place_group(cover, rows, height, cover->places + i * PB_AXES, extent);
        for (size_t r = 0; r < height; r++) { /* the rows are still in the first cache */
            const float *row = rows + r * cover->stride;
            float v = measure(row, cover->centres, cover->stride);
            bool tiny = !(v >= TINY);
            counts->canonical += tiny;
            cover->bounds[i + r] = tiny ? cover->kernels->distance2(row, cover->centres, cover->dim) : v * (1 + cover->rounding);
            cover->nearest[i + r] = 0;
            cover->met[i + r] = 1;
        }
        counts->measured += height;
    }
}

/* ---- tiles ---- */

/* |y|^2 of each lane of a tile, summed over the axes in any order. */
INLINE void squares(const float (*places)[PB_COVER_TILE], float *own) {
    vec sums[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++)
        sums[v] = broadcast(0.0f);
    UNROLL for (int h = 0; h < PB_AXES; h++)
        UNROLL for (int v = 0; v < VECTORS; v++) {
            vec y = load(places[h] + v * WIDTH);
            sums[v] = multiply_add(y, y, sums[v]);
        }
    UNROLL for (int v = 0; v < VECTORS; v++)
        store(own + v * WIDTH, sums[v]);
}

/* See margins 3 and 4. Left to the compiler to vectorize. */
INLINE void limit(const pb_cover *cover, const float *bounds, const float *own, float *limits) {
    const float stretch = 1 + cover->rounding, reach = cover->reach, slack = cover->slack;
    for (int lane = 0; lane < PB_COVER_TILE; lane++) {
        float bound = bounds[lane] > 0 ? bounds[lane] : 0;
        float r = __builtin_sqrtf(bound) * stretch + reach;
        float most = (r * r + slack) * (1 + 8 * U) - own[lane];
        limits[lane] = bounds[lane] >= 0 ? most : -__builtin_inff();
    }
}

/* Lanes as bits, the first point's in bit 0. A score that is a NaN would not pass; there is none, as places of finite rows within
 * the extent are finite. */
INLINE unsigned lanes_not_above(const float *scores, const float *limits) {
    unsigned lanes = 0;
    UNROLL for (int v = 0; v < VECTORS; v++)
        lanes |= not_above(load(scores + v * WIDTH), load(limits + v * WIDTH)) << v * WIDTH;
    return lanes;
}

/* Scores of a tile with `count` centres, and the least for each point. The tile's places stay in registers (or the first cache)
 * while the centres pass: a centre is 17 floats, and 16 multiply-adds for each of the tile's pairs with it. Scores are kept for
 * measure_tile, as limits fall before they are compared again. */
INLINE void score(pb_cover_tile *tile, const float *centre, size_t count) {
    vec y[PB_AXES][VECTORS], least[VECTORS];
    number which[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) {
        least[v] = broadcast(__builtin_inff());
        which[v] = broadcast_number(0);
        UNROLL for (int h = 0; h < PB_AXES; h++)
            y[h][v] = load(tile->places[h] + v * WIDTH);
    }
    for (size_t j = 0; j < count; j += GROUP) {
        const float *c[GROUP];
        vec s[GROUP][VECTORS];
        UNROLL for (int q = 0; q < GROUP; q++) { /* a short group repeats its last centre, which is never less than itself */
            c[q] = centre + (j + (size_t)q < count ? j + (size_t)q : count - 1) * PB_COVER_PLACE;
            UNROLL for (int v = 0; v < VECTORS; v++)
                s[q][v] = broadcast(c[q][0]);
        }
        UNROLL for (int h = 0; h < PB_AXES; h++)
            UNROLL for (int q = 0; q < GROUP; q++) {
                vec w = broadcast(c[q][1 + h]);
                UNROLL for (int v = 0; v < VECTORS; v++)
                    s[q][v] = multiply_add(y[h][v], w, s[q][v]);
            }
        UNROLL for (int q = 0; q < GROUP; q++)
            UNROLL for (int v = 0; v < VECTORS; v++) {
                store(tile->scores[j + (size_t)q] + v * WIDTH, s[q][v]);
                keep_less(s[q][v], (uint32_t)j + (uint32_t)q, &least[v], &which[v]);
            }
    }
    UNROLL for (int v = 0; v < VECTORS; v++) {
        store(tile->least + v * WIDTH, least[v]);
        store_number(tile->which + v * WIDTH, which[v]);
    }
}

enum { AHEAD = 256 }; /* floats of a row that are asked for before it is known to be needed: 16 KiB for a tile */

/* Fills a tile; a lane beyond the points repeats the last one, with bound -1, which nothing passes. Returns where to begin: at
 * the first centre that a point has not met, but not before `begin`. The rows are asked for now, in time for the pairs that
 * pass. */
INLINE size_t gather(const pb_cover *cover, pb_cover_tile *tile, const uint32_t *points, size_t lanes, size_t begin) {
    const float *places[PB_COVER_TILE];
    size_t from = SIZE_MAX;
    for (size_t lane = 0; lane < PB_COVER_TILE; lane++) {
        const size_t point = points[lane < lanes ? lane : lanes - 1];
        places[lane] = cover->places + point * PB_AXES;
        tile->rows[lane] = cover->rows + point * cover->stride;
        tile->bounds[lane] = lane < lanes ? cover->bounds[point] : -1.0f;
        tile->nearest[lane] = cover->nearest[point];
        from = cover->met[point] < from ? cover->met[point] : from;
        for (size_t k = 0; k < cover->stride && k < AHEAD; k += PB_ALIGNMENT / sizeof(float))
            __builtin_prefetch(tile->rows[lane] + k);
    }
    transpose(places, tile->places[0]);
    squares((const float(*)[PB_COVER_TILE])tile->places, tile->own);
    limit(cover, tile->bounds, tile->own, tile->limits);
    return from > begin ? from : begin;
}

enum { WORD = 4 }; /* centres whose lanes fill 64 bits */

INLINE uint64_t word_of(const uint16_t *lanes) {
    return (uint64_t)lanes[3] << 48 | (uint64_t)lanes[2] << 32 | (uint64_t)lanes[1] << 16 | lanes[0];
}

INLINE void meet_lane(const pb_cover *cover, pb_cover_tile *tile, int lane, size_t j, pb_cover_counts *counts) {
    meet(cover, tile->rows[lane], j, tile->bounds + lane, tile->nearest + lane, counts);
}

/* Measures the pairs whose score passes; first each point's centre that looks nearest, which lowers its limit for the others.
 * Most tiles are done after one comparison: no least score passes. Else the limits are made anew once, and all pairs that still
 * pass are found as bits, four centres to a word, so that runs of centres without any are skipped. Limits are not made anew after
 * every measured pair: they only get lower, so that what passes here is a superset of what must be measured. */
INLINE void measure_tile(const pb_cover *cover, pb_cover_tile *tile, size_t from, size_t count, pb_cover_counts *counts) {
    unsigned lanes = lanes_not_above(tile->least, tile->limits);
    if (!lanes)
        return;
    for (unsigned left = lanes; left; left &= left - 1) {
        int lane = __builtin_ctz(left);
        meet_lane(cover, tile, lane, from + tile->which[lane], counts);
    }
    limit(cover, tile->bounds, tile->own, tile->limits);
    for (size_t j = 0; j < count; j++)
        tile->close[j] = (uint16_t)lanes_not_above(tile->scores[j], tile->limits);
    for (size_t j = count; j % WORD != 0; j++)
        tile->close[j] = 0;
    for (size_t word = 0; word < count; word += WORD)
        for (uint64_t left = word_of(tile->close + word); left; left &= left - 1) {
            const int bit = __builtin_ctzll(left), lane = bit % PB_COVER_TILE;
            const size_t j = word + (size_t)(bit / PB_COVER_TILE);
            if (j != tile->which[lane])
                meet_lane(cover, tile, lane, from + j, counts);
        }
}

/* Lets a tile of points meet centres begin .. end - 1. Returns how many of them are left, moved to `left`. All lanes take part,
 * those that have met some of the centres too: to meet a centre again changes nothing. Writes back for real points only; repeated
 * lanes have changed nothing that lasts. */
INLINE size_t advance_tile(pb_cover *cover, pb_cover_work *work, const uint32_t *points, size_t lanes, size_t begin, size_t end,
                           uint64_t floor, uint32_t *left) {
    pb_cover_tile *tile = &work->tile;
    const size_t from = gather(cover, tile, points, lanes, begin);
    size_t count = 0;
    score(tile, cover->centre_places + from * PB_COVER_PLACE, end - from);
    work->counts.filtered += PB_COVER_TILE * (end - from);
    measure_tile(cover, tile, from, end - from, &work->counts);
    for (size_t lane = 0; lane < lanes; lane++) {
        const uint32_t point = points[lane];
        cover->bounds[point] = tile->bounds[lane];
        cover->nearest[point] = tile->nearest[lane];
        cover->met[point] = (uint32_t)end;
        if (pb_cover_key_of(cover, point) >= floor)
            left[count++] = point; /* not beyond those just read */
    }
    return count;
}

/* Points that are filtered before it is asked whether that pays, and how many must be left for the answer to matter. */
enum { SAMPLE = 2 * PB_COVER_TILE, REST_LEAST = 4 * SAMPLE }; /* points */

/* Whether so many pairs were measured that the plain way, which takes whole tiles of centres, would have been faster. A
 * measured pair costs about what 160 dimensions do, beside its own. Both sides count multiply-adds of the kernels; MEASURE_COST
 * is what one dimension of a measured pair is worth in these. */
static bool does_not_pay(const pb_cover *cover, size_t points, size_t centres, uint64_t measured) {
    const size_t lanes = (centres + PB_LANES - 1) / PB_LANES * PB_LANES;
    return (float)measured * (float)(cover->dim + 160) * MEASURE_COST > (float)points * (float)lanes * (float)cover->dim;
}

/* Contract: pb_cover_kernels.advance. The first points of a block are a sample for the others: neighbours in a block are mostly
 * neighbours in an image. Either way keeps the same promise, so the sample decides only about time, and it depends on the block
 * alone, not on threads. */
static size_t advance(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                      uint64_t floor) {
    const uint64_t measured = work->counts.measured;
    size_t left = 0;
    for (size_t first = 0; first < count; first += PB_COVER_TILE) {
        if (first == SAMPLE && count >= SAMPLE + REST_LEAST &&
            does_not_pay(cover, SAMPLE, end - begin, work->counts.measured - measured)) {
            size_t more = pb_cover_exact_advance(cover, work, points + first, count - first, begin, end, floor);
            memmove(points + left, points + first, more * sizeof *points);
            return left + more;
        }
        const size_t lanes = count - first < PB_COVER_TILE ? count - first : PB_COVER_TILE;
        left += advance_tile(cover, work, points + first, lanes, begin, end, floor, points + left);
    }
    return left;
}

/* Contract: pb_cover_kernels.scan. Bounds may begin anywhere in memory (load_any), since threads divide the points without regard
 * to registers. */
static size_t scan(const pb_cover *cover, size_t begin, size_t end, float least, uint32_t *points) {
    const vec wanted = broadcast(least);
    size_t found = 0, i = begin;
    for (; i + WIDTH <= end; i += WIDTH)
        for (unsigned left = not_below(load_any(cover->bounds + i), wanted); left; left &= left - 1)
            points[found++] = (uint32_t)i + (uint32_t)__builtin_ctz(left);
    for (; i < end; i++)
        if (cover->bounds[i] >= least)
            points[found++] = (uint32_t)i;
    return found;
}

/* ---- contests ---- */

/* Tiles of a contest; the last may be partly empty. */
static size_t tiles_of(const pb_contest *contest) { return (contest->count + PB_COVER_TILE - 1) / PB_COVER_TILE; }

/* Contract: pb_cover_kernels.enter. Empty lanes of the last tile repeat the last candidate's place, and have the bound -1. */
static void enter(const pb_cover *cover, pb_contest *contest) {
    for (size_t tile = 0; tile < tiles_of(contest); tile++) {
        const size_t first = tile * PB_COVER_TILE;
        const float *places[PB_COVER_TILE];
        float(*columns)[PB_COVER_TILE] = (float(*)[PB_COVER_TILE])(contest->tiles + first * PB_AXES);
        for (size_t lane = 0; lane < PB_COVER_TILE; lane++)
            places[lane] = contest->places + (first + lane < contest->count ? first + lane : contest->count - 1) * PB_AXES;
        transpose(places, columns[0]);
        squares((const float(*)[PB_COVER_TILE])columns, contest->own + first);
        limit(cover, contest->bounds + first, contest->own + first, contest->limits + first);
    }
}

/* -1 where there are no candidates. */
INLINE float largest_bound(const pb_contest *contest) {
    vec most = broadcast(-1.0f);
    for (size_t i = 0; i < tiles_of(contest) * PB_COVER_TILE; i += WIDTH)
        most = max(most, load(contest->bounds + i));
    return largest(most);
}

/* Makes the bound of a candidate canonical. */
static void settle(const pb_cover *cover, pb_contest *contest, size_t i) {
    const float *centre = cover->centres + contest->nearest[i] * cover->stride;
    contest->bounds[i] = cover->kernels->distance2(contest->rows + i * cover->stride, centre, cover->dim);
    contest->exact[i] = true;
    contest->counts->canonical++;
}

/* Whoever has the largest bound is settled. Once all of those keep it the first by index among them leads: all others are below.
 * Each turn settles at least one candidate or is the last; a candidate stays settled until a centre lowers its bound. In practice
 * it takes about one canonical distance a pick. The floor is compared with the largest key that such a bound can have, that of
 * index 0, so that nobody who could reach it is turned away. */
static uint64_t leader(const pb_cover *cover, pb_contest *contest, uint64_t floor, size_t *winner) {
    for (;;) {
        const float most = largest_bound(contest);
        const vec wanted = broadcast(most);
        bool sure = true;
        uint64_t key = 0;
        if (most < 0 || pb_pack_farthest(most, 0) < floor) /* no candidates, or none that can reach it */
            return 0;
        for (size_t first = 0; first < tiles_of(contest) * PB_COVER_TILE; first += WIDTH)
            for (unsigned left = equal(load(contest->bounds + first), wanted); left; left &= left - 1) {
                const size_t i = first + (size_t)__builtin_ctz(left);
                if (!contest->exact[i])
                    settle(cover, contest, i);
                uint64_t its = pb_pack_farthest(contest->bounds[i], contest->candidates[i].index);
                if (contest->bounds[i] < most)
                    sure = false;
                else if (its > key) {
                    key = its;
                    *winner = i;
                }
            }
        if (sure)
            return key;
    }
}

/* Whose bound a centre lowers is to be settled again. Every candidate is scored against the one new centre, and only those that
 * pass measure it; limits of a tile are made anew when one of its bounds may have fallen. A centre that is met twice would do no
 * harm, as in a tile. */
static void meet_last(const pb_cover *cover, pb_contest *contest) {
    const size_t j = cover->centre_count - 1;
    const float *centre = cover->centre_places + j * PB_COVER_PLACE;
    for (size_t first = 0; first < tiles_of(contest) * PB_COVER_TILE; first += PB_COVER_TILE) {
        const float *places = contest->tiles + first * PB_AXES;
        unsigned lanes = 0;
        UNROLL for (int v = 0; v < VECTORS; v++) {
            vec s = broadcast(centre[0]);
            UNROLL for (int h = 0; h < PB_AXES; h++)
                s = multiply_add(load(places + h * PB_COVER_TILE + v * WIDTH), broadcast(centre[1 + h]), s);
            lanes |= not_above(s, load(contest->limits + first + v * WIDTH)) << v * WIDTH;
        }
        if (!lanes)
            continue;
        for (; lanes; lanes &= lanes - 1) {
            const size_t i = first + (size_t)__builtin_ctz(lanes);
            const float before = contest->bounds[i];
            meet(cover, contest->rows + i * cover->stride, j, contest->bounds + i, contest->nearest + i, contest->counts);
            contest->exact[i] = contest->exact[i] && contest->bounds[i] >= before;
        }
        limit(cover, contest->bounds + first, contest->own + first, contest->limits + first);
    }
    contest->counts->filtered += tiles_of(contest) * PB_COVER_TILE;
}

const pb_cover_kernels KERNELS = {
    .place = place,
    .start = start,
    .advance = advance,
    .scan = scan,
    .enter = enter,
    .leader = leader,
    .meet = meet_last,
};
