/* The twins against formulas in double precision that share nothing with them, and the packings of gpu/device.h. */
#include "gpu/ref.h"

#include "arrays.h"

static const double U = 0x1p-24; /* the largest relative error of one rounding to float */

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- packings ---- */

static const float RISING[] = {0.0f, 0x1p-149f, 0x1p-126f, 1e-3f, 1.0f, 0x1.000002p0f, 2.0f, FLT_MAX, INFINITY};
static const uint32_t INDICES[] = {0, 1, 2, 77, 0x7FFFFFFF, 0x80000000, UINT32_MAX - 1};

Test(packing, gives_back_what_was_packed) {
    for (size_t d = 0; d < LENGTH(RISING); d++)
        for (size_t i = 0; i < LENGTH(INDICES); i++) {
            uint64_t farthest = pb_pack_farthest(RISING[d], INDICES[i]), nearest = pb_pack_nearest(RISING[d], INDICES[i]);
            cr_assert(pb_packed_distance2(farthest) == RISING[d] && pb_farthest_index(farthest) == INDICES[i]);
            cr_assert(pb_packed_distance2(nearest) == RISING[d] && pb_nearest_index(nearest) == INDICES[i]);
            cr_assert(farthest != 0 && nearest != PB_NEAREST_NONE);
        }
}

/* All pairs: the order of packed numbers is that of (distance, index). */
Test(packing, orders_by_distance_then_index) {
    for (size_t a = 0; a < LENGTH(RISING) * LENGTH(INDICES); a++)
        for (size_t b = 0; b < LENGTH(RISING) * LENGTH(INDICES); b++) {
            float da = RISING[a / LENGTH(INDICES)], db = RISING[b / LENGTH(INDICES)];
            uint32_t ia = INDICES[a % LENGTH(INDICES)], ib = INDICES[b % LENGTH(INDICES)];
            bool farther = da > db || (da == db && ia < ib), nearer = da < db || (da == db && ia < ib);
            cr_assert_eq(pb_pack_farthest(da, ia) > pb_pack_farthest(db, ib), farther);
            cr_assert_eq(pb_pack_nearest(da, ia) < pb_pack_nearest(db, ib), nearer);
        }
}

/* ---- distance and projection: bounds on the rounding ---- */

static double exact_distance2(const float *x, const float *c, int dim) {
    double sum = 0.0;
    for (int k = 0; k < dim; k++)
        sum += ((double)x[k] - (double)c[k]) * ((double)x[k] - (double)c[k]);
    return sum;
}

/* Each difference is rounded once, which its square feels twice, and each of dim sums once; all terms have one sign. */
Test(ref, distance2_is_within_its_rounding) {
    static const int DIMS[] = {1, 2, 3, 31, 128, 152, 1000};
    for (size_t d = 0; d < LENGTH(DIMS); d++)
        for (uint32_t pair = 0; pair < 20; pair++) {
            float *x = numbers(UNIFORM, 2 * pair, (size_t)DIMS[d]), *c = numbers(UNIFORM, 2 * pair + 1, (size_t)DIMS[d]);
            double exact = exact_distance2(x, c, DIMS[d]), found = pb_ref_distance2(x, c, DIMS[d]);
            cr_assert(fabs(found - exact) <= 1.001 * (DIMS[d] + 2) * U * exact, "dim %d: %a, exactly %a", DIMS[d], found, exact);
            cr_assert_eq(pb_ref_distance2(x, x, DIMS[d]), 0.0f);
            cr_assert_eq(pb_ref_distance2(x, c, DIMS[d]), pb_ref_distance2(c, x, DIMS[d]));
            pb_release(&x);
            pb_release(&c);
        }
}

