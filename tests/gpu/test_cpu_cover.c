/* What a cover holds: points, centres, and what it does when it gets no memory. Selection by it: the other test_cpu_cover_*.c. */
#include "base/fault.h"
#include "cover_points.h"
#include "cover_rounds.h"
#include "gpu/cpu_cover.h"

#include <signal.h>
#include <stdio.h>

typedef struct fixture {
    pb_device *device;
    pb_cover *cover;
    float *rows;
    size_t n;
    int dim;
} fixture;

static fixture filled(int threads, kind k, size_t n, int dim) {
    fixture f = {.rows = numbers(k, 0, n * (size_t)dim), .n = n, .dim = dim};
    int64_t not_finite;
    assert_done(pb_device_open("cpu", threads, &f.device));
    assert_done(pb_device_cover_create(f.device, n, dim, 0, &f.cover));
    assert_done(pb_device_cover_write(f.device, f.cover, 0, n, f.rows, &not_finite));
    cr_assert_eq(not_finite, -1);
    return f;
}

static void release(fixture *f) {
    pb_device_cover_free(f->device, &f->cover);
    cr_assert_null(f->cover);
    pb_release(&f->rows);
    pb_device_close(&f->device);
}

Test(cpu_cover, reads_what_was_written_bit_for_bit) {
    static const int DIMS[] = {1, 16, 17, 67};
    for (int threads = 1; threads <= 3; threads += 2)
        for (int k = 0; k < KINDS; k++)
            for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++) {
                fixture f = filled(threads, (kind)k, 2500, DIMS[d]);
                float *rows = constants(NAN, 7 * (size_t)f.dim);
                for (size_t i = 0, count; i < f.n; i += count) {
                    count = i % 7 + 1 < f.n - i ? i % 7 + 1 : f.n - i;
                    assert_done(pb_device_cover_read(f.device, f.cover, i, count, rows));
                    assert_same_bits(rows, f.rows + i * (size_t)f.dim, count * (size_t)f.dim);
                }
                assert_done(pb_device_cover_read(f.device, f.cover, f.n, 0, NULL));
                pb_release(&rows);
                release(&f);
            }
}

Test(cpu_cover, names_the_least_point_that_is_not_finite) {
    enum { N = 3000, DIM = 30, FIRST = 17 };
    static const struct {
        size_t point;
        int k;
        float value;
    } BAD[] = {{2999, 0, INFINITY}, {1500, 29, NAN}, {1500, 3, -INFINITY}, {33, 14, -NAN}, {32, 29, NAN}, {0, 0, INFINITY}};
    for (int threads = 1; threads <= 3; threads++) {
        pb_device *device;
        pb_cover *cover;
        float *rows = numbers(MIXED, 0, N * DIM);
        int64_t not_finite;
        assert_done(pb_device_open("cpu", threads, &device));
        assert_done(pb_device_cover_create(device, N + FIRST, DIM, 5, &cover));
        for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
            rows[BAD[i].point * DIM + (size_t)BAD[i].k] = BAD[i].value;
            assert_done(pb_device_cover_write(device, cover, FIRST, N, rows, &not_finite));
            cr_assert_eq(not_finite, (int64_t)(FIRST + BAD[i].point));
        }
        pb_device_cover_free(device, &cover);
        pb_release(&rows);
        pb_device_close(&device);
    }
}

