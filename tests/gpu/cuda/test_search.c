/* Searches with a filter, through the front end: the bits of one without, whatever the numbers. */
#include "filtered.h"

#include "gpu/cuda/cuda.h"

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_search, .init = use_emulator);

/* A device that filters every search, in pieces of 128 where `small`. */
static pb_device *filtering(bool small) {
    pb_device *device;
    assert_done(pb_device_open("cuda:0", 1, &device));
    pb_cuda_state_of(device)->filter_least = 0;
    if (small)
        pb_cuda_state_of(device)->scratch_most = 1;
    return device;
}

typedef struct asked {
    float *rows, *queries;
    size_t n, count;
    int dim;
} asked;

static pb_status search(pb_device *device, pb_points *points, const asked *a, uint32_t first_index, uint64_t *nearest) {
    const size_t bytes = a->count * (size_t)a->dim * sizeof *a->queries;
    float *there = NULL;
    uint64_t *found = NULL;
    pb_status status = pb_device_alloc(device, bytes, &there, "queries");
    if (!pb_failed(&status))
        status = pb_device_alloc(device, a->count * sizeof *nearest, &found, "results");
    if (!pb_failed(&status))
        status = pb_device_upload(device, there, a->queries, bytes);
    if (!pb_failed(&status))
        status = pb_device_upload(device, found, nearest, a->count * sizeof *nearest);
    if (!pb_failed(&status))
        status = pb_device_nearest(device, points, first_index, there, a->count, found);
    if (!pb_failed(&status))
        status = pb_device_download(device, nearest, found, a->count * sizeof *nearest);
    pb_device_release(device, &there);
    pb_device_release(device, &found);
    return status;
}

/* Loads the points, searches. */
static pb_status load_and_search(pb_device *device, const asked *a, uint32_t first_index, uint64_t *nearest) {
    const size_t bytes = a->n * (size_t)a->dim * sizeof *a->rows;
    int64_t not_finite;
    float *there = NULL;
    pb_points *points = NULL;
    pb_status status = pb_device_points_create(device, a->n, a->dim, &points);
    if (!pb_failed(&status))
        status = pb_device_alloc(device, bytes, &there, "rows");
    if (!pb_failed(&status))
        status = pb_device_upload(device, there, a->rows, bytes);
    if (!pb_failed(&status))
        status = pb_device_points_write(device, points, 0, a->n, there, &not_finite);
    if (!pb_failed(&status))
        status = search(device, points, a, first_index, nearest);
    pb_device_release(device, &there);
    pb_device_points_free(device, &points);
    return status;
}

/* Frees the arrays. */
static void check(bool small, asked a, const char *what) {
    const uint32_t first_index = 12345;
    uint64_t *actual = unseen(a.count), *expected = unseen(a.count);
    pb_device *device = filtering(small);
    if (a.count > 3)
        actual[3] = expected[3] = 5; /* nothing is nearer */
    assert_done(load_and_search(device, &a, first_index, actual));
    pb_ref_nearest(a.rows, a.n, a.dim, first_index, a.queries, a.count, expected);
    for (size_t q = 0; q < a.count; q++)
        cr_assert(actual[q] == expected[q], "%s, n %zu dim %d query %zu of %zu: %llx, not %llx", what, a.n, a.dim, q, a.count,
                  (unsigned long long)actual[q], (unsigned long long)expected[q]);
    pb_device_close(&device);
    assert_sound();
    pb_release(&a.rows);
    pb_release(&a.queries);
    pb_release(&actual);
    pb_release(&expected);
}

static const struct {
    size_t n;
    int dim;
    size_t count;
} SHAPES[] = {{0, 3, 5}, {1, 1, 1}, {200, 4, 0}, {130, 40, 140}, {300, 17, 9}, {140, 200, 30}};

Test(cuda_search, is_the_twins) {
    for (size_t s = 0; s < LENGTH(SHAPES); s++) {
        const size_t n = SHAPES[s].n, count = SHAPES[s].count;
        const int dim = SHAPES[s].dim;
        emulator_turns(ORDERS[s % LENGTH(ORDERS)]);
        for (int k = 0; k < KINDS; k++)
            check(s % 2, (asked){numbers((kind)k, 0, n * (size_t)dim), numbers((kind)k, 1, count * (size_t)dim), n, count, dim},
                  "kind");
        for (int how = LATTICE; how < HARD; how++)
            check(s % 2, (asked){hard_rows((hard)how, 0, n, dim), hard_rows((hard)how, 1, count, dim), n, count, dim}, "hard");
    }
}

/* One that is huge, nearly nothing, or no number, among others of each size. */
Test(cuda_search, single_rows_may_be_anything) {
    enum { N = 300, DIM = 5, COUNT = 20 };
    static const float VALUES[] = {0, 0x1p-149f, 0x1p-60f, 0x1p60f, FLT_MAX};
    for (size_t v = 0; v < LENGTH(VALUES); v++) {
        asked a = {hard_rows(NEIGHBOURS, 0, N, DIM), hard_rows(NEIGHBOURS, 1, COUNT, DIM), N, COUNT, DIM};
        for (size_t k = 0; k < DIM; k++) {
            a.rows[170 * DIM + k] = k % 2 ? -VALUES[v] : VALUES[v];
            a.queries[7 * DIM + k] = k % 3 ? VALUES[v] : -VALUES[v];
            a.queries[8 * DIM + k] = v > 0 ? a.rows[170 * DIM + k] : v % 2 ? INFINITY : NAN;
        }
        check(false, a, "single");
    }
}

/* One call of CUDA's after the other fails. Only the scratch memory may be asked for twice: where it is short, pieces become
 * smaller. */
static void fail_each_call(int error) {
    enum { N = 300, DIM = 2, COUNT = 3 };
    asked a = {numbers(TIES, 0, N * DIM), numbers(TIES, 1, COUNT * DIM), N, COUNT, DIM};
    uint64_t *nearest = unseen(COUNT), *expected = unseen(COUNT);
    pb_ref_nearest(a.rows, N, DIM, 0, a.queries, COUNT, expected);
    emulator_fail(0, 0);
    size_t calls = 1, failed = 0;
    for (size_t call = 0; call <= calls; call++) {
        pb_device *device = filtering(false);
        const size_t living = emulator_living(), most = pb_cuda_state_of(device)->scratch_most;
        memset(nearest, 0xFF, COUNT * sizeof *nearest);
        emulator_fail(call, error);
        pb_status status = load_and_search(device, &a, 0, nearest);
        calls = call == 0 ? emulator_fail(0, 0) : calls;
        emulator_fail(0, 0);
        failed += pb_failed(&status);
        if (pb_failed(&status))
            cr_assert_eq(status.code, PB_E_SYSTEM, "call %zu of %zu: %s", call, calls, status.message);
        else
            cr_assert_arr_eq(nearest, expected, COUNT * sizeof *nearest);
        cr_assert_eq(pb_failed(&status), call > 0 && pb_cuda_state_of(device)->scratch_most == most, "call %zu", call);
        cr_assert_leq(emulator_living(), living + 1, "call %zu", call); /* the scratch memory stays */
        pb_device_close(&device);
        assert_sound();
    }
    cr_assert_gt(calls, 20);
    cr_assert_eq(failed, calls - 1);
    pb_release(&a.rows);
    pb_release(&a.queries);
    pb_release(&nearest);
    pb_release(&expected);
}

Test(cuda_search, any_call_of_cuda_may_fail) {
    fail_each_call(cudaErrorLaunchFailure);
    fail_each_call(cudaErrorMemoryAllocation);
}
