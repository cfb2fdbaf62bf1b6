/* Points of the "cuda" device, through the front end. */
#include "emulated.h"

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_points, .init = use_emulator);

/* A device with n points of a kind; rows are theirs. */
typedef struct fixture {
    pb_device *device;
    pb_points *points;
    float *rows;
    size_t n;
    int dim;
} fixture;

static int64_t write_points(fixture *f, size_t first, size_t count, const float *rows) {
    const size_t bytes = count * (size_t)f->dim * sizeof *rows;
    int64_t not_finite = -2;
    float *there;
    assert_done(pb_device_alloc(f->device, bytes, &there, "rows"));
    assert_done(pb_device_upload(f->device, there, rows, bytes));
    assert_done(pb_device_points_write(f->device, f->points, first, count, there, &not_finite));
    pb_device_release(f->device, &there);
    return not_finite;
}

static fixture filled(kind k, size_t n, int dim) {
    fixture f = {.rows = numbers(k, 0, n * (size_t)dim), .n = n, .dim = dim};
    assert_done(pb_device_open("cuda:0", 1, &f.device));
    assert_done(pb_device_points_create(f.device, n, dim, &f.points));
    cr_assert_eq(write_points(&f, 0, n, f.rows), -1);
    return f;
}

static void release(fixture *f) {
    pb_device_points_free(f->device, &f->points);
    cr_assert_null(f->points);
    pb_release(&f->rows);
    pb_device_close(&f->device);
    assert_sound();
}

static void assert_holds(const fixture *f, const float *rows) {
    float *row = constants(NAN, (size_t)f->dim), *there;
    const size_t bytes = (size_t)f->dim * sizeof *row;
    assert_done(pb_device_alloc(f->device, bytes, &there, "a row"));
    for (size_t i = 0; i < f->n; i++) {
        assert_done(pb_device_points_read(f->device, f->points, i, there));
        assert_done(pb_device_download(f->device, row, there, bytes));
        assert_same_bits(row, rows + i * (size_t)f->dim, (size_t)f->dim);
    }
    pb_device_release(f->device, &there);
    pb_release(&row);
}

Test(cuda_points, overwrites_exactly_the_points_named) {
    enum { N = 40, DIM = 3 };
    fixture f = filled(MIXED, N, DIM);
    float *fresh = numbers(UNIFORM, 1, N * DIM), *wanted = numbers(MIXED, 0, N * DIM);
    assert_holds(&f, wanted);
    for (size_t first = 0; first < N; first += 5)
        for (size_t count = 0; first + count <= N; count += 7) {
            cr_assert_eq(write_points(&f, first, count, fresh), -1);
            memcpy(wanted + first * DIM, fresh, count * DIM * sizeof *fresh);
            assert_holds(&f, wanted);
        }
    pb_release(&fresh);
    pb_release(&wanted);
    release(&f);
}

Test(cuda_points, names_a_point_that_is_not_finite_by_its_place) {
    fixture f = filled(UNIFORM, 30, 2);
    const float rows[] = {1, 2, 3, -INFINITY, 5, NAN};
    cr_assert_eq(write_points(&f, 20, 3, rows), 21);
    cr_assert_eq(write_points(&f, 20, 1, rows), -1);
    release(&f);
}

/* Indices count from 50; the answer is as if from 0. */
static uint64_t step(const fixture *f, const float *centre) {
    const size_t bytes = (size_t)f->dim * sizeof *centre;
    uint64_t best = 1, *best_there;
    float *there;
    assert_done(pb_device_alloc(f->device, bytes, &there, "a centre"));
    assert_done(pb_device_alloc(f->device, sizeof best, &best_there, "the best"));
    assert_done(pb_device_upload(f->device, there, centre, bytes));
    assert_done(pb_device_greedy_step(f->device, f->points, 50, there, best_there));
    assert_done(pb_device_download(f->device, &best, best_there, sizeof best));
    pb_device_release(f->device, &there);
    pb_device_release(f->device, &best_there);
    return best > 0 ? best + 50 : 0;
}

