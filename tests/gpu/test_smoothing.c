#include "gpu/smoothing.h"

#include <criterion/criterion.h>
#include <math.h>

Test(smoothing, weights_are_the_gaussian_and_their_sum_is_one) {
    static const double SIGMAS[] = {0, 0.1, 0.3, 1, 4, 5.5, PB_SIGMA_MAX};
    static const int REACHES[] = {0, 0, 1, 4, 16, 22, PB_SMOOTHING_REACH_MAX};
    for (size_t s = 0; s < sizeof SIGMAS / sizeof *SIGMAS; s++) {
        pb_smoothing how;
        pb_smoothing_gaussian(SIGMAS[s], &how);
        cr_assert_eq(how.reach, REACHES[s], "sigma %g reaches %d", SIGMAS[s], how.reach);
        double sum = (double)how.weights[0];
        for (int k = 1; k <= how.reach; k++) {
            double ratio = exp(-k * k / (2 * SIGMAS[s] * SIGMAS[s]));
            cr_assert(fabs((double)how.weights[k] / (double)how.weights[0] - ratio) <= 3 * 0x1p-24 * ratio, "sigma %g, %d away",
                      SIGMAS[s], k);
            sum += 2 * (double)how.weights[k];
        }
        cr_assert(fabs(sum - 1) <= 0x1p-23, "sigma %g: the sum is %.9g", SIGMAS[s], sum);
    }
}

Test(smoothing, an_axis_is_mirrored_about_its_edges_again_and_again) {
    static const char SHOWN[] = "abccbaabccbaabccbaabccba"; /* of an axis "abc" */
    for (int i = 0; i < 24; i++)
        cr_assert_eq("abc"[pb_smoothing_mirror(i - 12, 3)], SHOWN[i], "place %d", i - 12);
    cr_assert_eq(pb_smoothing_mirror(-7, 1), 0);
}