/* Where the order of summation and the fusing show: each case has the one answer of the canonical form. */
Test(ref, distance2_is_fused_and_in_order) {
    const float zero[3] = {0.0f, 0.0f, 0.0f};
    const float fused[2] = {0x1p-15f, 0x1.001p0f}; /* 2^-30 decides the tie of 1 + 2^-11 + 2^-24, unless that is rounded first */
    cr_assert_eq(pb_ref_distance2(fused, zero, 2), 0x1.002002p0f);
    const float rising[3] = {0x1p-12f, 0x1p-12f, 1.0f}, falling[3] = {1.0f, 0x1p-12f, 0x1p-12f};
    cr_assert_eq(pb_ref_distance2(rising, zero, 3), 0x1.000002p0f); /* 2^-24 + 2^-24 first, which 1 can feel */
    cr_assert_eq(pb_ref_distance2(falling, zero, 3), 1.0f);         /* each half a step: lost to the even 1 */
}

Test(ref, distance2_overflows_to_infinity) {
    const float most[2] = {FLT_MAX, FLT_MAX}, least[2] = {-FLT_MAX, -FLT_MAX};
    cr_assert_eq(pb_ref_distance2(most, least, 2), INFINITY);
}

Test(ref, project_is_within_its_rounding) {
    enum { N = 9, DIM = 152, OUT = 33 };
    float *rows = numbers(UNIFORM, 0, N * DIM), *matrix = numbers(UNIFORM, 1, DIM * OUT), *out = constants(NAN, N * OUT);
    pb_ref_project(rows, N, DIM, matrix, OUT, out);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < OUT; j++) {
            double exact = 0.0, size = 0.0;
            for (size_t k = 0; k < DIM; k++) {
                exact += (double)rows[i * DIM + k] * (double)matrix[k * OUT + j];
                size += fabs((double)rows[i * DIM + k] * (double)matrix[k * OUT + j]);
            }
            cr_assert(fabs((double)out[i * OUT + j] - exact) <= 1.001 * DIM * U * size);
        }
    pb_release(&rows);
    pb_release(&matrix);
    pb_release(&out);
}

/* ---- greedy and nearest: whole numbers, whose squares and sums are exact in float, so that any right way gives the same ---- */

enum { POINTS = 300, WIDTH = 3 };

static float *whole_numbers(uint32_t substream, size_t count) {
    float *values = numbers(UNIFORM, substream, count);
    for (size_t i = 0; i < count; i++)
        values[i] = floorf(values[i] * 8.0f);
    return values;
}

/* The textbook: the point whose least distance to the picks is largest, the first of those. */
static size_t textbook_pick(const float *points, const size_t *picks, int count) {
    size_t pick = 0;
    double farthest = -1.0;
    for (size_t i = 0; i < POINTS; i++) {
        double least = INFINITY;
        for (int p = 0; p < count; p++)
            least = fmin(least, exact_distance2(points + i * WIDTH, points + picks[p] * WIDTH, WIDTH));
        if (least > farthest) {
            farthest = least;
            pick = i;
        }
    }
    return pick;
}

Test(ref, greedy_steps_are_the_textbooks) {
    float *points = whole_numbers(0, POINTS * WIDTH), *distance2 = constants(INFINITY, POINTS);
    size_t picks[60] = {5};
    for (int count = 1; count < 60; count++) {
        uint64_t best = pb_ref_greedy_step(points, POINTS, WIDTH, points + picks[count - 1] * WIDTH, distance2);
        picks[count] = textbook_pick(points, picks, count);
        cr_assert_eq(pb_farthest_index(best), picks[count]);
        cr_assert_eq(pb_packed_distance2(best), distance2[picks[count]]);
    }
    cr_assert_eq(pb_ref_greedy_step(points, 0, WIDTH, points, distance2), 0);
    pb_release(&points);
    pb_release(&distance2);
}

