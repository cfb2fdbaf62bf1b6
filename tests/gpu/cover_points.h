/* cover_points.h: points for tests of covers: like features, or made so that one of the margins of gpu/cpu_cover_body.h, were it
 * missing, would change a pick or a bit of a distance. */
#ifndef PB_TESTS_COVER_POINTS_H
#define PB_TESTS_COVER_POINTS_H

#include "arrays.h"

static inline float dice(uint32_t substream, size_t index) { return number_of(UNIFORM, substream, index); }

/* [n][dim], released by pb_release. */
typedef float *points_maker(size_t n, int dim);

/* Clusters, and a spread that falls from dimension to dimension. */
static inline float *feature_points(size_t n, int dim) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++)
            rows[i * (size_t)dim + k] =
                (4 * dice(1, i % 20 * (size_t)dim + k) + rows[i * (size_t)dim + k]) / (1 + (float)k / 4);
    return rows;
}

/* Nothing to filter by: all directions alike. */
static inline float *cloud_points(size_t n, int dim) { return numbers(UNIFORM, 0, n * (size_t)dim); }

/* Small integers: distances are exact, and many are the same. */
static inline float *lattice_points(size_t n, int dim) { return numbers(TIES, 0, n * (size_t)dim); }

/* Every point three times, and far apart among the indices. */
static inline float *repeated_points(size_t n, int dim) {
    float *rows = feature_points(n, dim);
    for (size_t i = n / 3 + 1; i < n; i++)
        memcpy(rows + i * (size_t)dim, rows + i % (n / 3 + 1) * (size_t)dim, (size_t)dim * sizeof *rows);
    return rows;
}

static inline float *equal_points(size_t n, int dim) { return constants(0.7f, n * (size_t)dim); }

/* On a line: fewer true dimensions than axes. */
static inline float *line_points(size_t n, int dim) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++)
            rows[i * (size_t)dim + k] = 1 + dice(1, i) * dice(2, k);
    return rows;
}

/* EPS: half of the points lie on the diagonal, the others are one row of numbers in as many orders. A point of the diagonal is
 * as far from each of them, but for the rounding of the sum. */
static inline float *shuffled_points(size_t n, int dim) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim);
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * (size_t)dim;
        for (size_t k = 0; k < (size_t)dim; k++)
            row[k] = i % 2 ? 3 * dice(1, k) : dice(2, i);
        for (size_t k = (size_t)dim - 1; i % 2 && k > 0; k--) {
            size_t other = (size_t)((dice(3, i * (size_t)dim + k) + 1) / 2 * (float)(k + 1)) % (k + 1);
            float value = row[k];
            row[k] = row[other];
            row[other] = value;
        }
    }
    return rows;
}

/* E: far from the origin, so that places are inaccurate, and in few dimensions, so that they hold all of the distance. */
static inline float *distant_points(size_t n, int dim) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++) {
            float sum = 1e5f * (1 + dice(1, k) / 3);
            for (size_t h = 0; h < 4; h++)
                sum += dice(2, i * 4 + h) * dice(3, k * 4 + h);
            rows[i * (size_t)dim + k] = sum;
        }
    return rows;
}

/* G: small groups far from each other, so that within one scores are small differences of large numbers; near enough to the
 * origin for E to be small beside. */
static inline float *island_points(size_t n, int dim) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++) {
            float sum = 0;
            for (size_t h = 0; h < 4; h++)
                sum += (1000 * dice(1, i % 9 * 4 + h) + dice(2, i * 4 + h) / 16) * dice(3, k * 4 + h);
            rows[i * (size_t)dim + k] = sum;
        }
    return rows;
}

/* TINY: squares of halves of the smallest number there is, which are rounded by whether the sum so far is odd. One large
 * component keeps them from being the whole. */
static inline float *smallest_points(size_t n, int dim) {
    float *rows = lattice_points(n, dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++)
            rows[i * (size_t)dim + k] = k == 7 ? (float)(i % 5) : rows[i * (size_t)dim + k] * (k % 2 ? 1.5f : 1) * 0x1p-75f;
    return rows;
}

static const struct {
    const char *name;
    points_maker *make;
} MAKERS[] = {
    {"features", feature_points}, {"cloud", cloud_points},       {"lattice", lattice_points}, {"repeated", repeated_points},
    {"equal", equal_points},      {"line", line_points},         {"distant", distant_points}, {"shuffled", shuffled_points},
    {"islands", island_points},   {"smallest", smallest_points},
};

enum { MAKERS_COUNT = sizeof MAKERS / sizeof *MAKERS };

#endif
