/* cpu_kernels_body.h: private to gpu/: the one source of all kernels, included once by each cpu_kernels_SET.c, which sets before
 *   KERNELS, KERNELS_NAME   the table to define and its name
 *   COVER_KERNELS           the loops of covers that go with it
 *   vec, WIDTH              a register of WIDTH floats, with load, store, broadcast, sub, multiply_add, min, max and
 *                           any_not_above(a, b): some lane of a is not > the lane of b; any_above(a, b): some lane is >
 *   ROWS, PART              rows and vectors whose ROWS * PART sums stay in registers, with PART vectors, a row's value and a
 *                           difference beside them
 *
 * Bits: a lane does the canonical arithmetic of one point in the canonical order; nothing here adds across lanes or splits k.
 *
 * In the order of the table at the end: distances (nearest, greedy step), projection, patch features, maps, Winograd's
 * transforms. Loops over registers are written out by UNROLL, so that arrays of vec become registers; a loop that the compiler
 * vectorises by itself (blend, stretch, means) is plain, as each of its values is computed alone. The files are compiled without
 * contraction, so a multiply-add is fused exactly where it is written.
 *
 * How distances are blocked: ROWS rows (queries) against PART vectors of points, so that a value of a row and a vector of points
 * that have been loaded serve PART and ROWS sums. The loop over the dimensions is the innermost, since a sum must run through
 * them in order; what hides its latency is the ROWS * PART independent chains.
 */
#include "base/memory.h"
#include "gpu/cpu_kernels.h"
#include "gpu/device.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")

/* A tile is so many vectors; it is worked on in parts of PART vectors, PART_LANES points each. */
enum { TILE_VECTORS = PB_LANES / WIDTH, PARTS = TILE_VECTORS / PART, PART_LANES = PART * WIDTH };

_Static_assert(PARTS * PART * WIDTH == PB_LANES, "parts must fill a tile");
_Static_assert(PB_ROWS_STEP % ROWS == 0, "chunks must be whole groups");

/* The rows of a group of `height`; a short group repeats its last row, whose extra results nobody takes. */
INLINE void group_rows(const float *rows, int height, int dim, const float *row[ROWS]) {
    UNROLL for (int r = 0; r < ROWS; r++)
        row[r] = rows + (size_t)(r < height ? r : height - 1) * (size_t)dim;
}

/* distance^2 of the points in PART vectors of a tile to a group of rows. tile: the part's first lane, dimension 0; the next
 * dimension is PB_LANES floats on. */
INLINE void distances(const float *tile, const float *rows, int height, int dim, vec sums[ROWS][PART]) {
    const float *row[ROWS];
    group_rows(rows, height, dim, row);
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int p = 0; p < PART; p++)
            sums[r][p] = broadcast(0.0f);
    for (ptrdiff_t k = 0; k < dim; k++, tile += PB_LANES) {
        vec x[PART];
        UNROLL for (int p = 0; p < PART; p++)
            x[p] = load(tile + p * WIDTH);
        UNROLL for (int r = 0; r < ROWS; r++) {
            vec c = broadcast(row[r][k]);
            UNROLL for (int p = 0; p < PART; p++) {
                vec t = sub(x[p], c);
                sums[r][p] = multiply_add(t, t, sums[r][p]);
            }
        }
    }
}

/* Products of a group of rows with PART vectors of columns. The same blocking as `distances`, with the matrix's columns in the
 * lanes: canonical for a projection (gpu/device.h). */
INLINE void products(const float *tile, const float *rows, int height, int dim, vec sums[ROWS][PART]) {
    const float *row[ROWS];
    group_rows(rows, height, dim, row);
    UNROLL for (int r = 0; r < ROWS; r++)
        UNROLL for (int p = 0; p < PART; p++)
            sums[r][p] = broadcast(0.0f);
    for (ptrdiff_t k = 0; k < dim; k++, tile += PB_LANES) {
        vec m[PART];
        UNROLL for (int p = 0; p < PART; p++)
            m[p] = load(tile + p * WIDTH);
        UNROLL for (int r = 0; r < ROWS; r++) {
            vec x = broadcast(row[r][k]);
            UNROLL for (int p = 0; p < PART; p++)
                sums[r][p] = multiply_add(x, m[p], sums[r][p]);
        }
    }
}

