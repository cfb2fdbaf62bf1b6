#include "arrays.h"
#include "base/fault.h"
#include "gpu/ref.h"

#include <signal.h>
#include <stdio.h>

static const int THREADS[] = {1, 2, 3};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static pb_device *opened(const char *name, int threads) {
    pb_device *device;
    assert_done(pb_device_open(name, threads, &device));
    return device;
}

/* A device with n points of a kind; rows are theirs. */
typedef struct fixture {
    pb_device *device;
    pb_points *points;
    float *rows;
    size_t n;
    int dim;
} fixture;

static fixture filled(int threads, kind k, size_t n, int dim) {
    fixture f = {.device = opened("cpu", threads), .rows = numbers(k, 0, n * (size_t)dim), .n = n, .dim = dim};
    int64_t not_finite;
    assert_done(pb_device_points_create(f.device, n, dim, &f.points));
    assert_done(pb_device_points_write(f.device, f.points, 0, n, f.rows, &not_finite));
    cr_assert_eq(not_finite, -1);
    return f;
}

static void release(fixture *f) {
    pb_device_points_free(f->device, &f->points);
    cr_assert_null(f->points);
    pb_release(&f->rows);
    pb_device_close(&f->device);
}

static void assert_holds(const fixture *f, const float *rows, size_t n) {
    float *row = constants(NAN, (size_t)f->dim);
    for (size_t i = 0; i < n; i++) {
        assert_done(pb_device_points_read(f->device, f->points, i, row));
        assert_same_bits(row, rows + i * (size_t)f->dim, (size_t)f->dim);
    }
    pb_release(&row);
}

Test(cpu_points, reads_what_was_written_bit_for_bit) {
    for (size_t t = 0; t < LENGTH(THREADS); t++)
        for (int k = 0; k < KINDS; k++) {
            fixture f = filled(THREADS[t], (kind)k, 131, 67); /* more than a strip of dimensions, not whole tiles */
            assert_holds(&f, f.rows, f.n);
            release(&f);
        }
}

/* Writes of every length at every place of three tiles, over what was there. */
Test(cpu_points, overwrites_exactly_the_points_named) {
    enum { N = 96, DIM = 2 };
    fixture f = filled(2, UNIFORM, N, DIM);
    float *fresh = numbers(UNIFORM, 1, N * DIM), *wanted = numbers(UNIFORM, 0, N * DIM);
    for (size_t first = 0; first < N; first += 5)
        for (size_t count = 0; first + count <= N; count += 7) {
            int64_t not_finite;
            assert_done(pb_device_points_write(f.device, f.points, first, count, fresh, &not_finite));
            cr_assert_eq(not_finite, -1);
            memcpy(wanted + first * DIM, fresh, count * DIM * sizeof *fresh);
            assert_holds(&f, wanted, N);
        }
    pb_release(&fresh);
    pb_release(&wanted);
    release(&f);
}

Test(cpu_points, a_write_makes_points_new_to_the_centres) {
    fixture f = filled(1, UNIFORM, 40, 3);
    float *distance2 = constants(INFINITY, 40);
    uint64_t best;
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows, &best));
    pb_ref_greedy_step(f.rows, 40, 3, f.rows, distance2);
    int64_t not_finite; /* points 30 .. 34 are written again as they were: only their distances are forgotten */
    assert_done(pb_device_points_write(f.device, f.points, 30, 5, f.rows + 30 * 3, &not_finite));
    for (int i = 30; i < 35; i++)
        distance2[i] = INFINITY;
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows + 3, &best));
    cr_assert_eq(best, pb_ref_greedy_step(f.rows, 40, 3, f.rows + 3, distance2));
    pb_release(&distance2);
    release(&f);
}

/* The index counts from first_index, whichever thread finds the point; the distances do not change with it. */
Test(cpu_points, greedy_steps_count_from_a_first_index) {
    enum { N = 300, DIM = 3 };
    uint64_t plain = 0, shifted = 0;
    fixture f = filled(2, UNIFORM, N, DIM);
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows, &plain));
    assert_done(pb_device_greedy_step(f.device, f.points, UINT32_MAX - 1 - N, f.rows, &shifted));
    cr_assert_eq(pb_farthest_index(shifted), UINT32_MAX - 1 - N + pb_farthest_index(plain));
    cr_assert_eq(shifted >> 32, plain >> 32);
    release(&f);
}

