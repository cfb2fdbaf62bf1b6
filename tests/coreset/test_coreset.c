#include "coreset/coreset.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(coreset, size_of_a_ratio) {
    cr_assert_eq(pb_coreset_size(0.01, 235200), 2352);
    cr_assert_eq(pb_coreset_size(0.01, 99), 1);
    cr_assert_eq(pb_coreset_size(0.25, 10), 2);
    cr_assert_eq(pb_coreset_size(1, 7), 7);
    cr_assert_eq(pb_coreset_size(1e-9, 7), 1);
}

static pb_coreset sample(uint64_t seed, uint64_t total, size_t count) {
    pb_coreset coreset;
    pb_status status = pb_coreset_random(seed, total, count, &coreset);
    cr_assert(!pb_failed(&status) && coreset.count == count);
    return coreset;
}

/* 1 + 2^-24 is what float cannot tell from 1: of each computed distance the true one may be (dim + 4) such steps larger. */
Test(coreset, sum_of_radii_holds_for_true_distances) {
    for (int dim = 1; dim <= 2048; dim *= 2)
        for (float radius = 0x1p-20f; radius < 1e6f; radius *= 7) {
            const double r = (double)radius, further = 3.7 * r, off = 1 + (dim + 4) * 0x1p-24, least = (r + further) * off * off;
            const double sum = (double)pb_coreset_radius_sum(radius, further, dim);
            cr_assert(sum >= least && sum <= least * (1 + (dim + 8) * 0x1p-22), "%g %d: %.9g, least %.9g", r, dim, sum, least);
        }
    cr_assert(isnan(pb_coreset_radius_sum(NAN, 1, 2)) && isnan(pb_coreset_radius_sum(1, NAN, 2)));
}

Test(coreset, random_picks_each_at_most_once) {
    const uint64_t totals[] = {1, 2, 10, 1000};
    for (int i = 0; i < 4; i++) {
        static bool seen[1000];
        memset(seen, 0, sizeof seen);
        pb_coreset all = sample(5, totals[i], (size_t)totals[i]);
        for (size_t k = 0; k < all.count; k++) {
            cr_assert(all.picked[k] < totals[i] && !seen[all.picked[k]]);
            cr_assert(isnan(all.radius[k]));
            seen[all.picked[k]] = true;
        }
        pb_coreset_free(&all);
    }
}

Test(coreset, a_random_prefix_is_the_smaller_sample) {
    pb_coreset large = sample(9, 4000000000u, 500), small = sample(9, 4000000000u, 100), other = sample(10, 4000000000u, 100);
    cr_assert_eq(memcmp(large.picked, small.picked, 100 * sizeof *small.picked), 0);
    cr_assert_neq(memcmp(other.picked, small.picked, 100 * sizeof *small.picked), 0);
    pb_coreset_free(&large);
    pb_coreset_free(&small);
    pb_coreset_free(&other);
}

/* 2,000 samples of 3 of 6: each of the 6 is first in a sixth of them; standard deviation 17, five of them. */
Test(coreset, random_places_are_fair) {
    int first[6] = {0}, anywhere[6] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        pb_coreset three = sample(seed, 6, 3);
        first[three.picked[0]]++;
        for (int k = 0; k < 3; k++)
            anywhere[three.picked[k]]++;
        pb_coreset_free(&three);
    }
    for (int k = 0; k < 6; k++) {
        cr_assert(abs(first[k] - 333) < 85, "%d is first %d times", k, first[k]);
        cr_assert(abs(anywhere[k] - 1000) < 115, "%d is in %d", k, anywhere[k]);
    }
}