/* The first `lanes` distances belong to points index, index + 1, ...: their packed minimum goes into *nearest. Apart from the
 * loop, whose registers it would take: while a bank is scanned a query meets a new nearest point about ln(tiles) times. */
APART void keep_nearest(const float *distance2, size_t lanes, uint32_t index, uint64_t *nearest) {
    uint64_t least = *nearest;
    for (size_t lane = 0; lane < lanes; lane++) {
        uint64_t packed = pb_pack_nearest(distance2[lane], index + (uint32_t)lane);
        least = packed < least ? packed : least;
    }
    *nearest = least;
}

/* One group of rows against one part of a tile, of whose points `lanes` exist. The minimum over the lanes is compared first,
 * against the distance that is known: only a part that is not farther in all lanes is looked at by index. "Not above" and not
 * "below", so that an equal distance with a smaller index is seen, and so is any distance while nothing has been seen yet: the
 * upper half of PB_NEAREST_NONE is a NaN. */
INLINE void nearest_part(const float *tile, size_t lanes, int dim, uint32_t index, const float *queries, int height,
                         uint64_t *nearest) {
    vec sums[ROWS][PART];
    distances(tile, queries, height, dim, sums);
    UNROLL for (int r = 0; r < ROWS; r++) {
        vec least = sums[r][0];
        UNROLL for (int p = 1; p < PART; p++)
            least = min(least, sums[r][p]);
        if (r < height && any_not_above(least, broadcast(pb_packed_distance2(nearest[r])))) {
            float distance2[PART_LANES];
            UNROLL for (int p = 0; p < PART; p++)
                store(distance2 + p * WIDTH, sums[r][p]);
            keep_nearest(distance2, lanes, index, nearest + r);
        }
    }
}

/* Tiles outside, rows inside: a tile, PB_LANES * dim floats, is read from memory once for all rows of the call, which stay in the
 * second cache (pb_cpu_chunk_rows). Parts whose lanes are all beyond the last point have 0 lanes. */
static void nearest_points(const float *tiles, size_t points, int dim, uint32_t first_index, const float *queries, size_t count,
                           uint64_t *nearest) {
    for (size_t first = 0; first < points; first += PB_LANES, tiles += (size_t)PB_LANES * (size_t)dim)
        for (size_t row = 0; row < count; row += ROWS)
            for (size_t part = 0; part < PARTS; part++) {
                size_t begin = first + part * PART_LANES, left = begin < points ? points - begin : 0;
                nearest_part(tiles + part * PART_LANES, left < PART_LANES ? left : PART_LANES, dim, first_index + (uint32_t)begin,
                             queries + row * (size_t)dim, count - row < ROWS ? (int)(count - row) : ROWS, nearest + row);
            }
}

/* Contract: cpu_kernels.h. One chain: dim times the latency of a fused multiply-add. */
static float distance2(const float *a, const float *b, int dim) {
    float sum = 0.0f;
    for (int k = 0; k < dim; k++) {
        float t = a[k] - b[k];
        sum = __builtin_fmaf(t, t, sum);
    }
    return sum;
}

/* As keep_nearest, for the packed maximum. */
APART void keep_farthest(const float *distance2, size_t lanes, uint32_t index, uint64_t *farthest) {
    uint64_t most = *farthest;
    for (size_t lane = 0; lane < lanes; lane++) {
        uint64_t packed = pb_pack_farthest(distance2[lane], index + (uint32_t)lane);
        most = packed > most ? packed : most;
    }
    *farthest = most;
}

