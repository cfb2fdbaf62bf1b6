/* cover_cases.h: the tests of covers with one set of kernels, included by test_cpu_cover_SET.c, which names the set and the suite
 * before: SET "avx2", SUITE cpu_cover_avx2. Everything is held against the textbook loop, bit for bit. On a processor that cannot
 * run the set they are skipped.
 */
#include "cover_points.h"
#include "cover_rounds.h"
#include "gpu/cpu_cover.h"

#include <stdlib.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void need_set(void) {
    if (!pb_cpu_kernels_choose(SET))
        cr_skip_test("this processor cannot run " SET);
}

static void check(float *rows, size_t n, int dim, size_t picks, int ranks, uint64_t seed) {
    check_rounds("cpu:" SET, 1, ranks, rows, n, dim, picks, seed);
}

/* Small and large dimensions, around those from which points are filtered, and not a multiple of what kernels take at once. */
static const int DIMS[] = {1, 3, 16, 17, 31, 48, 128, 152};

static void check_maker(points_maker *make, int dim, uint64_t seed) {
    enum { N = 300, PICKS = 130 };
    float *rows = make(N, dim);
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        check(rows, N, dim, PICKS, ranks, seed + (uint64_t)ranks);
    pb_release(&rows);
}

Test(SUITE, picks_are_the_textbooks) {
    need_set();
    for (int m = 0; m < MAKERS_COUNT; m++)
        for (size_t d = 0; d < LENGTH(DIMS); d++)
            check_maker(MAKERS[m].make, DIMS[d], (uint64_t)m * 1000 + d * 10);
}

/* Bits of sums differ only sometimes: more points, more centres to choose from. */
Test(SUITE, picks_are_the_textbooks_where_margins_matter) {
    need_set();
    points_maker *makers[] = {shuffled_points, distant_points, island_points};
    for (size_t m = 0; m < LENGTH(makers); m++) {
        float *rows = makers[m](2000, 40);
        check(rows, 2000, 40, 600, 1, m + 5000);
        pb_release(&rows);
    }
}

/* Sizes around tiles of points. */
Test(SUITE, picks_are_the_textbooks_for_few_points) {
    need_set();
    for (size_t n = 1; n <= 50; n += n < 34 ? 1 : 7) {
        float *rows = feature_points(n, 20);
        for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
            check(rows, n, 20, n, ranks, n * 3);
        pb_release(&rows);
    }
}

/* More than one block, for several threads, and more than one chunk of centres. */
Test(SUITE, picks_are_the_textbooks_for_many_points) {
    need_set();
    float *rows = feature_points(12000, 17);
    for (int threads = 1; threads <= 3; threads++)
        check_rounds("cpu:" SET, threads, 1, rows, 12000, 17, 40, 77);
    check_rounds("cpu:" SET, 2, 2, rows, 1500, 17, 700, 78);
    pb_release(&rows);
}

static void check_scale(float scale, int dim) {
    enum { N = 200 };
    float *rows = feature_points(N, dim);
    for (size_t i = 0; i < N * (size_t)dim; i++)
        rows[i] *= scale;
    check(rows, N, dim, 60, 2, (uint64_t)dim);
    pb_release(&rows);
}

Test(SUITE, picks_are_the_textbooks_at_any_scale) {
    need_set();
    for (int exponent = -30; exponent <= 30; exponent += 3)
        check_scale((float)pow(10, exponent), exponent % 2 ? 33 : 128);
}

/* All kinds of numbers of arrays.h, also such that squares underflow or overflow. */
Test(SUITE, picks_are_the_textbooks_for_any_numbers) {
    need_set();
    for (int k = 0; k < KINDS; k++) {
        float *rows = numbers((kind)k, 0, 200 * 33);
        for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
            check(rows, 200, 33, 60, ranks, (uint64_t)(k * 10 + ranks));
        pb_release(&rows);
    }
}