/* Many centres at once, as when a selection goes on where it was interrupted: the first is met at once, the others in time. */
Test(cpu_cover, takes_many_centres_at_once) {
    enum { N = 900, CENTRES = 600 };
    static const int DIMS[] = {5, 40};
    for (size_t d = 0; d < 2; d++) {
        const size_t dim = (size_t)DIMS[d];
        fixture f = filled(2, UNIFORM, N, DIMS[d]);
        float *exact = constants(INFINITY, N);
        uint64_t due = 0, most, key;
        size_t count;
        assert_done(pb_device_cover_add(f.device, f.cover, f.rows, CENTRES));
        assert_done(pb_device_cover_refresh(f.device, f.cover, UINT64_MAX, &count, &most)); /* no one meets any more */
        cr_assert_eq(count, 0);
        for (size_t c = 0; c < CENTRES; c++) {
            due = pb_ref_greedy_step(f.rows, N, DIMS[d], f.rows + c * dim, exact);
            if (c == 0)
                cr_assert(most >= due && pb_packed_distance2(most) < pb_packed_distance2(due) * 1.001f);
        }
        assert_done(pb_device_cover_refresh(f.device, f.cover, 0, &count, &most));
        cr_assert_eq(count, N);
        assert_done(pb_device_cover_settle(f.device, f.cover, &count));
        for (size_t i = 0; i < N; i++)
            cr_assert(pb_float_bits(f.cover->bounds[i]) == pb_float_bits(exact[i]));
        assert_done(pb_device_cover_key(f.device, f.cover, 0, &key));
        cr_assert_eq(key, due);
        pb_release(&exact);
        release(&f);
    }
}

Test(cpu_cover, may_have_no_points) {
    fixture f = filled(2, UNIFORM, 0, 20);
    float *centre = numbers(UNIFORM, 1, 20);
    uint64_t most = 1, key = 1, next = 1;
    size_t count = 1, made = 1;
    assert_done(pb_device_cover_add(f.device, f.cover, centre, 1));
    assert_done(pb_device_cover_refresh(f.device, f.cover, 0, &count, &most));
    cr_assert_eq(count, 0);
    cr_assert_eq(most, 0);
    assert_done(pb_device_cover_settle(f.device, f.cover, &count));
    assert_done(pb_device_cover_key(f.device, f.cover, 0, &key));
    cr_assert_eq(key, 0);
    assert_done(pb_device_cover_raise(f.device, f.cover, 5, &count));
    cr_assert_eq(count, 0);
    assert_done(pb_device_cover_candidates(f.device, f.cover, NULL, NULL));
    assert_done(pb_device_cover_select(f.device, f.cover, NULL, NULL, 0, 0, 0, NULL, NULL, &made, &next));
    cr_assert_eq(made, 0);
    cr_assert_eq(next, 0);
    assert_done(pb_device_cover_update(f.device, f.cover, NULL, 0));
    pb_release(&centre);
    release(&f);
}

Test(cpu_cover, indices_reach_the_last_one) {
    enum { N = 40, DIM = 18 };
    float *rows = feature_points(N, DIM);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, DIM, UINT32_MAX - 1 - N, 3, 11);
    run_rounds(&r, N);
    end_rounds(&r);
    pb_release(&rows);
}

/* Each allocation of a life in turn fails: a status, nothing lost, and the next life goes well. */
static pb_status live(pb_device *device, const float *rows, size_t n, int dim) {
    pb_cover *cover = NULL;
    int64_t not_finite;
    size_t count, made;
    uint64_t most, next, picked[4];
    float distance2[4], *copies = constants(0, n * (size_t)dim);
    pb_candidate *candidates = NULL;
    pb_status status = pb_device_cover_create(device, n, dim, 0, &cover);
    cr_assert((cover == NULL) == pb_failed(&status));
    if (!pb_failed(&status))
        status = pb_device_cover_write(device, cover, 0, n, rows, &not_finite);
    for (int attempt = 0; attempt < 2 && !pb_failed(&status); attempt++) /* 300 centres: the room grows */
        status = pb_device_cover_add(device, cover, rows, n / 2);
    if (!pb_failed(&status))
        status = pb_device_cover_refresh(device, cover, 0, &count, &most);
    if (!pb_failed(&status))
        status = pb_allocate(&candidates, n, sizeof *candidates, "test candidates");
    if (!pb_failed(&status))
        status = pb_device_cover_candidates(device, cover, candidates, copies);
    if (!pb_failed(&status))
        status = pb_device_cover_select(device, cover, candidates, copies, n, 0, 4, picked, distance2, &made, &next);
    pb_device_cover_free(device, &cover);
    pb_release(&candidates);
    pb_release(&copies);
    return status;
}