/* A pass over the points is bound by memory, and what the hardware prefetches stops at the end of a page. So the loop asks by
 * itself for what it will need AHEAD floats later; beyond the end of the tiles such a request has no effect. */
enum { AHEAD = 2048 }; /* floats, 8 KiB: measured best of 2 to 32 KiB, far enough for memory and no loss in the second cache */

/* Lowers the distances of the points of one tile, of which `lanes` exist, and keeps their packed maximum. One tile at a time: its
 * few chains of sums wait for each other, but already faster than memory delivers. min takes its first operand only where that is
 * less, so a distance stays where the new one is a NaN. Lanes beyond the last point are lowered too; they mean nothing and are
 * not kept. `most` may see them: that only costs a look by index. */
INLINE void step_tile(const float *tile, size_t lanes, int dim, uint32_t index, const float *centre, float *distance2,
                      uint64_t *farthest) {
    vec sums[TILE_VECTORS], most = broadcast(-1.0f);
    UNROLL for (int v = 0; v < TILE_VECTORS; v++)
        sums[v] = broadcast(0.0f);
    for (int k = 0; k < dim; k++, tile += PB_LANES) {
        for (int line = 0; line < PB_LANES; line += PB_ALIGNMENT / (int)sizeof(float))
            __builtin_prefetch(tile + AHEAD + line);
        vec c = broadcast(centre[k]);
        UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
            vec t = sub(load(tile + v * WIDTH), c);
            sums[v] = multiply_add(t, t, sums[v]);
        }
    }
    UNROLL for (int v = 0; v < TILE_VECTORS; v++) {
        vec lower = min(sums[v], load(distance2 + v * WIDTH));
        store(distance2 + v * WIDTH, lower);
        most = max(most, lower);
    }
    if (*farthest == 0 || any_above(most, broadcast(pb_packed_distance2(*farthest))))
        keep_farthest(distance2, lanes, index, farthest);
}

/* The packed maximum begins at 0, which is less than any point's, so the first tile is always looked at by index. */
static uint64_t greedy_step(const float *tiles, size_t points, int dim, uint32_t first_index, const float *centre,
                            float *distance2) {
    uint64_t farthest = 0;
    for (size_t first = 0; first < points; first += PB_LANES, tiles += (size_t)PB_LANES * (size_t)dim)
        step_tile(tiles, points - first < PB_LANES ? points - first : PB_LANES, dim, first_index + (uint32_t)first, centre,
                  distance2 + first, &farthest);
    return farthest;
}

/* Writes the products of `height` rows with the first `columns` columns of a part. By way of a line on the stack: out has no
 * padding, and the last part may have fewer columns than lanes. */
INLINE void store_products(vec sums[ROWS][PART], int height, size_t columns, size_t stride, float *out) {
    UNROLL for (int r = 0; r < ROWS; r++) {
        float line[PART_LANES];
        UNROLL for (int p = 0; p < PART; p++)
            store(line + p * WIDTH, sums[r][p]);
        if (r < height)
            memcpy(out + (size_t)r * stride, line, columns * sizeof *line);
    }
}

/* Columns outside, rows inside: a part of the matrix, PART_LANES * dim floats, stays in the cache while the rows pass. */
static void project_rows(const float *tiles, int columns, int dim, const float *rows, size_t count, float *out) {
    const size_t stride = (size_t)columns;
    for (size_t first = 0; first < stride; first += PART_LANES) {
        const float *part = tiles + first / PB_LANES * PB_LANES * (size_t)dim + first % PB_LANES;
        size_t width = stride - first < PART_LANES ? stride - first : PART_LANES;
        for (size_t row = 0; row < count; row += ROWS) {
            int height = count - row < ROWS ? (int)(count - row) : ROWS;
            vec sums[ROWS][PART];
            products(part, rows + row * (size_t)dim, height, dim, sums);
            store_products(sums, height, width, stride, out + row * stride + first);
        }
    }
}

