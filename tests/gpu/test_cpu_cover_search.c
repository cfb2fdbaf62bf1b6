#include "arrays.h"
#include "gpu/cpu_cover_search.h"
#include "gpu/ref.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Rows to search among. */
typedef struct bank {
    const float *rows;
    int dim;
} bank;

static void read_row(const void *context, size_t index, float *row) {
    const bank *b = context;
    memcpy(row, b->rows + index * (size_t)b->dim, (size_t)b->dim * sizeof *row);
}

static pb_device *opened(const char *name, int threads) {
    pb_device *device;
    assert_done(pb_device_open(name, threads, &device));
    return device;
}

/* Points near a plane of few dimensions, as features are, so that axes tell much. */
static float *features(uint32_t substream, size_t n, int dim) {
    enum { TRUE_DIMS = 5 };
    float *rows = numbers(UNIFORM, substream, n * (size_t)dim), *plane = numbers(UNIFORM, 9, TRUE_DIMS * (size_t)dim);
    for (size_t i = 0; i < n; i++) {
        float at[TRUE_DIMS];
        for (int h = 0; h < TRUE_DIMS; h++)
            at[h] = rows[i * (size_t)dim + (size_t)h];
        for (size_t k = 0; k < (size_t)dim; k++) {
            float *value = &rows[i * (size_t)dim + k];
            *value *= 0.05f;
            for (size_t h = 0; h < TRUE_DIMS; h++)
                *value += at[h] * plane[h * (size_t)dim + k];
        }
    }
    pb_release(&plane);
    return rows;
}

/* Searches twice, with indices from 3000 on and then from 40 on, as the twin does; frees the arrays. Returns how many queries the
 * first search was done for, SIZE_MAX where there is no filter. */
static size_t check(const char *set, int threads, float *rows, size_t n, float *queries, size_t count, int dim) {
    static const uint32_t FIRSTS[] = {3000, 40};
    const bank from = {rows, dim};
    pb_device *device = opened(set, threads);
    pb_cover *cover;
    uint64_t *actual = unseen(count), *expected = unseen(count);
    size_t done = SIZE_MAX;
    if (count > 2)
        actual[2] = expected[2] = 1; /* nothing is nearer */
    assert_done(pb_cover_search_begin(device, n, dim, read_row, &from, &cover));
    for (size_t f = 0; f < LENGTH(FIRSTS) && cover; f++) {
        done = pb_cover_search(cover, FIRSTS[f], queries, count, actual);
        pb_ref_nearest(rows, n, dim, FIRSTS[f], queries, done, expected);
        for (size_t q = 0; q < count; q++)
            cr_assert(actual[q] == expected[q], "%s, %d threads, n %zu dim %d query %zu of %zu: %llx, not %llx", set, threads, n,
                      dim, q, count, (unsigned long long)actual[q], (unsigned long long)expected[q]);
    }
    pb_cpu_cover_free(device, cover);
    pb_device_close(&device);
    pb_release(&rows);
    pb_release(&queries);
    pb_release(&actual);
    pb_release(&expected);
    return done;
}

static const char *const SETS[] = {"cpu", "cpu:avx2", "cpu:plain"};

static bool has(const char *set) {
    const char *colon = strchr(set, ':');
    return pb_cpu_kernels_choose(colon ? colon + 1 : NULL) != NULL;
}

/* Around tiles of 16, chunks of 256 rows and blocks of 1,024 queries. */
static const struct {
    size_t n;
    int dim;
    size_t count;
} SHAPES[] = {{1, 17, 1}, {15, 20, 17}, {257, 33, 100}, {600, 48, 1030}, {300, 150, 2100}};

Test(cpu_cover_search, is_the_twins) {
    for (size_t set = 0; set < LENGTH(SETS); set++)
        for (size_t s = 0; s < LENGTH(SHAPES) && has(SETS[set]); s++)
            for (int threads = 1; threads <= 3; threads += 2) {
                const size_t n = SHAPES[s].n, count = SHAPES[s].count;
                const int dim = SHAPES[s].dim;
                const size_t done = check(SETS[set], threads, features(0, n, dim), n, features(1, count, dim), count, dim);
                cr_assert(done == count || n == 1, "%zu of %zu", done, count); /* one point has no axes */
                (void)check(SETS[set], threads, numbers(MIXED, 0, n * (size_t)dim), n, numbers(MIXED, 1, count * (size_t)dim),
                            count, dim);
            }
}

