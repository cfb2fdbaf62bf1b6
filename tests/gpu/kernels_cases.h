/* kernels_cases.h: the tests of one set of kernels, included by test_cpu_kernels_SET.c, which names the set and the suite before:
 * SET "avx2", SUITE cpu_kernels_avx2. As the kernels have one source, so have their tests: each set against the plain twins of
 * gpu/ref.h, bit for bit. On a processor that cannot run the set they are skipped.
 */
#include "arrays.h"
#include "gpu/cpu.h"
#include "gpu/ref.h"

static const size_t SIZES[] = {0, 1, 15, 16, 17, 31, 32, 33, 100, 1000};
static const int DIMS[] = {1, 2, 3, 31, 128, 152};
static const size_t COUNTS[] = {0, 1, 5, 6, 7, 8, 9, 24, 25};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const pb_cpu_kernels *set(void) {
    const pb_cpu_kernels *kernels = pb_cpu_kernels_choose(SET);
    if (!kernels)
        cr_skip_test("this processor cannot run " SET);
    return kernels;
}

static size_t lanes_of(size_t points) { return (points + PB_LANES - 1) / PB_LANES * PB_LANES; }

/* Rows [n][dim] as tiles. The lanes that are left over hold `padding`. */
static float *tiled(const float *rows, size_t n, int dim, float padding) {
    float *tiles = constants(padding, lanes_of(n) * (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < dim; k++)
            tiles[(i / PB_LANES * (size_t)dim + (size_t)k) * PB_LANES + i % PB_LANES] = rows[i * (size_t)dim + (size_t)k];
    return tiles;
}

/* What may be left in the lanes beyond the last point: nearest of all to a query of zeros, farthest of all, or nonsense. */
static const float PADDINGS[] = {0.0f, FLT_MAX, NAN};

static void check_steps(const pb_cpu_kernels *kernels, kind k, size_t n, int dim, float padding) {
    float *rows = numbers(k, 0, n * (size_t)dim), *tiles = tiled(rows, n, dim, padding);
    float *actual = constants(INFINITY, lanes_of(n)), *expected = constants(INFINITY, n);
    size_t pick = n / 2;
    for (int step = 0; step < 4 && n > 0; step++) {
        const float *centre = rows + pick * (size_t)dim;
        uint64_t farthest = pb_ref_greedy_step(rows, n, dim, centre, expected);
        uint64_t best = kernels->greedy_step(tiles, n, dim, 0, centre, actual);
        assert_same_bits(actual, expected, n);
        cr_assert(best == farthest, "%s n %zu dim %d kind %d: %llx, not %llx", SET, n, dim, k, (unsigned long long)best,
                  (unsigned long long)farthest);
        pick = pb_farthest_index(best);
    }
    if (n == 0)
        cr_assert_eq(kernels->greedy_step(tiles, 0, dim, 0, rows, actual), 0);
    pb_release(&rows);
    pb_release(&tiles);
    pb_release(&actual);
    pb_release(&expected);
}

Test(SUITE, greedy_step_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 0; s < LENGTH(SIZES); s++)
            for (size_t d = 0; d < LENGTH(DIMS); d++)
                check_steps(kernels, (kind)k, SIZES[s], DIMS[d], PADDINGS[(s + d) % LENGTH(PADDINGS)]);
}

Test(SUITE, distance2_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    for (int k = 0; k < KINDS; k++)
        for (size_t d = 0; d < LENGTH(DIMS); d++) {
            float *a = numbers((kind)k, 0, (size_t)DIMS[d]), *b = numbers((kind)k, 1, (size_t)DIMS[d]);
            float actual = kernels->distance2(a, b, DIMS[d]), expected = pb_ref_distance2(a, b, DIMS[d]);
            assert_same_bits(&actual, &expected, 1);
            pb_release(&a);
            pb_release(&b);
        }
}