/* The usual patch of 3 x 3: all nine are added in registers. A place outside of the tap points to zeros instead of being left
 * out: adding +0 to a sum that began at +0 gives the same bits (gpu/ref.h), and the loop has no branch. */
static void mean_row_of_9(const float *const *rows, const float *zeros, int width, int channels, float *restrict out,
                          size_t stride) {
    for (int x = 0; x < width; x++, out += stride) {
        const float *near[9];
        for (int i = 0; i < 9; i++) {
            const float *row = rows[i / 3];
            int column = x + i % 3 - 1;
            near[i] = row && column >= 0 && column < width ? row + (size_t)column * (size_t)channels : zeros;
        }
        for (int c = 0; c < channels; c++) {
            float sum = 0.0f;
            UNROLL for (int i = 0; i < 9; i++)
                sum += near[i][c];
            out[c] = sum * (1.0f / 9);
        }
    }
}

/* Any other: the places one after the other, all channels of each. Sums are kept in `out` itself, for all channels side by side.
 * The order for each channel is that of gpu/ref.h; places outside are left out, which gives the same bits. */
static void mean_row_of_any(int patch, const float *const *rows, int width, int channels, float *restrict out, size_t stride) {
    const float factor = 1.0f / (float)(patch * patch);
    for (int x = 0; x < width; x++, out += stride) {
        memset(out, 0, (size_t)channels * sizeof *out);
        for (int i = 0; i < patch * patch; i++) {
            const float *row = rows[i / patch];
            int column = x + i % patch - patch / 2;
            if (!row || column < 0 || column >= width)
                continue;
            row += (size_t)column * (size_t)channels;
            for (int c = 0; c < channels; c++)
                out[c] += row[c];
        }
        for (int c = 0; c < channels; c++)
            out[c] *= factor;
    }
}

static void mean_row(int patch, const float *const *rows, const float *zeros, int width, int channels, float *out,
                     size_t stride) {
    if (patch == 3)
        mean_row_of_9(rows, zeros, width, channels, out, stride);
    else
        mean_row_of_any(patch, rows, width, channels, out, stride);
}

/* Order and special cases: pb_ref_unit_rows. `!(length <= 0)` is true for a NaN, which is to spread over the row. */
static void unit_row(float *row, int dim) {
    float sum = 0.0f;
    for (int k = 0; k < dim; k++)
        sum = __builtin_fmaf(row[k], row[k], sum);
    float length = __builtin_isinf(sum) ? __builtin_nanf("") : __builtin_sqrtf(sum);
    for (int k = 0; k < dim && !(length <= 0); k++)
        row[k] /= length;
}

static void blend(const float *a, const float *b, float fraction, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++)
        out[i] = __builtin_fmaf(fraction, b[i] - a[i], a[i]);
}

/* Channels may lie anywhere, unlike what load takes. memcpy of a fixed size is one unaligned load. */
INLINE vec fetch(const float *from) {
    vec a;
    memcpy(&a, from, sizeof a);
    return a;
}

static void stretch(const float *row, const int *low, const int *high, const float *fraction, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++)
        out[i] = __builtin_fmaf(fraction[i], row[high[i]] - row[low[i]], row[low[i]]);
}

/* Vectors that are smoothed at once: enough chains to hide the latency of a fused multiply-add. */
enum { SMOOTH = 4 };

/* One value. The remainder of `smooth`, in the same order of operations. */
INLINE float smooth_one(const float *const *near, const float *weights, int reach, size_t i) {
    float sum = weights[0] * near[reach][i];
    for (int k = 1; k <= reach; k++)
        sum = __builtin_fmaf(weights[k], near[reach - k][i] + near[reach + k][i], sum);
    return sum;
}

/* SMOOTH vectors side by side, so many chains; the taps of the kernel are added in pairs from the middle outwards (decision
 * 0028). */
