#include "cover_points.h"
#include "cover_rounds.h"
#include "gpu/cpu_cover.h"

#include <signal.h>
#include <stdlib.h>

enum { N = 500 };

/* Dimensions with which nothing is filtered, and with which it is. */
static const int DIMS[] = {3, 24};

/* After `centres` centres, some of which few points have met. */
static rounds begun(float *rows, int dim, size_t centres) {
    rounds r = begin_rounds("cpu", 1, 1, rows, N, dim, 100, 0, 5);
    run_rounds(&r, centres);
    return r;
}

static int falling(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Keys of the textbook's distances, the largest first. */
static uint64_t *sorted_keys(const rounds *r) {
    uint64_t *keys = unseen(r->n);
    for (size_t i = 0; i < r->n; i++)
        keys[i] = pb_pack_farthest(r->exact[i], r->offset + (uint32_t)i);
    qsort(keys, r->n, sizeof *keys, falling);
    return keys;
}

/* After settling the candidates are exactly the points whose key is >= floor, and key(position) is the order of their keys. */
static void check_settled(points_maker *make, int dim, double share) {
    float *rows = make(N, dim);
    rounds r = begun(rows, dim, 40);
    uint64_t *keys = sorted_keys(&r), key;
    const size_t wanted = (size_t)(share * N);
    size_t count = refresh_all(&r, keys[wanted - 1]);
    cr_assert(count >= wanted);
    assert_done(pb_device_cover_settle(r.devices[0], r.covers[0], &count));
    cr_assert_eq(count, wanted);
    for (size_t p = 0; p < wanted; p++) {
        assert_done(pb_device_cover_key(r.devices[0], r.covers[0], p, &key));
        cr_assert_eq(key, keys[p], "position %zu of %zu", p, wanted);
    }
    assert_done(pb_device_cover_key(r.devices[0], r.covers[0], wanted, &key));
    cr_assert_eq(key, 0);
    pb_release(&keys);
    end_rounds(&r);
    pb_release(&rows);
}

Test(cpu_cover_rounds, settled_candidates_are_in_the_order_of_their_keys) {
    for (size_t d = 0; d < 2; d++)
        for (int m = 0; m < MAKERS_COUNT; m++) {
            check_settled(MAKERS[m].make, DIMS[d], 1.0 / N);
            check_settled(MAKERS[m].make, DIMS[d], 0.3);
            check_settled(MAKERS[m].make, DIMS[d], 1.0);
        }
}

/* Raising the floor to the key at a place leaves as many candidates as stand before it, and it; also among ties. */
Test(cpu_cover_rounds, a_raised_floor_cuts_in_the_order_of_keys) {
    for (size_t d = 0; d < 2; d++)
        for (int m = 0; m < MAKERS_COUNT; m++) {
            float *rows = MAKERS[m].make(N, DIMS[d]);
            rounds r = begun(rows, DIMS[d], 20);
            size_t count = refresh_all(&r, 0);
            cr_assert_eq(count, N);
            assert_done(pb_device_cover_settle(r.devices[0], r.covers[0], &count));
            for (size_t place = N - 1; place < N; place -= place > 50 ? 49 : 1 + place / 2) {
                uint64_t key;
                assert_done(pb_device_cover_key(r.devices[0], r.covers[0], place, &key));
                assert_done(pb_device_cover_raise(r.devices[0], r.covers[0], key, &count));
                cr_assert_eq(count, place + 1);
                assert_done(pb_device_cover_raise(r.devices[0], r.covers[0], key + 1, &count)); /* just above it */
                cr_assert_eq(count, place);
            }
            end_rounds(&r);
            pb_release(&rows);
        }
}

/* `most` is the largest key of a bound, though no point is up to date: as many floors above it as one likes change nothing. */
Test(cpu_cover_rounds, most_is_right_for_stale_bounds) {
    for (size_t d = 0; d < 2; d++) {
        float *rows = feature_points(N, DIMS[d]);
        rounds r = begin_rounds("cpu", 1, 1, rows, N, DIMS[d], 100, 0, 5);
        const pb_cover *cover = r.covers[0];
        for (int c = 1; c < 30; c++) {
            assert_done(pb_device_cover_add(r.devices[0], r.covers[0], row_of(&r, (size_t)c), 1));
            textbook_adds(&r, (size_t)c);
            uint64_t largest = 0;
            for (uint32_t i = 0; i < N; i++) {
                uint64_t key = pb_pack_farthest(cover->bounds[i], 100 + i);
                largest = key > largest ? key : largest;
            }
            cr_assert_eq(refresh_all(&r, UINT64_MAX), 0);
            cr_assert_eq(r.most, largest);
            cr_assert_eq(refresh_all(&r, largest + 1), 0);
            cr_assert_eq(r.most, largest);
            if (c % 7 == 0) /* and then some are */
                refresh_all(&r, largest);
        }
        cr_assert(cover->met[0] < 30);
        end_rounds(&r);
        pb_release(&rows);
    }
}

/* A refresh works on points at or above the floor alone. */
Test(cpu_cover_rounds, points_below_the_floor_meet_no_one) {
    float *rows = feature_points(N, 24);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, 24, 0, 0, 5);
    const pb_cover *cover = r.covers[0];
    uint64_t *keys = sorted_keys(&r);
    for (size_t c = 1; c < 30; c++) {
        assert_done(pb_device_cover_add(r.devices[0], r.covers[0], row_of(&r, c), 1));
        textbook_adds(&r, c);
    }
    refresh_all(&r, keys[N / 2]);
    size_t met = 0;
    for (size_t i = 0; i < N; i++)
        met += cover->met[i] > 1;
    cr_assert(met >= N / 2 && met <= N / 2 + 3, "%zu", met); /* bounds are a little above what the keys were made of */
    pb_release(&keys);
    end_rounds(&r);
    pb_release(&rows);
}

