#include "coreset/metrics.h"

#include "base/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { N = 600 };
static double scores[N];
static bool defective[N];
static int64_t group[N];

static bool near(int64_t a, int64_t b, int64_t within) {
    uint64_t distance = a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
    return distance <= (uint64_t)within;
}

/* The definition: every pair, one by one. within < 0: all pairs. */
static double count_pairs(size_t n, int64_t within, uint64_t *pairs) {
    double wins = 0;
    *pairs = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            if (defective[i] && !defective[j] && (within < 0 || near(group[i], group[j], within))) {
                wins += scores[i] > scores[j] ? 1 : scores[i] >= scores[j] ? 0.5 : 0;
                ++*pairs;
            }
    return wins / (double)*pairs;
}

/* The fast way against the definition, on what `fill` left. */
static void check_near_pairs(size_t n, int64_t within) {
    double auroc;
    uint64_t pairs, expected_pairs;
    double expected = count_pairs(n, within, &expected_pairs);
    pb_status status = pb_auroc_near_pairs(scores, defective, group, n, within, &auroc, &pairs);
    cr_assert_eq(pairs, expected_pairs, "within %ld: %lu pairs, not %lu", within, pairs, expected_pairs);
    if (expected_pairs == 0)
        cr_assert(status.code == PB_E_INPUT && isnan(auroc));
    else
        cr_assert(!pb_failed(&status) && fabs(auroc - expected) <= 1e-12, "within %ld: %.17g, not %.17g", within, auroc,
                  expected);
}

/* Scores in `levels` steps, so that few levels make many ties. */
static void fill(uint64_t seed, uint32_t levels) {
    for (size_t i = 0; i < N; i++) {
        scores[i] = (double)(pb_random_u32(seed, PB_STREAM_TEST, 0, i) % levels) - 1;
        defective[i] = pb_random_u32(seed, PB_STREAM_TEST, 1, i) % 3 == 0;
        group[i] = (int64_t)(pb_random_u32(seed, PB_STREAM_TEST, 2, i) % 100) - 50;
    }
}

Test(metrics, auroc_is_the_share_of_pairs_won) {
    const uint32_t levels[] = {1, 2, 5, 100, UINT32_MAX};
    for (uint64_t seed = 0; seed < 5; seed++) {
        fill(seed, levels[seed]);
        double auroc;
        uint64_t pairs;
        pb_status status = pb_auroc(scores, defective, N, &auroc);
        cr_assert(!pb_failed(&status));
        cr_assert(fabs(auroc - count_pairs(N, -1, &pairs)) <= 1e-12, "seed %lu: %.17g", seed, auroc);
    }
}

Test(metrics, auroc_of_clear_cases) {
    double auroc, separated[] = {1, 2, 3, 4}, infinite[] = {0, 1, 2, INFINITY};
    bool high[] = {false, false, true, true}, low[] = {true, true, false, false};
    pb_status status = pb_auroc(separated, high, 4, &auroc);
    cr_assert(!pb_failed(&status) && auroc == 1.0);
    status = pb_auroc(separated, low, 4, &auroc);
    cr_assert(!pb_failed(&status) && auroc == 0.0);
    status = pb_auroc(infinite, high, 4, &auroc);
    cr_assert(!pb_failed(&status) && auroc == 1.0);
}

Test(metrics, auroc_refuses_one_kind_and_nan) {
    double auroc, values[] = {1, 2, NAN};
    bool one[] = {true, true, true}, both[] = {true, false, true};
    pb_status status = pb_auroc(values, one, 2, &auroc);
    cr_assert(status.code == PB_E_INPUT && isnan(auroc));
    status = pb_auroc(values, both, 3, &auroc);
    cr_assert(status.code == PB_E_INPUT && isnan(auroc));
    status = pb_auroc(NULL, NULL, 0, &auroc);
    cr_assert_eq(status.code, PB_E_INPUT);
}

Test(metrics, near_pairs_are_those_within_the_groups) {
    const int64_t within[] = {0, 1, 7, 36, 100, INT64_MAX};
    const uint32_t levels[] = {1, 2, 50, UINT32_MAX};
    for (uint64_t seed = 9; seed < 13; seed++) {
        fill(seed, levels[seed - 9]);
        for (int i = 0; i < 6; i++)
            check_near_pairs(N, within[i]);
    }
}

