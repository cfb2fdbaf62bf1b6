/* Covers of the "cuda" device through the front end: picks, distances and keys against the textbook loop. */
#include "cover_points.h"
#include "cover_rounds.h"
#include "emulated.h"

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_cover, .init = use_emulator);

static void check_maker(points_maker *make, size_t n, int dim, size_t picks, uint64_t seed) {
    float *rows = make(n, dim);
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        emulator_turns(ORDERS[(seed + (uint64_t)ranks) % LENGTH(ORDERS)]);
        check_rounds("cuda:0", 1, ranks, rows, n, dim, picks, seed + (uint64_t)ranks);
        assert_sound();
    }
    pb_release(&rows);
}

Test(cuda_cover, picks_are_the_textbooks) {
    static const int DIMS[] = {1, 3, 17, 40};
    for (int m = 0; m < MAKERS_COUNT; m++)
        check_maker(MAKERS[m].make, 150, DIMS[(size_t)m % LENGTH(DIMS)], 60, (uint64_t)m * 1000);
}

Test(cuda_cover, picks_are_the_textbooks_for_few_points) {
    for (size_t n = 1; n <= 40; n += n < 5 ? 1 : 7)
        check_maker(feature_points, n, 20, n, n * 3);
}

/* All kinds of numbers of arrays.h, also such that squares underflow or overflow. */
Test(cuda_cover, picks_are_the_textbooks_for_any_numbers) {
    for (int k = 0; k < KINDS; k++) {
        float *rows = numbers((kind)k, 0, 100 * 33);
        check_rounds("cuda:0", 1, 1 + k % RANKS_MAX, rows, 100, 33, 40, (uint64_t)k * 10);
        assert_sound();
        pb_release(&rows);
    }
}

/* More than one chunk of centres, and more than a batch of picks in one selection. */
Test(cuda_cover, picks_are_the_textbooks_for_many_centres) {
    enum { N = 700, DIM = 2, PICKS = 600 };
    float *rows = feature_points(N, DIM);
    rounds r = begin_rounds("cuda:0", 1, 1, rows, N, DIM, 5, 3, 1);
    refresh_all(&r, 0);
    select_all(&r, 0, 300);
    run_rounds(&r, PICKS);
    end_rounds(&r);
    assert_sound();
    pb_release(&rows);
}

/* Ranks of which some drive a GPU: candidates come with bounds that are not exact. */
Test(cuda_cover, devices_may_be_mixed) {
    for (int m = 0; m < MAKERS_COUNT; m++) {
        float *rows = MAKERS[m].make(150, 24);
        check_rounds("cuda+cpu", 1, 3, rows, 150, 24, 70, (uint64_t)m);
        assert_sound();
        pb_release(&rows);
    }
}

/* Many centres at once, as when a selection goes on where it was interrupted: the first is met at once, the others in time. */
Test(cuda_cover, takes_many_centres_at_once) {
    enum { N = 300, DIM = 5, CENTRES = 290 };
    float *rows = numbers(UNIFORM, 0, N * DIM);
    rounds r = begin_rounds("cuda:0", 1, 1, rows, N, DIM, 0, 0, 1);
    uint64_t most, key;
    size_t count;
    assert_done(pb_device_cover_add(r.devices[0], r.covers[0], rows + DIM, CENTRES - 1));
    assert_done(pb_device_cover_refresh(r.devices[0], r.covers[0], UINT64_MAX, &count, &most)); /* no one meets any more */
    cr_assert_eq(count, 0);
    cr_assert_eq(most, r.due);
    for (size_t c = 1; c < CENTRES; c++)
        textbook_adds(&r, c);
    cr_assert_eq(refresh_all(&r, 0), N);
    cr_assert_eq(r.most, r.due);
    assert_done(pb_device_cover_key(r.devices[0], r.covers[0], 0, &key));
    cr_assert_eq(key, r.due);
    gathered g = gather(&r); /* which looks at each of them */
    release_gathered(&g);
    end_rounds(&r);
    assert_sound();
    pb_release(&rows);
}