/* What select did is not done again: after an update candidates have met all centres. */
Test(cpu_cover_rounds, candidates_that_came_back_are_up_to_date) {
    float *rows = feature_points(N, 24);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, 24, 0, 0, 5);
    const pb_cover *cover = r.covers[0];
    refresh_all(&r, 0);
    cr_assert_eq(select_all(&r, 0, 20), 20);
    const uint64_t filtered = cover->work[0].counts.filtered;
    cr_assert(filtered > 0);
    cr_assert_eq(refresh_all(&r, 0), N);
    cr_assert_eq(cover->work[0].counts.filtered, filtered);
    cr_assert_eq(cover->work[0].counts.plain, 0);
    end_rounds(&r);
    pb_release(&rows);
}

/* What a thread does depends on no other: the same bounds and the same order for any number of threads. */
Test(cpu_cover_rounds, candidates_are_the_same_for_any_threads) {
    enum { MANY = 9000, DIM = 18 };
    float *rows = feature_points(MANY, DIM);
    pb_candidate *first = NULL;
    size_t first_count = 0;
    for (int threads = 1; threads <= 4; threads++) {
        rounds r = begin_rounds("cpu", threads, 1, rows, MANY, DIM, 0, 0, 5);
        for (size_t c = 1; c < 300; c++) /* more than a chunk of centres */
            assert_done(pb_device_cover_add(r.devices[0], r.covers[0], row_of(&r, c * 7), 1));
        size_t count;
        uint64_t most;
        for (float level = 1.0f; level > 0.1f; level *= 0.7f)
            assert_done(pb_device_cover_refresh(r.devices[0], r.covers[0], pb_pack_farthest(level, 0), &count, &most));
        cr_assert(count > 1000, "%zu", count);
        pb_candidate *candidates;
        float *copies = constants(0, count * DIM);
        assert_done(pb_allocate(&candidates, count, sizeof *candidates, "test candidates"));
        assert_done(pb_device_cover_candidates(r.devices[0], r.covers[0], candidates, copies));
        if (threads == 1) {
            first = candidates;
            first_count = count;
        } else {
            cr_assert_eq(count, first_count);
            for (size_t i = 0; i < count; i++)
                cr_assert(candidates[i].index == first[i].index && candidates[i].nearest == first[i].nearest &&
                          pb_float_bits(candidates[i].bound) == pb_float_bits(first[i].bound));
            pb_release(&candidates);
        }
        pb_release(&copies);
        end_rounds(&r);
    }
    pb_release(&first);
    pb_release(&rows);
}

Test(cpu_cover_rounds, a_lower_floor_is_not_raised, .signal = SIGABRT) {
    float *rows = feature_points(N, 3);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, 3, 0, 0, 5);
    size_t count = refresh_all(&r, 10);
    pb_status status = pb_device_cover_raise(r.devices[0], r.covers[0], 9, &count);
    cr_assert_fail("returned %d", status.code);
}

Test(cpu_cover_rounds, candidates_come_back_in_their_order, .signal = SIGABRT) {
    float *rows = feature_points(N, 3);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, 3, 0, 0, 5);
    refresh_all(&r, 0);
    gathered g = gather(&r);
    pb_candidate first = g.candidates[0];
    g.candidates[0] = g.candidates[1];
    g.candidates[1] = first;
    pb_status status = pb_device_cover_update(r.devices[0], r.covers[0], g.candidates, g.count);
    cr_assert_fail("returned %d", status.code);
}