Test(metrics, near_pairs_of_few_items) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        fill(seed, 3);
        for (size_t i = 0; i < 8; i++)
            group[i] = group[i] % 4;
        for (size_t n = 0; n <= 8; n++)
            check_near_pairs(n, (int64_t)(seed % 3));
    }
}

/* Runs of equal groups, all of one group, and infinite scores. */
Test(metrics, near_pairs_of_equal_groups) {
    for (uint64_t seed = 20; seed < 24; seed++) {
        fill(seed, 10);
        scores[7] = scores[300] = INFINITY;
        scores[8] = scores[400] = -INFINITY;
        for (size_t i = 0; i < N; i++)
            group[i] = seed == 20 ? 5 : (int64_t)(i % 3) * 10;
        check_near_pairs(N, 0);
        check_near_pairs(N, 9);
        check_near_pairs(N, 10);
    }
}

/* Group is all there is to see: over all pairs a perfect detector, over near pairs a coin. */
Test(metrics, near_pairs_take_out_what_separates_the_groups) {
    for (size_t i = 0; i < N; i++) {
        group[i] = i < N / 2 ? 0 : 1000;
        scores[i] = (double)group[i];
        defective[i] = i < N / 2 ? i % 10 == 0 : i % 10 != 0;
    }
    double all, near;
    uint64_t pairs;
    pb_status status = pb_auroc(scores, defective, N, &all);
    cr_assert(!pb_failed(&status) && all > 0.85);
    status = pb_auroc_near_pairs(scores, defective, group, N, 36, &near, &pairs);
    cr_assert(!pb_failed(&status) && near == 0.5);
}

Test(metrics, near_pairs_of_extreme_group_numbers) {
    double values[] = {1, 2}, auroc;
    bool kinds[] = {false, true};
    int64_t far[] = {INT64_MIN, INT64_MAX};
    uint64_t pairs;
    pb_status status = pb_auroc_near_pairs(values, kinds, far, 2, INT64_MAX, &auroc, &pairs);
    cr_assert(status.code == PB_E_INPUT && pairs == 0, "the distance is 2^64 - 1");
    const int64_t ends[] = {INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, -1, 0, 1, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX};
    const int64_t within[] = {0, 1, INT64_MAX / 2, INT64_MAX / 2 + 2, INT64_MAX - 1, INT64_MAX};
    fill(31, 20);
    for (size_t i = 0; i < N; i++)
        group[i] = ends[(size_t)(group[i] + 50) % (sizeof ends / sizeof ends[0])];
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++)
        check_near_pairs(N, within[i]);
}

Test(metrics, near_pairs_refuse_nan) {
    double values[] = {1, NAN}, auroc;
    bool kinds[] = {false, true};
    int64_t same[] = {0, 0};
    uint64_t pairs;
    pb_status status = pb_auroc_near_pairs(values, kinds, same, 2, 0, &auroc, &pairs);
    cr_assert(status.code == PB_E_INPUT && isnan(auroc) && pairs == 0);
}

/* 10^10 pairs of one group. Over one group near pairs are all pairs, and these are counted in another way. Pair by pair it takes
 * many seconds of processor time, this way a fraction of one, also under a sanitizer. */
Test(metrics, near_pairs_of_one_large_group) {
    enum { MANY = 200000 };
    double *values = malloc(MANY * sizeof *values), all, near_auroc;
    bool *kinds = malloc(MANY * sizeof *kinds);
    int64_t *same = calloc(MANY, sizeof *same);
    uint64_t pairs;
    cr_assert(values && kinds && same);
    for (size_t i = 0; i < MANY; i++) {
        values[i] = (double)(pb_random_u32(41, PB_STREAM_TEST, 0, i) % 60000);
        kinds[i] = i % 2 == 0;
    }
    clock_t begun = clock();
    pb_status status = pb_auroc_near_pairs(values, kinds, same, MANY, 0, &near_auroc, &pairs);
    double seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
    cr_assert(!pb_failed(&status) && pairs == (uint64_t)MANY / 2 * (MANY / 2));
    cr_assert(seconds < 3, "%.1f seconds", seconds);
    status = pb_auroc(values, kinds, MANY, &all);
    cr_assert(!pb_failed(&status) && fabs(near_auroc - all) <= 1e-12);
    free(values);
    free(kinds);
    free(same);
}
