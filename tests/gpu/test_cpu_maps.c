#include "arrays.h"
#include "base/fault.h"
#include "gpu/ref.h"

#include <stdio.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const struct {
    pb_size grid, size;
    double sigma;
} CASES[] = {
    {{5, 4}, {33, 35}, 1.5},   /* a second band of few rows; columns that fill no vector */
    {{9, 7}, {70, 33}, 0.7},   /* vectors and a rest */
    {{3, 3}, {5, 4}, 2},       /* mirrored several times */
    {{1, 1}, {3, 1}, 1},       /* one place, one row */
    {{8, 9}, {4, 3}, 0.5},     /* a coarser map */
    {{4, 6}, {4, 6}, 0},       /* nothing to do */
};

static void check(pb_device *device, kind k, size_t c, int n) {
    const size_t count = (size_t)n * pb_size_area(CASES[c].size) + 1; /* one beyond: stays as it is */
    float *maps = numbers(k, 0, (size_t)n * pb_size_area(CASES[c].grid));
    float *actual = constants(NAN, count), *expected = constants(NAN, count);
    pb_smoothing how;
    pb_smoothing_gaussian(CASES[c].sigma, &how);
    assert_done(pb_device_smooth_maps(device, &how, maps, n, CASES[c].grid, CASES[c].size, actual));
    pb_ref_smooth_maps(&how, maps, n, CASES[c].grid, CASES[c].size, expected);
    assert_same_bits(actual, expected, count);
    pb_release(&maps);
    pb_release(&actual);
    pb_release(&expected);
}

/* Numbers that overflow are left out: maps are finite, and so small that no sum of two does. */
Test(cpu_maps, pixels_are_the_twins_for_any_kernels_and_threads) {
    static const char *const NAMES[] = {"cpu:plain", "cpu:avx2", "cpu:avx512"};
    for (size_t i = 0; i < LENGTH(NAMES); i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            pb_device *device;
            pb_status status = pb_device_open(NAMES[i], threads, &device);
            if (status.code == PB_E_UNSUPPORTED && i > 0)
                continue;
            assert_done(status);
            for (int k = 0; k < KINDS; k++)
                for (size_t c = 0; c < LENGTH(CASES) && k != HUGE_ONES; c++)
                    check(device, (kind)k, c, (int)(c + (size_t)k) % 3);
            pb_device_close(&device);
        }
}

Test(cpu_maps, no_memory_is_a_status) {
    pb_device *device;
    float map[4] = {1, 2, 3, 4}, pixels[16];
    pb_smoothing how;
    pb_smoothing_gaussian(1, &how);
    assert_done(pb_device_open("cpu", 2, &device));
    for (int hit = 1; hit <= 5; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(fault, 0));
        pb_status status = pb_device_smooth_maps(device, &how, map, 1, (pb_size){2, 2}, (pb_size){4, 4}, pixels);
        cr_assert_eq(status.code, hit <= 4 ? PB_E_SYSTEM : PB_OK);
    }
    assert_done(pb_fault_arm("", 0));
    pb_device_close(&device);
}