static void check_refusals(int dim) {
    enum { N = 300 };
    pb_device *device;
    float *rows = numbers(UNIFORM, 0, N * (size_t)dim);
    assert_done(pb_device_open("cpu", 2, &device));
    int hit = 2; /* the first is the test's own */
    for (bool refused = true; refused; hit++) {
        char specification[32];
        cr_assert(hit < 100);
        snprintf(specification, sizeof specification, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(specification, 0));
        pb_status status = live(device, rows, N, dim);
        assert_done(pb_fault_arm("", 0));
        refused = pb_failed(&status);
        cr_assert(!refused || status.code == PB_E_SYSTEM);
    }
    cr_assert(hit > 20);
    pb_release(&rows);
    pb_device_close(&device);
}

Test(cpu_cover, memory_that_is_refused_is_a_status) {
    check_refusals(5);
    check_refusals(20);
}

Test(cpu_cover, more_than_there_is_memory_for_is_a_status) {
    pb_device *device;
    pb_cover *cover;
    assert_done(pb_device_open("cpu", 1, &device));
    pb_status status = pb_device_cover_create(device, UINT32_MAX - 2, INT32_MAX, 0, &cover);
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_null(cover);
    pb_device_close(&device);
}

/* After an error of the first centre another attempt is possible, and nothing of the first is lost (the sanitizers look). */
Test(cpu_cover, a_failed_first_centre_may_be_added_again) {
    fixture f = filled(1, UNIFORM, 50, 20);
    for (int hit = 1; hit < 20; hit++) {
        char specification[32];
        snprintf(specification, sizeof specification, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(specification, 0));
        pb_status status = pb_device_cover_add(f.device, f.cover, f.rows, 1);
        assert_done(pb_fault_arm("", 0));
        if (!pb_failed(&status))
            break;
        cr_assert(hit < 15);
    }
    uint64_t most, due;
    size_t count;
    float *exact = constants(INFINITY, 50);
    due = pb_ref_greedy_step(f.rows, 50, 20, f.rows, exact);
    assert_done(pb_device_cover_refresh(f.device, f.cover, 0, &count, &most));
    assert_done(pb_device_cover_settle(f.device, f.cover, &count));
    assert_done(pb_device_cover_key(f.device, f.cover, 0, &most));
    cr_assert_eq(most, due);
    pb_release(&exact);
    release(&f);
}

Test(cpu_cover, a_write_beyond_the_capacity_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    int64_t not_finite;
    pb_status status = pb_device_cover_write(f.device, f.cover, 8, 3, f.rows, &not_finite);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_cover, a_write_after_the_first_centre_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    int64_t not_finite;
    assert_done(pb_device_cover_add(f.device, f.cover, f.rows, 1));
    pb_status status = pb_device_cover_write(f.device, f.cover, 0, 1, f.rows, &not_finite);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_cover, a_place_after_the_first_centre_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    assert_done(pb_device_cover_add(f.device, f.cover, f.rows, 1));
    pb_device_cover_place(f.device, f.cover, 3);
}

Test(cpu_cover, a_place_beyond_the_last_index_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    pb_device_cover_place(f.device, f.cover, UINT32_MAX - 10);
}

Test(cpu_cover, reading_a_point_that_is_not_there_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    float row[2 * 2];
    pb_status status = pb_device_cover_read(f.device, f.cover, 9, 2, row);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_cover, a_refresh_before_the_first_centre_is_a_defect, .signal = SIGABRT) {
    fixture f = filled(1, UNIFORM, 10, 2);
    size_t count;
    uint64_t most;
    pb_status status = pb_device_cover_refresh(f.device, f.cover, 0, &count, &most);
    cr_assert_fail("returned %d", status.code);
}