static int falling(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Every position against a sorted list; ties of distance are told apart by index. */
Test(cuda_cover, keys_are_those_of_a_sorted_list) {
    enum { N = 90, DIM = 2 };
    float *rows = lattice_points(N, DIM);
    rounds r = begin_rounds("cuda:0", 1, 1, rows, N, DIM, 7, 0, 1);
    uint64_t keys[N], key;
    refresh_all(&r, 0);
    for (size_t i = 0; i < N; i++)
        keys[i] = pb_pack_farthest(r.exact[i], 7 + (uint32_t)i);
    qsort(keys, N, sizeof *keys, falling);
    for (size_t position = 0; position <= N; position++) {
        assert_done(pb_device_cover_key(r.devices[0], r.covers[0], position, &key));
        cr_assert_eq(key, position < N ? keys[position] : 0, "position %zu", position);
    }
    end_rounds(&r);
    assert_sound();
    pb_release(&rows);
}

Test(cuda_cover, may_have_no_points) {
    float centre[3] = {1, 2, 3};
    uint64_t most = 1, key = 1, next = 1;
    size_t count = 1, made = 1;
    pb_device *device;
    pb_cover *cover;
    assert_done(pb_device_open("cuda:0", 1, &device));
    assert_done(pb_device_cover_create(device, 0, 3, 0, &cover));
    assert_done(pb_device_cover_add(device, cover, centre, 1));
    assert_done(pb_device_cover_refresh(device, cover, 0, &count, &most));
    cr_assert(count == 0 && most == 0);
    assert_done(pb_device_cover_settle(device, cover, &count));
    assert_done(pb_device_cover_key(device, cover, 0, &key));
    assert_done(pb_device_cover_raise(device, cover, 5, &count));
    assert_done(pb_device_cover_candidates(device, cover, NULL, NULL));
    assert_done(pb_device_cover_select(device, cover, NULL, NULL, 0, 5, 0, NULL, NULL, &made, &next));
    assert_done(pb_device_cover_update(device, cover, NULL, 0));
    cr_assert(count == 0 && key == 0 && made == 0 && next == 0);
    pb_device_cover_free(device, &cover);
    pb_device_close(&device);
    assert_sound();
}

Test(cuda_cover, reads_what_was_written_and_names_what_is_not_finite) {
    enum { N = 50, DIM = 7 };
    float *rows = numbers(MIXED, 0, N * DIM), read[2 * DIM], *there;
    int64_t not_finite;
    pb_device *device;
    pb_cover *cover;
    assert_done(pb_device_open("cuda:0", 1, &device));
    assert_done(pb_device_cover_create(device, N, DIM, 0, &cover));
    write_points(device, cover, 0, N, DIM, rows);
    for (size_t i = 0; i + 2 <= N; i++) {
        assert_done(pb_device_cover_read(device, cover, i, 2, read));
        assert_same_bits(read, rows + i * DIM, 2 * DIM);
    }
    rows[12 * DIM + 6] = NAN;
    assert_done(pb_device_alloc(device, 13 * DIM * sizeof *rows, &there, "rows"));
    assert_done(pb_device_upload(device, there, rows, 13 * DIM * sizeof *rows));
    assert_done(pb_device_cover_write(device, cover, 30, 13, there, &not_finite));
    cr_assert_eq(not_finite, 42);
    pb_device_release(device, &there);
    pb_device_cover_free(device, &cover);
    pb_device_close(&device);
    assert_sound();
    pb_release(&rows);
}

/* A whole round of a cover, for the failures of single calls. */
static pb_status one_round(pb_device *device, const float *there, const float *rows, pb_candidate *candidates,
                           float *gathered) {
    enum { N = 4, DIM = 2 };
    float distance2[2];
    uint64_t most, key, picked[2], next;
    size_t count, made;
    int64_t not_finite;
    pb_cover *cover;
    PB_TRY(pb_device_cover_create(device, N, DIM, 0, &cover));
    pb_status status = pb_device_cover_write(device, cover, 0, N, there, &not_finite);
    if (!pb_failed(&status))
        status = pb_device_cover_add(device, cover, rows, 1);
    if (!pb_failed(&status))
        status = pb_device_cover_refresh(device, cover, 0, &count, &most);
    if (!pb_failed(&status))
        status = pb_device_cover_key(device, cover, 1, &key);
    if (!pb_failed(&status))
        status = pb_device_cover_raise(device, cover, 0, &count);
    if (!pb_failed(&status))
        status = pb_device_cover_candidates(device, cover, candidates, gathered);
    if (!pb_failed(&status))
        status = pb_device_cover_select(device, cover, candidates, gathered, count, 0, 2, picked, distance2, &made, &next);
    if (!pb_failed(&status))
        status = pb_device_cover_update(device, cover, candidates, count);
    if (!pb_failed(&status))
        status = pb_device_cover_refresh(device, cover, 0, &count, &most);
    pb_device_cover_free(device, &cover);
    return status;
}

Test(cuda_cover, any_call_of_cuda_may_fail) {
    const float rows[] = {0, 0, 1, 0, 0, 5, 3, 3};
    pb_device *device;
    float *there, *gathered;
    pb_candidate *candidates;
    assert_done(pb_device_open("cuda:0", 1, &device));
    assert_done(pb_device_alloc(device, sizeof rows, &there, "rows"));
    assert_done(pb_device_alloc(device, sizeof rows, &gathered, "gathered rows"));
    assert_done(pb_device_alloc(device, 4 * sizeof *candidates, &candidates, "candidates"));
    assert_done(pb_device_upload(device, there, rows, sizeof rows));
    emulator_fail(0, 0);
    assert_done(one_round(device, there, rows, candidates, gathered));
    const size_t calls = emulator_fail(0, 0), living = emulator_living();
    cr_assert_gt(calls, 100);
    for (size_t call = 1; call <= calls; call++) {
        emulator_fail(call, call % 2 ? cudaErrorLaunchFailure : cudaErrorMemoryAllocation);
        pb_status status = one_round(device, there, rows, candidates, gathered);
        cr_assert_eq(status.code, PB_E_SYSTEM, "call %zu of %zu", call, calls);
        cr_assert_eq(emulator_living(), living, "call %zu", call);
    }
    pb_device_release(device, &there);
    pb_device_release(device, &gathered);
    pb_device_release(device, &candidates);
    pb_device_close(&device);
    assert_sound();
}