Test(ref, nearest_is_the_first_of_the_least) {
    float *points = whole_numbers(0, POINTS * WIDTH), *queries = whole_numbers(1, 50 * WIDTH);
    uint64_t *nearest = unseen(50);
    pb_ref_nearest(points + 100 * WIDTH, POINTS - 100, WIDTH, 100, queries, 50, nearest); /* the later part first */
    pb_ref_nearest(points, 100, WIDTH, 0, queries, 50, nearest);
    for (size_t q = 0; q < 50; q++) {
        size_t first = 0;
        for (size_t i = 1; i < POINTS; i++)
            if (exact_distance2(points + i * WIDTH, queries + q * WIDTH, WIDTH) <
                exact_distance2(points + first * WIDTH, queries + q * WIDTH, WIDTH))
                first = i;
        cr_assert_eq(pb_nearest_index(nearest[q]), first);
        cr_assert_eq(pb_packed_distance2(nearest[q]), exact_distance2(points + first * WIDTH, queries + q * WIDTH, WIDTH));
    }
    pb_release(&points);
    pb_release(&queries);
    pb_release(&nearest);
}

/* ---- patch features ---- */

/* Mean over patch x patch places with zeros outside, at a whole place; in double. */
static double mean_at(const float *tap, pb_layer_shape s, int patch, int row, int column, int channel) {
    double sum = 0.0;
    for (int i = 0; i < patch * patch; i++) {
        int y = row + i / patch - (patch - 1) / 2, x = column + i % patch - (patch - 1) / 2;
        if (y >= 0 && y < s.size.height && x >= 0 && x < s.size.width)
            sum += (double)tap[(y * s.size.width + x) * s.channels + channel];
    }
    return sum / (patch * patch);
}

/* The value of the means at a place between pixels: the contract's (i + 0.5) * in / out - 0.5, clamped. */
static double mean_between(const float *tap, pb_layer_shape s, int patch, pb_size grid, int row, int column, int channel) {
    double y = fmin(fmax((row + 0.5) * s.size.height / grid.height - 0.5, 0.0), s.size.height - 1.0);
    double x = fmin(fmax((column + 0.5) * s.size.width / grid.width - 0.5, 0.0), s.size.width - 1.0);
    double value = 0.0;
    for (int r = 0; r < s.size.height; r++) /* hat functions: 1 at a pixel, 0 at its neighbours, linear between */
        for (int c = 0; c < s.size.width; c++)
            value += fmax(0.0, 1.0 - fabs(y - r)) * fmax(0.0, 1.0 - fabs(x - c)) * mean_at(tap, s, patch, r, c, channel);
    return value;
}

/* With |values| <= 1: a mean over n places is wrong by at most n + 2 roundings (n sums, 1/n, a product) of at most 1 each, and
 * each blend adds at most 5 (the fraction and the difference, each times 2; the sum). */
static void check_rounding(int patch, const pb_layer_shape *shapes) {
    enum { N = 2, DIM = 11 };
    const pb_size grid = shapes[0].size;
    const int patches = grid.width * grid.height;
    float *taps[3], *features = constants(NAN, (size_t)(N * patches * DIM));
    for (int t = 0; t < 3; t++)
        taps[t] = numbers(UNIFORM, (uint32_t)t, N * pb_layer_shape_values(shapes[t]));
    pb_ref_patch_features(patch, 3, shapes, (const float *const *)taps, N, features);
    for (int p = 0; p < N * patches; p++)
        for (int t = 0, at = 0; t < 3; t++)
            for (int c = 0; c < shapes[t].channels; c++, at++) {
                const float *tap = taps[t] + (size_t)(p / patches) * pb_layer_shape_values(shapes[t]);
                double exact = mean_between(tap, shapes[t], patch, grid, p % patches / grid.width, p % grid.width, c);
                double found = features[p * DIM + at];
                cr_assert(fabs(found - exact) <= (patch * patch + 2 + 5 + 5) * U,
                          "%d x %d, place %d tap %d channel %d: %a, exactly %a", patch, patch, p, t, c, found, exact);
            }
    for (int t = 0; t < 3; t++)
        pb_release(&taps[t]);
    pb_release(&features);
}

/* Squares, and rectangles whose taps are coarser along one axis, along both, and finer along one. */
Test(ref, patch_features_are_within_their_rounding) {
    static const pb_layer_shape SHAPES[][3] = {{{{6, 6}, 4}, {{3, 3}, 5}, {{5, 5}, 2}},
                                               {{{8, 4}, 4}, {{4, 2}, 5}, {{8, 2}, 2}},
                                               {{{3, 7}, 4}, {{2, 4}, 5}, {{5, 4}, 2}}};
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
        for (int patch = 1; patch <= 5; patch += 2)
            check_rounding(patch, SHAPES[s]);
}

