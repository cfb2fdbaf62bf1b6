#include "emulated.h"

/* States of points at random distances, with ties, and what they have met. */
typedef struct points {
    uint64_t *state;
    uint32_t *met;
    size_t n;
} points;

static points random_points(size_t n) {
    points p = {.n = n};
    assert_done(pb_allocate(&p.state, n, sizeof *p.state, "test states"));
    assert_done(pb_allocate(&p.met, n, sizeof *p.met, "test counts"));
    for (size_t i = 0; i < n; i++) {
        p.state[i] = pb_pack_nearest((float)(pb_random_u32(1, PB_STREAM_TEST, 0, i) % 8), (uint32_t)i % 5);
        p.met[i] = pb_random_u32(1, PB_STREAM_TEST, 1, i) % 5;
    }
    return p;
}

/* The plain twin. */
static pb_cuda_cover_counts expect(points p, uint32_t first_index, uint64_t floor, uint32_t limit, uint32_t *list) {
    pb_cuda_cover_counts counts = {0};
    for (size_t i = 0; i < p.n; i++) {
        uint64_t key = pb_pack_farthest(pb_packed_distance2(p.state[i]), first_index + (uint32_t)i);
        counts.most = key > counts.most ? key : counts.most;
        if (key < floor || p.met[i] >= limit)
            continue;
        counts.not_met = UINT32_MAX - p.met[i] > counts.not_met ? UINT32_MAX - p.met[i] : counts.not_met;
        list[counts.count++] = (uint32_t)i;
    }
    return counts;
}

static void check(size_t n, uint32_t first_index, uint64_t floor, uint32_t limit) {
    points p = random_points(n);
    uint32_t *actual, *expected;
    assert_done(pb_allocate(&actual, n, sizeof *actual, "test lists"));
    assert_done(pb_allocate(&expected, n, sizeof *expected, "test lists"));
    pb_cuda_cover_counts found, wanted = expect(p, first_index, floor, limit, expected);
    void *state = on_device(p.state, n * sizeof *p.state), *met = on_device(p.met, n * sizeof *p.met);
    void *list = on_device(NULL, n * sizeof *actual), *counts = on_device(NULL, sizeof found);
    void *blocks = on_device(NULL, pb_cuda_cover_blocks(n) * sizeof(uint32_t));
    const pb_cuda_cover_points there = {state, met, n, first_index};
    assert_cuda(pb_cuda_cover_list(NULL, there, floor, limit, blocks, list, counts));
    off_device(&found, counts, sizeof found);
    off_device(actual, list, n * sizeof *actual);
    cr_assert_eq(found.count, wanted.count, "n %zu: %llu of %llu listed", n, (unsigned long long)found.count,
                 (unsigned long long)wanted.count);
    cr_assert_arr_eq(actual, expected, found.count * sizeof *actual);
    cr_assert_eq(found.most, wanted.most);
    cr_assert_eq(found.not_met, wanted.not_met);
    void *rest[] = {state, met, blocks};
    for (size_t i = 0; i < LENGTH(rest); i++)
        assert_cuda(cudaFree(rest[i]));
    assert_sound();
    pb_release(&p.state);
    pb_release(&p.met);
    pb_release(&actual);
    pb_release(&expected);
}

/* Around warps and blocks of 256; floors through the ties of a distance. */
Test(cover_list, is_what_a_loop_finds) {
    static const size_t SIZES[] = {0, 1, 31, 32, 33, 255, 256, 257, 1000, 3333};
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t s = 0; s < LENGTH(SIZES); s++) {
            const uint32_t first = (uint32_t)s * 1000;
            emulator_turns(ORDERS[o]);
            check(SIZES[s], first, pb_pack_farthest(4, first + (uint32_t)SIZES[s] / 2), 3);
            check(SIZES[s], first, 0, UINT32_MAX);
            check(SIZES[s], first, pb_pack_farthest(7, first), 1);
            check(SIZES[s], first, UINT64_MAX, UINT32_MAX);
            points p = random_points(SIZES[s] + 1); /* a floor that is a point's own key */
            const float own = pb_packed_distance2(p.state[SIZES[s] / 2]);
            check(SIZES[s], first, pb_pack_farthest(own, first + (uint32_t)SIZES[s] / 2), 5);
            pb_release(&p.state);
            pb_release(&p.met);
        }
}

/* More blocks than the scan has threads: each adds up a stretch, the last ones of which are empty. */
Test(cover_list, has_more_blocks_than_the_scan_threads) { check(256 * 400 + 7, 9, pb_pack_farthest(6, 0), 4); }