Test(cpu_points, clear_forgets_points_and_distances) {
    fixture f = filled(2, UNIFORM, 100, 5);
    float *distance2 = constants(INFINITY, 100), *few = numbers(UNIFORM, 3, 10 * 5);
    uint64_t best, expected = PB_NEAREST_NONE, nearest = PB_NEAREST_NONE;
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows, &best));
    pb_device_points_clear(f.device, f.points);
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows, &best));
    cr_assert_eq(best, 0);
    assert_done(pb_device_nearest(f.device, f.points, 0, f.rows, 1, &nearest));
    cr_assert_eq(nearest, PB_NEAREST_NONE);

    int64_t not_finite; /* the same room again, for fewer points: the old ones beyond must not come back */
    assert_done(pb_device_points_write(f.device, f.points, 0, 10, few, &not_finite));
    assert_done(pb_device_greedy_step(f.device, f.points, 0, f.rows + 55, &best));
    cr_assert_eq(best, pb_ref_greedy_step(few, 10, 5, f.rows + 55, distance2));
    assert_done(pb_device_nearest(f.device, f.points, 7, f.rows + 55, 1, &nearest));
    pb_ref_nearest(few, 10, 5, 7, f.rows + 55, 1, &expected);
    cr_assert_eq(nearest, expected);
    pb_release(&distance2);
    pb_release(&few);
    release(&f);
}

Test(cpu_points, names_the_least_point_that_is_not_finite) {
    enum { N = 200, DIM = 130, FIRST = 17 };
    static const struct {
        size_t point;
        int k;
        float value;
    } BAD[] = {{199, 0, INFINITY}, {150, 129, NAN}, {150, 3, -INFINITY}, {33, 64, -NAN}, {32, 129, NAN}, {31, 5, NAN},
               {0, 0, INFINITY}};
    for (size_t t = 0; t < LENGTH(THREADS); t++) {
        pb_device *device = opened("cpu", THREADS[t]);
        pb_points *points;
        float *rows = numbers(MIXED, 0, N * DIM);
        int64_t not_finite;
        assert_done(pb_device_points_create(device, N + FIRST, DIM, &points));
        for (size_t i = 0; i < LENGTH(BAD); i++) {
            rows[BAD[i].point * DIM + (size_t)BAD[i].k] = BAD[i].value;
            assert_done(pb_device_points_write(device, points, FIRST, N, rows, &not_finite));
            cr_assert_eq(not_finite, (int64_t)(FIRST + BAD[i].point));
        }
        pb_device_points_free(device, &points);
        pb_release(&rows);
        pb_device_close(&device);
    }
}

/* The largest finite numbers, denormals and both zeros are sound. */
Test(cpu_points, extremes_are_finite) {
    pb_device *device = opened("cpu", 1);
    pb_points *points;
    const float rows[] = {FLT_MAX, -FLT_MAX, 0x1p-149f, -0x1p-149f, 0.0f, -0.0f, FLT_MIN, -FLT_MIN};
    int64_t not_finite;
    assert_done(pb_device_points_create(device, 8, 1, &points));
    assert_done(pb_device_points_write(device, points, 0, 8, rows, &not_finite));
    cr_assert_eq(not_finite, -1);
    pb_device_points_free(device, &points);
    pb_device_close(&device);
}

static void check_picks(int threads, kind k, size_t n, int dim) {
    fixture f = filled(threads, k, n, dim);
    float *distance2 = constants(INFINITY, n);
    size_t pick = 0;
    for (int step = 0; step < 20; step++) {
        const float *centre = f.rows + pick * (size_t)dim;
        uint64_t best;
        assert_done(pb_device_greedy_step(f.device, f.points, 0, centre, &best));
        cr_assert_eq(best, pb_ref_greedy_step(f.rows, n, dim, centre, distance2));
        pick = pb_farthest_index(best);
    }
    pb_release(&distance2);
    release(&f);
}

Test(cpu_points, greedy_picks_are_the_same_for_any_threads) {
    static const size_t SIZES[] = {1, 31, 32, 33, 64, 65, 96, 97, 1000};
    for (size_t t = 0; t < LENGTH(THREADS); t++)
        for (int k = 0; k < KINDS; k++)
            for (size_t s = 0; s < LENGTH(SIZES); s++)
                check_picks(THREADS[t], (kind)k, SIZES[s], k == TIES ? 2 : 9);
}