/* ---- unit rows ---- */

/* A sum of dim squares, none negative, is off by at most dim roundings, its root by half of that and one of its own, the quotient
 * by one more. The same direction for rows of any magnitude: what must be found is x / |x|, in double. */
Test(ref, unit_rows_are_within_their_rounding) {
    static const int DIMS[] = {1, 2, 31, 152, 1000};
    static const float MAGNITUDES[] = {1.0f, 1e-15f, 1e15f};
    enum { N = 7 };
    for (size_t d = 0; d < LENGTH(DIMS); d++)
        for (size_t m = 0; m < LENGTH(MAGNITUDES); m++) {
            const int dim = DIMS[d];
            float *rows = numbers(UNIFORM, 0, (size_t)(N * dim)), *unit = numbers(UNIFORM, 0, (size_t)(N * dim));
            for (int i = 0; i < N * dim; i++)
                rows[i] = unit[i] = rows[i] * MAGNITUDES[m];
            pb_ref_unit_rows(unit, N, dim);
            for (int i = 0; i < N * dim; i++) {
                const float *row = rows + i / dim * dim;
                double square = 0;
                for (int k = 0; k < dim; k++)
                    square += (double)row[k] * (double)row[k];
                double exact = (double)rows[i] / sqrt(square);
                cr_assert(fabs((double)unit[i] - exact) <= 1.001 * (dim / 2.0 + 2) * U * fabs(exact),
                          "%d values, %g: %a, exactly %a", dim, (double)MAGNITUDES[m], (double)unit[i], exact);
            }
            pb_release(&rows);
            pb_release(&unit);
        }
}

/* What has no direction stays as it is; what is too long to have a length is seen. The neighbours do not mind. */
Test(ref, rows_without_a_length) {
    float rows[][2] = {{3.0f, -4.0f}, {0.0f, -0.0f}, {0x1p-100f, 0x1p-100f}, {1e30f, 1.0f}, {0.0f, 2.0f}};
    pb_ref_unit_rows(rows[0], LENGTH(rows), 2);
    cr_assert(rows[0][0] == 0.6f && rows[0][1] == -0.8f);
    cr_assert(rows[1][0] == 0.0f && rows[1][1] == 0.0f && signbit(rows[1][1]));
    cr_assert(rows[2][0] == 0x1p-100f && rows[2][1] == 0x1p-100f);
    cr_assert(isnan(rows[3][0]) && isnan(rows[3][1]));
    cr_assert(rows[4][0] == 0.0f && rows[4][1] == 1.0f);
}

/* Half the squared distance of unit rows is 1 - cosine: dim differences and squares, rounded each once, of at most 4 in all. */
Test(ref, distances_of_unit_rows_are_cosines) {
    enum { N = 20, WIDE = 152 };
    float *rows = numbers(UNIFORM, 3, N * WIDE), *unit = numbers(UNIFORM, 3, N * WIDE);
    pb_ref_unit_rows(unit, N, WIDE);
    for (int a = 0; a < N; a++)
        for (int b = 0; b < N; b++) {
            double product = 0, square_a = 0, square_b = 0;
            for (int k = 0; k < WIDE; k++) {
                product += (double)rows[a * WIDE + k] * (double)rows[b * WIDE + k];
                square_a += pow((double)rows[a * WIDE + k], 2);
                square_b += pow((double)rows[b * WIDE + k], 2);
            }
            double exact = 1 - product / sqrt(square_a * square_b);
            double found = 0.5 * (double)pb_ref_distance2(unit + a * WIDE, unit + b * WIDE, WIDE);
            cr_assert(fabs(found - exact) <= 2 * WIDE * 4 * U, "rows %d and %d: %g, exactly %g", a, b, found, exact);
        }
    pb_release(&rows);
    pb_release(&unit);
}