/* The points of a later part of a whole: indices count from first_index. */
Test(SUITE, greedy_step_counts_from_first_index) {
    const pb_cpu_kernels *kernels = set();
    float *rows = numbers(UNIFORM, 0, 50 * 3), *tiles = tiled(rows, 50, 3, 0.0f);
    float *lower = constants(INFINITY, lanes_of(50)), *plain = constants(INFINITY, lanes_of(50));
    uint64_t shifted = kernels->greedy_step(tiles, 50, 3, UINT32_MAX - 60, rows, lower);
    uint64_t straight = kernels->greedy_step(tiles, 50, 3, 0, rows, plain);
    cr_assert_eq(pb_farthest_index(shifted), pb_farthest_index(straight) + (UINT32_MAX - 60));
    cr_assert_eq(shifted >> 32, straight >> 32);
    pb_release(&rows);
    pb_release(&tiles);
    pb_release(&lower);
    pb_release(&plain);
}

/* Every later point is farther, and then none is: the maximum is met in every tile, or in the first only. */
Test(SUITE, greedy_step_finds_the_maximum_wherever_it_is) {
    const pb_cpu_kernels *kernels = set();
    enum { N = 200 };
    for (size_t place = 0; place < N; place++) {
        float *rows = constants(1.0f, N), zero = 0.0f;
        rows[place] = 2.0f;
        rows[N - 1] = place % 2 ? 2.0f : rows[N - 1]; /* a tie with a later one */
        float *tiles = tiled(rows, N, 1, 0.0f), *distance2 = constants(INFINITY, lanes_of(N));
        cr_assert_eq(kernels->greedy_step(tiles, N, 1, 0, &zero, distance2), pb_pack_farthest(4.0f, (uint32_t)place));
        pb_release(&rows);
        pb_release(&tiles);
        pb_release(&distance2);
    }
    float *rows = numbers(UNIFORM, 0, N);
    for (size_t i = 0; i < N; i++)
        rows[i] = (float)i;
    float *tiles = tiled(rows, N, 1, 0.0f), *distance2 = constants(INFINITY, lanes_of(N));
    cr_assert_eq(kernels->greedy_step(tiles, N, 1, 0, rows, distance2), pb_pack_farthest(199.0f * 199.0f, 199));
    cr_assert_eq(kernels->greedy_step(tiles, N, 1, 0, rows + N - 1, distance2), pb_pack_farthest(99.0f * 99.0f, 99));
    pb_release(&rows);
    pb_release(&tiles);
    pb_release(&distance2);
}

/* Searches in two parts, the later first, so that what is already in nearest counts. */
static void check_nearest(const pb_cpu_kernels *kernels, kind k, size_t n, int dim, size_t count, float padding) {
    const uint32_t first_index = UINT32_MAX - 2000;
    float *rows = numbers(k, 0, n * (size_t)dim), *queries = numbers(k, 1, count * (size_t)dim);
    if (n > 0 && count > 0) /* one query that is a point */
        memcpy(queries, rows + (n - 1) * (size_t)dim, (size_t)dim * sizeof *queries);
    const size_t half = n / 2;
    float *low = tiled(rows, half, dim, padding), *high = tiled(rows + half * (size_t)dim, n - half, dim, padding);
    uint64_t *actual = unseen(count), *expected = unseen(count);
    kernels->nearest(high, n - half, dim, first_index + (uint32_t)half, queries, count, actual);
    kernels->nearest(low, half, dim, first_index, queries, count, actual);
    pb_ref_nearest(rows, n, dim, first_index, queries, count, expected);
    for (size_t q = 0; q < count; q++)
        cr_assert(actual[q] == expected[q], "%s n %zu dim %d kind %d query %zu of %zu: %llx, not %llx", SET, n, dim, k, q, count,
                  (unsigned long long)actual[q], (unsigned long long)expected[q]);
    pb_release(&rows);
    pb_release(&queries);
    pb_release(&low);
    pb_release(&high);
    pb_release(&actual);
    pb_release(&expected);
}

Test(SUITE, nearest_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 0; s < LENGTH(SIZES); s++)
            for (size_t d = 0; d < LENGTH(DIMS); d++)
                check_nearest(kernels, (kind)k, SIZES[s], DIMS[d], COUNTS[(s + d + (size_t)k) % LENGTH(COUNTS)],
                              PADDINGS[(s + d) % LENGTH(PADDINGS)]);
    for (size_t c = 0; c < LENGTH(COUNTS); c++)
        check_nearest(kernels, TIES, 77, 2, COUNTS[c], 0.0f);
}