Test(cuda_points, steps_and_writes_as_the_twin) {
    enum { N = 300, DIM = 5 };
    fixture f = filled(UNIFORM, N, DIM);
    float *distance2 = constants(INFINITY, N);
    size_t pick = 7;
    for (int picks = 0; picks < 20; picks++) {
        uint64_t best = step(&f, f.rows + pick * DIM);
        cr_assert_eq(best, pb_ref_greedy_step(f.rows, N, DIM, f.rows + pick * DIM, distance2));
        pick = pb_farthest_index(best);
    }
    write_points(&f, 30, 5, f.rows + 30 * DIM); /* as they were: only their distances are forgotten */
    for (int i = 30; i < 35; i++)
        distance2[i] = INFINITY;
    cr_assert_eq(step(&f, f.rows), pb_ref_greedy_step(f.rows, N, DIM, f.rows, distance2));
    pb_device_points_clear(f.device, f.points);
    cr_assert_eq(step(&f, f.rows), 0);
    pb_release(&distance2);
    release(&f);
}

static void search(const fixture *f, uint32_t first_index, const float *queries, size_t count, uint64_t *nearest) {
    float *there;
    uint64_t *found;
    assert_done(pb_device_alloc(f->device, count * (size_t)f->dim * sizeof *queries, &there, "queries"));
    assert_done(pb_device_alloc(f->device, count * sizeof *nearest, &found, "results"));
    assert_done(pb_device_upload(f->device, there, queries, count * (size_t)f->dim * sizeof *queries));
    assert_done(pb_device_upload(f->device, found, nearest, count * sizeof *nearest));
    assert_done(pb_device_nearest(f->device, f->points, first_index, there, count, found));
    assert_done(pb_device_download(f->device, nearest, found, count * sizeof *nearest));
    pb_device_release(f->device, &there);
    pb_device_release(f->device, &found);
}

Test(cuda_points, searches_as_the_twin) {
    enum { N = 500, DIM = 20, QUERIES = 150 };
    fixture f = filled(UNIFORM, N, DIM);
    float *queries = numbers(UNIFORM, 1, QUERIES * DIM);
    uint64_t *actual = unseen(QUERIES), *expected = unseen(QUERIES);
    actual[3] = expected[3] = 5; /* nothing is nearer */
    search(&f, 1000, queries, QUERIES, actual);
    pb_ref_nearest(f.rows, N, DIM, 1000, queries, QUERIES, expected);
    cr_assert_arr_eq(actual, expected, QUERIES * sizeof *actual);
    pb_release(&queries);
    pb_release(&actual);
    pb_release(&expected);
    release(&f);
}

/* One call of CUDA's after the other fails. */
static pb_status use_points(pb_device *device, float *rows) {
    int64_t not_finite;
    pb_points *points;
    PB_TRY(pb_device_points_create(device, 3, 2, &points));
    pb_status status = pb_device_points_write(device, points, 0, 3, rows, &not_finite);
    if (!pb_failed(&status))
        status = pb_device_greedy_step(device, points, 0, rows, (uint64_t *)(void *)(rows + 4));
    if (!pb_failed(&status))
        status = pb_device_points_read(device, points, 2, rows);
    if (!pb_failed(&status)) /* queries and results may be the same memory: it is only looked at whether it fails */
        status = pb_device_nearest(device, points, 0, rows, 1, (uint64_t *)(void *)(rows + 4));
    pb_device_points_free(device, &points);
    return status;
}

Test(cuda_points, any_call_of_cuda_may_fail) {
    fixture f = filled(UNIFORM, 1, 1);
    float *rows;
    assert_done(pb_device_alloc(f.device, 6 * sizeof *rows, &rows, "rows"));
    emulator_fail(0, 0);
    assert_done(use_points(f.device, rows));
    const size_t calls = emulator_fail(0, 0), living = emulator_living();
    cr_assert_gt(calls, 15);
    for (size_t call = 1; call <= calls; call++) {
        emulator_fail(call, cudaErrorLaunchFailure);
        pb_status status = use_points(f.device, rows);
        cr_assert_eq(status.code, PB_E_SYSTEM, "call %zu of %zu", call, calls);
        cr_assert_not_null(strstr(status.message, "cuda:0 (Emulator, "), "%s", status.message);
        cr_assert_eq(emulator_living(), living, "call %zu", call);
    }
    cr_assert_eq(emulator_faults(), 0);
    pb_device_release(f.device, &rows);
    release(&f);
}