/* Distances far below those between groups, down to where squares underflow: the relative error of a sum no longer holds. */
Test(SUITE, picks_are_the_textbooks_among_points_almost_the_same) {
    need_set();
    for (int exponent = -10; exponent >= -70; exponent -= 6) {
        float *rows = numbers(UNIFORM, 0, 200 * 40);
        for (size_t i = 0; i < 200; i++) /* one large component, of five values; the others are tiny */
            for (size_t k = 0; k < 40; k++)
                rows[i * 40 + k] = k == 7 ? (float)(i % 5) : ldexpf(rows[i * 40 + k], exponent);
        check(rows, 200, 40, 120, 1, (uint64_t)-exponent);
        check(rows, 200, 40, 120, 3, (uint64_t)-exponent);
        pb_release(&rows);
    }
}

/* Ranks whose points are not alike: candidates longer than any point of the first rank, up to where it has to give up
 * filtering. */
static void check_unlike(float factor) {
    enum { N = 240, DIM = 36 };
    float *rows = feature_points(N, DIM);
    for (size_t i = N / 2 * DIM; i < N * DIM; i++)
        rows[i] = rows[i] * factor + factor;
    for (int ranks = 2; ranks <= RANKS_MAX; ranks++)
        for (uint64_t seed = 0; seed < 6; seed++)
            check(rows, N, DIM, 150, ranks, seed * 31);
    pb_release(&rows);
}

Test(SUITE, ranks_may_have_unlike_points) {
    need_set();
    static const float FACTORS[] = {1e-30f, 1e-6f, 30.0f, 1e6f, 1e12f, 1e25f, 1e37f};
    for (size_t f = 0; f < LENGTH(FACTORS); f++)
        check_unlike(FACTORS[f]);
}

static rounds begin_filtered(const float *rows, size_t n, int dim) {
    return begin_rounds("cpu:" SET, 1, 1, rows, n, dim, 0, 0, 1);
}

/* What it is all for: most pairs are never measured, few canonically. */
Test(SUITE, few_pairs_are_measured) {
    need_set();
    enum { N = 4000, DIM = 64, PICKS = 200 };
    float *rows = feature_points(N, DIM);
    rounds r = begin_filtered(rows, N, DIM);
    cr_assert(r.covers[0]->filtered);
    while (r.k < PICKS) {
        uint64_t floor = pb_pack_farthest(0.9f * pb_packed_distance2(r.due), 0);
        refresh_all(&r, floor);
        select_all(&r, floor, PICKS - r.k);
    }
    const pb_cover_counts counts = r.covers[0]->work[0].counts;
    cr_assert(counts.filtered < N * PICKS * 6 / 10, "%llu filtered", (unsigned long long)counts.filtered);
    cr_assert(counts.measured < N * PICKS / 40, "%llu measured", (unsigned long long)counts.measured);
    cr_assert(counts.canonical < 2 * PICKS, "%llu canonical", (unsigned long long)counts.canonical);
    cr_assert_eq(counts.plain, 0);
    end_rounds(&r);
    pb_release(&rows);
}

/* Where all directions are alike the filter says little, and most pairs go the plain way. */
Test(SUITE, points_in_a_cloud_go_the_plain_way) {
    need_set();
    enum { N = 4000, DIM = 64, PICKS = 200 };
    float *rows = cloud_points(N, DIM);
    rounds r = begin_filtered(rows, N, DIM);
    while (r.k < PICKS) {
        uint64_t floor = pb_pack_farthest(0.9f * pb_packed_distance2(r.due), 0);
        refresh_all(&r, floor);
        select_all(&r, floor, PICKS - r.k);
    }
    const pb_cover_counts counts = r.covers[0]->work[0].counts;
    const bool fused = strcmp(SET, "plain") != 0; /* without it canonical sums are too slow for that */
    cr_assert(r.covers[0]->filtered);
    cr_assert(fused ? counts.plain > 2 * counts.measured : counts.plain == 0, "%llu measured, %llu plain",
              (unsigned long long)counts.measured, (unsigned long long)counts.plain);
    end_rounds(&r);
    pb_release(&rows);
}