static void check_project(const pb_cpu_kernels *kernels, kind k, size_t n, int dim, int columns) {
    const size_t width = (size_t)columns;
    float *rows = numbers(k, 0, n * (size_t)dim), *matrix = numbers(UNIFORM, 1, (size_t)dim * width);
    float *transposed = numbers(UNIFORM, 2, (size_t)dim * width);
    for (size_t j = 0; j < width; j++)
        for (size_t i = 0; i < (size_t)dim; i++)
            transposed[j * (size_t)dim + i] = matrix[i * width + j];
    float *tiles = tiled(transposed, width, dim, NAN);
    float *actual = constants(NAN, n * width + 1), *expected = constants(NAN, n * width + 1); /* one beyond: stays as it is */
    kernels->project(tiles, columns, dim, rows, n, actual);
    pb_ref_project(rows, n, dim, matrix, columns, expected);
    assert_same_bits(actual, expected, n * width + 1);
    pb_release(&rows);
    pb_release(&matrix);
    pb_release(&transposed);
    pb_release(&tiles);
    pb_release(&actual);
    pb_release(&expected);
}

Test(SUITE, project_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    static const int COLUMNS[] = {1, 15, 16, 17, 31, 32, 33, 128};
    for (int k = 0; k < KINDS; k++)
        for (size_t c = 0; c < LENGTH(COLUMNS); c++)
            for (size_t d = 0; d < LENGTH(DIMS); d++)
                check_project(kernels, (kind)k, COUNTS[(c + d) % LENGTH(COUNTS)], DIMS[d], COLUMNS[c]);
    for (size_t i = 0; i < LENGTH(COUNTS); i++)
        check_project(kernels, UNIFORM, COUNTS[i], 31, 33);
}

/* The features of a single tap are its means. */
static void check_means(const pb_cpu_kernels *kernels, kind k, int patch, pb_layer_shape shape) {
    const size_t width = (size_t)shape.channels, row_floats = (size_t)shape.size.width * width;
    const size_t count = pb_layer_shape_values(shape);
    float *tap = numbers(k, 0, count), *zeros = constants(0.0f, width);
    float *actual = constants(NAN, count + 1), *expected = constants(NAN, count + 1); /* one beyond: stays as it is */
    for (int row = 0; row < shape.size.height; row++) {
        const float *rows[PB_NEIGHBOURHOOD_MAX];
        for (int i = 0; i < patch; i++) {
            int y = row + i - (patch - 1) / 2;
            rows[i] = y < 0 || y >= shape.size.height ? NULL : tap + (size_t)y * row_floats;
        }
        kernels->mean_row(patch, rows, zeros, shape.size.width, shape.channels, actual + (size_t)row * row_floats, width);
    }
    const float *const taps[1] = {tap};
    pb_ref_patch_features(patch, 1, &shape, taps, 1, expected);
    assert_same_bits(actual, expected, count + 1);
    pb_release(&tap);
    pb_release(&zeros);
    pb_release(&actual);
    pb_release(&expected);
}

Test(SUITE, mean_row_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    static const int CHANNELS[] = {1, 3, 15, 16, 17, 40, 112}, PATCHES[] = {1, 3, 5, PB_NEIGHBOURHOOD_MAX};
    static const pb_size TAPS[] = {{1, 1}, {1, 7}, {2, 2}, {3, 5}, {5, 3}, {4, 1}, {9, 8}, {17, 2}};
    for (int k = 0; k < KINDS; k++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++)
            for (size_t size = 0; size < LENGTH(TAPS); size++)
                for (size_t p = 0; p < LENGTH(PATCHES); p++)
                    check_means(kernels, (kind)k, PATCHES[p], (pb_layer_shape){TAPS[size], CHANNELS[c]});
}

/* Rows of zeros, of numbers whose squares vanish or overflow, and of one that is not a number, too: NaNs are compared as NaNs,
 * for their bits are the processor's. */