static void smooth(const float *const *near, const float *weights, int reach, size_t count, float *out) {
    size_t i = 0;
    for (; i + SMOOTH * WIDTH <= count; i += SMOOTH * WIDTH) {
        vec sums[SMOOTH];
        UNROLL for (size_t v = 0; v < SMOOTH; v++)
            sums[v] = broadcast(weights[0]) * fetch(near[reach] + i + v * WIDTH);
        for (int k = 1; k <= reach; k++) {
            const float *before = near[reach - k] + i, *after = near[reach + k] + i;
            const vec weight = broadcast(weights[k]);
            UNROLL for (size_t v = 0; v < SMOOTH; v++)
                sums[v] = multiply_add(weight, fetch(before + v * WIDTH) + fetch(after + v * WIDTH), sums[v]);
        }
        UNROLL for (size_t v = 0; v < SMOOTH; v++)
            store(out + i + v * WIDTH, sums[v]);
    }
    for (; i < count; i++)
        out[i] = smooth_one(near, weights, reach, i);
}

/* B' d B of gpu/cpu_winograd.h, a register's worth of channels at a time: t = B' d takes rows of the tile (d[4 i + j]: row i,
 * column j), then t B its columns. The 16 results go to 16 streams, `stride` floats apart. */
static void winograd_spread(const float *const pixels[16], int channels, float *out, size_t stride) {
    for (int c = 0; c < channels; c += WIDTH, out += WIDTH) {
        vec d[16], t[16];
        UNROLL for (int i = 0; i < 16; i++)
            d[i] = fetch(pixels[i] + c);
        UNROLL for (int j = 0; j < 4; j++) {
            t[j] = d[j] - d[8 + j];
            t[4 + j] = d[4 + j] + d[8 + j];
            t[8 + j] = d[8 + j] - d[4 + j];
            t[12 + j] = d[4 + j] - d[12 + j];
        }
        UNROLL for (size_t i = 0; i < 16; i += 4) {
            store(out + i * stride, t[i] - t[i + 2]);
            store(out + (i + 1) * stride, t[i + 1] + t[i + 2]);
            store(out + (i + 2) * stride, t[i + 2] - t[i + 1]);
            store(out + (i + 3) * stride, t[i + 1] - t[i + 3]);
        }
    }
}

/* A' m A: first down the columns (t has 2 rows of 4), then across (y: 2 x 2 outputs, row by row). Then bias, residual, and the
 * limits that an activation is. */
static void winograd_collect(const float *products, size_t stride, const float *bias, const float *const residuals[4],
                             float lowest, float highest, int channels, float *const pixels[4]) {
    for (int c = 0; c < channels; c += WIDTH, products += WIDTH) {
        vec m[16], t[8], y[4], b = fetch(bias + c);
        UNROLL for (size_t i = 0; i < 16; i++)
            m[i] = fetch(products + i * stride);
        UNROLL for (int j = 0; j < 4; j++) {
            t[j] = m[j] + m[4 + j] + m[8 + j];
            t[4 + j] = m[4 + j] - m[8 + j] - m[12 + j];
        }
        UNROLL for (int i = 0; i < 2; i++) {
            y[2 * i] = t[4 * i] + t[4 * i + 1] + t[4 * i + 2];
            y[2 * i + 1] = t[4 * i + 1] - t[4 * i + 2] - t[4 * i + 3];
        }
        UNROLL for (int i = 0; i < 4; i++) /* min and max give their second operand when one is a NaN */
            store(pixels[i] + c, min(broadcast(highest), max(broadcast(lowest), y[i] + b + fetch(residuals[i] + c))));
    }
}

const pb_cpu_kernels KERNELS = {
    .name = KERNELS_NAME,
    .nearest = nearest_points,
    .distance2 = distance2,
    .greedy_step = greedy_step,
    .project = project_rows,
    .mean_row = mean_row,
    .blend = blend,
    .stretch = stretch,
    .smooth = smooth,
    .unit_row = unit_row,
    .winograd_spread = winograd_spread,
    .winograd_collect = winograd_collect,
    .cover = &COVER_KERNELS,
};