/* Many equal distances, among them zeros, whatever is looked at first: the smallest index. */
Test(cpu_cover_search, ties_go_to_the_smallest_index) {
    enum { N = 700, DIM = 18, COUNT = 130, KINDS_OF_ROWS = 40 };
    for (size_t set = 0; set < LENGTH(SETS); set++) {
        if (!has(SETS[set]))
            continue;
        float *rows = features(0, N, DIM), *queries = features(1, COUNT, DIM);
        for (size_t i = KINDS_OF_ROWS; i < N; i++)
            memcpy(rows + i * DIM, rows + i * i % KINDS_OF_ROWS * DIM, DIM * sizeof *rows);
        for (size_t q = 0; q < COUNT; q += 2)
            memcpy(queries + q * DIM, rows + q * 5 % N * DIM, DIM * sizeof *rows);
        cr_assert_eq(check(SETS[set], 2, rows, N, queries, COUNT, DIM), COUNT);
        (void)check(SETS[set], 2, numbers(TIES, 0, N * DIM), N, numbers(TIES, 1, COUNT * DIM), COUNT, DIM);
    }
}

/* What the margins do not hold for is not done; what comes before it is. */
Test(cpu_cover_search, leaves_queries_without_margins) {
    enum { N = 300, DIM = 20, COUNT = 2500, BAD = 2100 };
    static const float VALUES[] = {NAN, INFINITY, FLT_MAX};
    for (size_t v = 0; v < LENGTH(VALUES); v++) {
        float *queries = features(1, COUNT, DIM);
        queries[BAD * DIM + 7] = VALUES[v];
        cr_assert_eq(check("cpu", 2, features(0, N, DIM), N, queries, COUNT, DIM), 2 * PB_COVER_BLOCK);
    }
    static const kind NONE[] = {DENORMALS, HUGE_ONES};
    for (size_t k = 0; k < LENGTH(NONE); k++)
        cr_assert_eq(check("cpu", 1, numbers(NONE[k], 0, N * DIM), N, features(1, 9, DIM), 9, DIM), SIZE_MAX);
    cr_assert_eq(check("cpu", 1, features(0, N, 16), N, features(1, 9, 16), 9, 16), SIZE_MAX);
}

/* Whether it pays is seen: axes of a plane, and of a cloud that has none. */
Test(cpu_cover_search, knows_whether_it_pays) {
    enum { N = 1500, DIM = 64, COUNT = 1024 };
    for (int cloud = 0; cloud <= 1; cloud++) {
        float *rows = cloud ? numbers(UNIFORM, 0, N * DIM) : features(0, N, DIM);
        float *queries = cloud ? numbers(UNIFORM, 1, COUNT * DIM) : features(1, COUNT, DIM);
        const bank from = {rows, DIM};
        pb_device *device = opened("cpu", 1);
        pb_cover *cover;
        uint64_t *nearest = unseen(COUNT);
        assert_done(pb_cover_search_begin(device, N, DIM, read_row, &from, &cover));
        cr_assert_not_null(cover);
        cr_assert_eq(cover->centre_room, 1536); /* whole chunks, and no more */
        cr_assert_eq(pb_cover_search(cover, 0, queries, COUNT, nearest), COUNT);
        cr_assert_eq(pb_cover_search_pays(cover), !cloud);
        pb_cpu_cover_free(device, cover);
        pb_device_close(&device);
        pb_release(&rows);
        pb_release(&queries);
        pb_release(&nearest);
    }
}

/* The device makes a filter when enough was searched, and another when points are written: every answer is the twin's. */
Test(cpu_cover_search, is_how_a_device_searches) {
    enum { N = 2100, DIM = 24, COUNT = 1100, ROUNDS = 3, CHECKED = 60 };
    pb_device *device = opened("cpu", 2);
    pb_points *points;
    int64_t not_finite;
    assert_done(pb_device_points_create(device, N, DIM, &points));
    for (uint32_t written = 0; written < 2; written++) {
        float *rows = features(10 + written, N, DIM);
        assert_done(pb_device_points_write(device, points, 0, N, rows, &not_finite));
        for (uint32_t round = 0; round < ROUNDS; round++) {
            float *queries = features(20 + round, COUNT, DIM);
            uint64_t *actual = unseen(COUNT), *expected = unseen(COUNT);
            queries[(COUNT - 1) * DIM] = round == 2 ? FLT_MAX : 0; /* the plain way, at the end */
            assert_done(pb_device_nearest(device, points, 7, queries, COUNT, actual));
            pb_ref_nearest(rows, N, DIM, 7, queries, CHECKED, expected);
            pb_ref_nearest(rows, N, DIM, 7, queries + (COUNT - 1) * DIM, 1, expected + COUNT - 1);
            cr_assert_arr_eq(actual, expected, CHECKED * sizeof *actual);
            cr_assert_eq(actual[COUNT - 1], expected[COUNT - 1]);
            pb_release(&queries);
            pb_release(&actual);
            pb_release(&expected);
        }
        pb_release(&rows);
    }
    pb_device_points_free(device, &points);
    pb_device_close(&device);
}