Test(SUITE, unit_row_is_the_twins) {
    const pb_cpu_kernels *kernels = set();
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 1; s < LENGTH(SIZES); s++)
            for (int special = 0; special < 3; special++) {
                float *actual = numbers((kind)k, 0, SIZES[s]), *expected = numbers((kind)k, 0, SIZES[s]);
                actual[SIZES[s]] = expected[SIZES[s]] = 7.0f; /* one beyond: stays as it is */
                if (special > 0)
                    actual[SIZES[s] / 2] = expected[SIZES[s] / 2] = special == 1 ? NAN : -INFINITY;
                kernels->unit_row(actual, (int)SIZES[s]);
                pb_ref_unit_rows(expected, 1, (int)SIZES[s]);
                for (size_t i = 0; i <= SIZES[s]; i++)
                    cr_assert(pb_float_bits(actual[i]) == pb_float_bits(expected[i]) || (isnan(actual[i]) && isnan(expected[i])),
                              "kind %d, %zu values, value %zu: %a, not %a", k, SIZES[s], i, (double)actual[i],
                              (double)expected[i]);
                pb_release(&actual);
                pb_release(&expected);
            }
}

Test(SUITE, blend_is_one_fused_multiply_add) {
    const pb_cpu_kernels *kernels = set();
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 0; s < LENGTH(SIZES); s++) {
            float *a = numbers((kind)k, 0, SIZES[s]), *b = numbers((kind)k, 1, SIZES[s]);
            float *actual = constants(NAN, SIZES[s] + 1), *expected = constants(NAN, SIZES[s] + 1);
            const float fraction = 1.0f / 3.0f;
            for (size_t i = 0; i < SIZES[s]; i++)
                expected[i] = fmaf(fraction, b[i] - a[i], a[i]);
            kernels->blend(a, b, fraction, SIZES[s], actual);
            assert_same_bits(actual, expected, SIZES[s] + 1);
            pb_release(&a);
            pb_release(&b);
            pb_release(&actual);
            pb_release(&expected);
        }
}

Test(SUITE, stretch_is_one_fused_multiply_add) {
    const pb_cpu_kernels *kernels = set();
    static const float FRACTIONS[] = {0.0f, 1.0f / 3.0f, 0.5f, 0.9375f};
    enum { WIDE = 100, MAP = 9 };
    for (int k = 0; k < KINDS; k++) {
        float *row = numbers((kind)k, 0, MAP), *actual = constants(NAN, WIDE + 1), *expected = constants(NAN, WIDE + 1);
        float fraction[WIDE];
        int low[WIDE], high[WIDE];
        for (int i = 0; i < WIDE; i++) {
            low[i] = i * 7 % MAP;
            high[i] = (i + i / 3) % MAP;
            fraction[i] = FRACTIONS[i % 4];
            expected[i] = fmaf(fraction[i], row[high[i]] - row[low[i]], row[low[i]]);
        }
        kernels->stretch(row, low, high, fraction, WIDE, actual);
        assert_same_bits(actual, expected, WIDE + 1);
        pb_release(&row);
        pb_release(&actual);
        pb_release(&expected);
    }
}

/* Stretches of one array, shifted: the smoothing of a row. */
Test(SUITE, smooth_goes_from_the_middle_outwards) {
    const pb_cpu_kernels *kernels = set();
    enum { REACH = 3 };
    static const float WEIGHTS[REACH + 1] = {0.4f, 0.3f, 0.2f, 0.1f};
    for (int k = 0; k < KINDS; k++)
        for (size_t s = 0; s < LENGTH(SIZES); s++)
            for (int reach = 0; reach <= REACH && k != HUGE_ONES; reach++) {
                float *x = numbers((kind)k, 0, SIZES[s] + 2 * REACH);
                float *actual = constants(NAN, SIZES[s] + 1), *expected = constants(NAN, SIZES[s] + 1);
                const float *near[2 * REACH + 1];
                for (int i = 0; i <= 2 * reach; i++)
                    near[i] = x + i;
                for (size_t i = 0; i < SIZES[s]; i++) {
                    expected[i] = WEIGHTS[0] * near[reach][i];
                    for (int r = 1; r <= reach; r++)
                        expected[i] = fmaf(WEIGHTS[r], near[reach - r][i] + near[reach + r][i], expected[i]);
                }
                kernels->smooth(near, WEIGHTS, reach, SIZES[s], actual);
                assert_same_bits(actual, expected, SIZES[s] + 1);
                pb_release(&x);
                pb_release(&actual);
                pb_release(&expected);
            }
}