static int falling(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Brings all points of the only rank up to date. */
static void refresh_a_few_at_a_time(rounds *r, size_t few) {
    const pb_cover *cover = r->covers[0];
    uint64_t *keys = unseen(r->n);
    for (size_t stale = few + 1; stale > few;) {
        stale = 0;
        for (uint32_t i = 0; i < r->n; i++)
            if (cover->met[i] < cover->centre_count)
                keys[stale++] = pb_cover_key_of(cover, i);
        qsort(keys, stale, sizeof *keys, falling);
        refresh_all(r, stale > few ? keys[few - 1] : 0);
    }
    pb_release(&keys);
}

/* Points that met a chunk of centres by filter, a few at a time, meet the next one the plain way: bounds that are not exact
 * against distances that are, and all of them close. */
Test(SUITE, both_ways_go_together) {
    need_set();
    enum { N = 2000, DIM = 40 };
    float *rows = shuffled_points(N, DIM);
    rounds r = begin_filtered(rows, N, DIM);
    const pb_cover_counts *counts = &r.covers[0]->work[0].counts;
    for (size_t c = 1; c < 2 * PB_COVER_CHUNK; c++) {
        const size_t point = N + 1 - 2 * c; /* none that is on the diagonal, and none of the first block */
        assert_done(pb_device_cover_add(r.devices[0], r.covers[0], row_of(&r, point), 1));
        textbook_adds(&r, point);
        if (c + 1 == PB_COVER_CHUNK) {
            refresh_a_few_at_a_time(&r, 100);
            cr_assert_eq(counts->plain, 0);
        }
    }
    cr_assert_eq(refresh_all(&r, 0), N);
    cr_assert(counts->plain > 0 || strcmp(SET, "plain") == 0);
    gathered g = gather(&r); /* which looks at each of them */
    release_gathered(&g);
    end_rounds(&r);
    pb_release(&rows);
}

/* Which way is taken: the plain one where margins say nothing. */
Test(SUITE, points_without_margins_are_not_filtered) {
    need_set();
    static const struct {
        float scale;
        int dim;
        bool filtered;
    } CASES[] = {{1, 16, false},       {1, 17, true},        {1, 2048, true},   {1, 2049, false},    {1e-9f, 128, true},
                 {1e-12f, 128, false}, {1e-30f, 128, false}, {1e8f, 128, true}, {1e10f, 128, false}, {1e30f, 128, false},
                 {0, 128, false}};
    for (size_t c = 0; c < LENGTH(CASES); c++) {
        float *rows = cloud_points(20, CASES[c].dim);
        for (size_t i = 0; i < 20 * (size_t)CASES[c].dim; i++)
            rows[i] *= CASES[c].scale;
        rounds r = begin_filtered(rows, 20, CASES[c].dim);
        cr_assert_eq(r.covers[0]->filtered, CASES[c].filtered, "scale %g dim %d", (double)CASES[c].scale, CASES[c].dim);
        run_rounds(&r, 10);
        end_rounds(&r);
        pb_release(&rows);
    }
}

/* A centre from elsewhere, too long for the margins: bounds found until then become canonical. */
Test(SUITE, a_centre_too_long_ends_filtering) {
    need_set();
    enum { N = 100, DIM = 24 };
    float *rows = feature_points(N + 1, DIM), *huge = rows + N * DIM;
    for (int k = 0; k < DIM; k++)
        huge[k] = 1e11f;
    pb_device *device;
    pb_cover *cover;
    int64_t not_finite;
    float *exact = constants(INFINITY, N);
    assert_done(pb_device_open("cpu:" SET, 2, &device));
    assert_done(pb_device_cover_create(device, N, DIM, 0, &cover));
    assert_done(pb_device_cover_write(device, cover, 0, N, rows, &not_finite));
    const float *centres[] = {rows, rows + 5 * DIM, huge, rows + 9 * DIM};
    for (int c = 0; c < 4; c++) {
        uint64_t most, due = pb_ref_greedy_step(rows, N, DIM, centres[c], exact);
        size_t count;
        assert_done(pb_device_cover_add(device, cover, centres[c], 1));
        assert_done(pb_device_cover_refresh(device, cover, 0, &count, &most));
        cr_assert_eq(cover->filtered, c < 2);
        cr_assert(c < 2 ? most > due : most == due); /* not a bound by chance right */
    }
    pb_release(&exact);
    pb_device_cover_free(device, &cover);
    pb_device_close(&device);
    pb_release(&rows);
}