/* When all points are centres or equal to one, everything is at 0 and the least index is the best. */
Test(cpu_points, duplicates_stay_at_zero) {
    pb_device *device = opened("cpu", 2);
    pb_points *points;
    float *rows = constants(1.5f, 70 * 4);
    int64_t not_finite;
    uint64_t best;
    rows[69 * 4] = 3.5f;
    assert_done(pb_device_points_create(device, 70, 4, &points));
    assert_done(pb_device_points_write(device, points, 0, 70, rows, &not_finite));
    assert_done(pb_device_greedy_step(device, points, 0, rows, &best));
    cr_assert_eq(best, pb_pack_farthest(4.0f, 69));
    assert_done(pb_device_greedy_step(device, points, 0, rows + 69 * 4, &best));
    cr_assert_eq(best, pb_pack_farthest(0.0f, 0));
    pb_device_points_free(device, &points);
    pb_release(&rows);
    pb_device_close(&device);
}

static void check_search(int threads, kind k, size_t n, int dim, size_t count) {
    fixture f = filled(threads, k, n, dim);
    float *queries = numbers(k, 1, count * (size_t)dim);
    uint64_t *actual = unseen(count), *expected = unseen(count);
    for (size_t q = 0; q < count; q += 3) /* some have seen a neighbour of their own before */
        actual[q] = expected[q] = pb_pack_nearest(q % 2 ? 0.25f : 0.0f, (uint32_t)(q % 5));
    assert_done(pb_device_nearest(f.device, f.points, 3, queries, count, actual));
    pb_ref_nearest(f.rows, n, dim, 3, queries, count, expected);
    for (size_t q = 0; q < count; q++)
        cr_assert(actual[q] == expected[q], "threads %d kind %d n %zu query %zu of %zu", threads, k, n, q, count);
    pb_release(&queries);
    pb_release(&actual);
    pb_release(&expected);
    release(&f);
}

Test(cpu_points, nearest_is_the_same_for_any_threads) {
    static const size_t SIZES[] = {0, 1, 33, 500}, COUNTS[] = {0, 1, 239, 240, 241, 500};
    for (size_t t = 0; t < LENGTH(THREADS); t++)
        for (int k = 0; k < KINDS; k++)
            for (size_t s = 0; s < LENGTH(SIZES); s++)
                for (size_t c = 0; c < LENGTH(COUNTS); c++)
                    check_search(THREADS[t], (kind)k, SIZES[s], k == TIES ? 2 : 7, COUNTS[c]);
    check_search(2, UNIFORM, 70, 3000, 50); /* wide rows: several chunks of the least height */
}

Test(cpu_points, indices_reach_the_last_one) {
    fixture f = filled(2, UNIFORM, 40, 2);
    uint64_t nearest = PB_NEAREST_NONE;
    assert_done(pb_device_nearest(f.device, f.points, UINT32_MAX - 40, f.rows + 39 * 2, 1, &nearest));
    cr_assert_eq(nearest, pb_pack_nearest(0.0f, UINT32_MAX - 1));
    release(&f);
}

Test(cpu_points, capacity_may_be_nothing) {
    fixture f = filled(2, UNIFORM, 0, 5);
    uint64_t best = 1, nearest = PB_NEAREST_NONE;
    float *query = numbers(UNIFORM, 0, 5);
    assert_done(pb_device_greedy_step(f.device, f.points, 0, query, &best));
    assert_done(pb_device_nearest(f.device, f.points, 0, query, 1, &nearest));
    cr_assert_eq(best, 0);
    cr_assert_eq(nearest, PB_NEAREST_NONE);
    pb_device_points_clear(f.device, f.points);
    pb_release(&query);
    release(&f);
}

Test(cpu_points, no_memory_is_a_status_and_no_points) {
    pb_device *device = opened("cpu", 1);
    for (int hit = 1; hit <= 3; hit++) { /* of the three allocations */
        char specification[32];
        snprintf(specification, sizeof specification, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(specification, 0));
        pb_points *points = NULL;
        pb_status status = pb_device_points_create(device, 100, 3, &points);
        cr_assert_eq(status.code, PB_E_SYSTEM);
        cr_assert_null(points);
    }
    assert_done(pb_fault_arm("", 0));
    pb_points *points = NULL;
    pb_status status = pb_device_points_create(device, UINT32_MAX - 1, INT32_MAX, &points);
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_null(points);
    pb_device_close(&device);
}

Test(cpu_points, a_write_beyond_the_capacity_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    int64_t not_finite;
    pb_status status = pb_device_points_write(f.device, f.points, 8, 3, f.rows, &not_finite);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_points, reading_a_point_that_is_not_there_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    float row[2];
    pb_status status = pb_device_points_read(f.device, f.points, 10, row);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_points, an_index_that_does_not_fit_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    uint64_t nearest = PB_NEAREST_NONE;
    pb_status status = pb_device_nearest(f.device, f.points, UINT32_MAX - 9, f.rows, 1, &nearest);
    cr_assert_fail("returned %d", status.code);
}
