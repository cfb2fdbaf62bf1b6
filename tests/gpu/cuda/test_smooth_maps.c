#include "emulated.h"

/* One axis of arrays [before][length][step], against the loop. */
static void check(kind k, size_t before, int length, size_t step, double sigma) {
    const size_t values = before * (size_t)length * step;
    pb_smoothing how;
    pb_smoothing_gaussian(sigma, &how);
    float *from = numbers(k, 0, values), *actual = constants(NAN, values), *expected = constants(NAN, values);
    void *there = on_device(from, values * sizeof *from), *out = on_device(actual, values * sizeof *from);
    assert_cuda(pb_cuda_smooth(NULL, &how, there, values, step, length, out));
    off_device(actual, out, values * sizeof *from);
    for (size_t i = 0; i < values; i++) {
        const int place = (int)(i / step) % length;
        const float *line = from + (i - (size_t)place * step);
        expected[i] = how.weights[0] * from[i];
        for (int r = 1; r <= how.reach; r++)
            expected[i] = fmaf(how.weights[r], line[(size_t)pb_smoothing_mirror(place - r, length) * step] +
                                                   line[(size_t)pb_smoothing_mirror(place + r, length) * step], expected[i]);
    }
    assert_same_bits(actual, expected, values);
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&from);
    pb_release(&actual);
    pb_release(&expected);
}

/* Along rows and down columns; axes shorter than what is looked at, around blocks of 256. */
Test(smooth_maps, is_the_loop_along_any_axis) {
    static const struct {
        size_t before, step;
        int length;
    } SIZES[] = {{1, 1, 1}, {5, 1, 53}, {1, 40, 7}, {3, 11, 8}, {2, 128, 1}, {1, 257, 2}, {0, 1, 3}};
    static const double SIGMAS[] = {0, 0.4, 1, 2.5};
    for (size_t s = 0; s < LENGTH(SIZES); s++)
        for (size_t g = 0; g < LENGTH(SIGMAS); g++)
            for (int k = 0; k < KINDS; k += 2 + (k == 0)) { /* numbers that overflow are no map's */
                emulator_turns(ORDERS[(s + g) % LENGTH(ORDERS)]);
                check(k == HUGE_ONES ? TIES : (kind)k, SIZES[s].before, SIZES[s].length, SIZES[s].step, SIGMAS[g]);
            }
}