/* The transforms as products of matrices. */
static const float SPREAD[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const float COLLECT[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

/* What is added, then what is subtracted, each in order; adding to -0 changes nothing. */
static float combine(const float factors[4], const float *x, int step) {
    float sum = -0.0f;
    for (int k = 0; k < 4; k++)
        sum = factors[k] > 0 ? sum + x[k * step] : sum;
    for (int k = 0; k < 4; k++)
        sum = factors[k] < 0 ? sum - x[k * step] : sum;
    return sum;
}

/* out = matrix x matrix', of rows x 4 with 4 x 4. */
static void transform(const float matrix[][4], int rows, const float *x, float *out) {
    float down[16];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 4; j++)
            down[4 * i + j] = combine(matrix[i], x + j, 4);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < rows; j++)
            out[rows * i + j] = combine(matrix[j], down + 4 * i, 1);
}

Test(SUITE, winograd_spread_is_a_product_of_matrices) {
    const pb_cpu_kernels *kernels = set();
    enum { CHANNELS = 48, STRIDE = 50 };
    for (int k = 0; k < KINDS; k++) {
        float *x = numbers((kind)k, 0, 16 * CHANNELS);
        float *actual = constants(NAN, 16 * STRIDE), *expected = constants(NAN, 16 * STRIDE);
        const float *pixels[16];
        for (int i = 0; i < 16; i++)
            pixels[i] = x + i * CHANNELS;
        kernels->winograd_spread(pixels, CHANNELS, actual, STRIDE);
        for (int c = 0; c < CHANNELS; c++) {
            float tile[16], values[16];
            for (int i = 0; i < 16; i++)
                tile[i] = pixels[i][c];
            transform(SPREAD, 4, tile, values);
            for (int i = 0; i < 16; i++)
                expected[i * STRIDE + c] = values[i];
        }
        assert_same_bits(actual, expected, 16 * STRIDE);
        pb_release(&x);
        pb_release(&actual);
        pb_release(&expected);
    }
}

static float limited(float value, float lowest, float highest) {
    return value < lowest ? lowest : value > highest ? highest : value;
}

/* Limits of the three activations. */
Test(SUITE, winograd_collect_is_a_product_of_matrices) {
    const pb_cpu_kernels *kernels = set();
    enum { CHANNELS = 48, STRIDE = 50 };
    static const float LIMITS[3][2] = {{-INFINITY, INFINITY}, {0, INFINITY}, {0, 6}};
    for (int k = 0; k < KINDS * 3; k++) {
        float *products = numbers((kind)(k / 3), 0, 16 * STRIDE), *bias = numbers((kind)(k / 3), 1, CHANNELS);
        float *residual = numbers((kind)(k / 3), 2, 4 * CHANNELS);
        float *actual = constants(NAN, 4 * STRIDE), *expected = constants(NAN, 4 * STRIDE), *pixels[4];
        const float *residuals[4], *limits = LIMITS[k % 3];
        for (int i = 0; i < 4; i++) {
            residuals[i] = residual + i * CHANNELS;
            pixels[i] = actual + i * STRIDE;
        }
        kernels->winograd_collect(products, STRIDE, bias, residuals, limits[0], limits[1], CHANNELS, pixels);
        for (int c = 0; c < CHANNELS; c++) {
            float tile[16], values[4];
            for (int i = 0; i < 16; i++)
                tile[i] = products[i * STRIDE + c];
            transform(COLLECT, 2, tile, values);
            for (int i = 0; i < 4; i++)
                expected[i * STRIDE + c] = limited(values[i] + bias[c] + residuals[i][c], limits[0], limits[1]);
        }
        assert_same_bits(actual, expected, 4 * STRIDE);
        pb_release(&products);
        pb_release(&bias);
        pb_release(&residual);
        pb_release(&actual);
        pb_release(&expected);
    }
}
