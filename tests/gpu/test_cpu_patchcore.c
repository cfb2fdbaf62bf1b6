#include "arrays.h"
#include "base/fault.h"
#include "gpu/ref.h"

#include <stdio.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const struct {
    pb_patchcore how;
    int count;
    pb_layer_shape of[3];
} CASES[] = {
    {{3, 1, 40, 24}, 2, {{{14, 14}, 12}, {{7, 7}, 20}}},  /* twice as fine, as layers 2 and 3 are */
    {{3, 1, 40, 24}, 2, {{{21, 10}, 12}, {{11, 5}, 20}}}, /* of a wide image with an odd side */
    {{3, 1, 64, 64}, 3, {{{12, 20}, 5}, {{6, 10}, 16}, {{3, 5}, 33}}}, /* three scales; the first has fewer values than asked */
    {{1, 1, 9, 9}, 3, {{{7, 9}, 3}, {{5, 4}, 2}, {{7, 9}, 17}}},    /* a tap of the grid's size behind one without */
    {{3, 1, 9, 9}, 3, {{{8, 5}, 3}, {{8, 3}, 2}, {{4, 5}, 17}}},    /* taps that have the grid's size along one axis */
    {{5, 2, 11, 70}, 2, {{{9, 14}, 4}, {{8, 7}, 3}}},               /* stride; fewer joined values than are asked for */
    {{13, 1, 16, 8}, 2, {{{10, 11}, 2}, {{3, 5}, 2}}},              /* a neighbourhood larger than the tap */
    {{3, 4, 10, 6}, 3, {{{9, 18}, 3}, {{20, 23}, 2}, {{1, 1}, 5}}}, /* a tap with more patches than the grid, and one with one */
    {{3, 1, 1, 1}, 1, {{{1, 1}, 1}}},
};

static void check(pb_device *device, kind k, size_t c, int n) {
    const pb_patchcore *how = &CASES[c].how;
    float *taps[3] = {NULL, NULL, NULL};
    for (int t = 0; t < CASES[c].count; t++)
        taps[t] = numbers(k, (uint32_t)t, (size_t)n * pb_layer_shape_values(CASES[c].of[t]));
    const size_t patches = pb_size_area(pb_patchcore_grid(how, CASES[c].of[0].size));
    const size_t count = (size_t)n * patches * (size_t)how->feature_dim + 1; /* one beyond: stays as it is */
    float *actual = constants(NAN, count), *expected = constants(NAN, count);
    assert_done(pb_device_patchcore_features(device, how, CASES[c].count, CASES[c].of, (const float *const *)taps, n, actual));
    pb_ref_patchcore_features(how, CASES[c].count, CASES[c].of, (const float *const *)taps, n, expected);
    assert_same_bits(actual, expected, count);
    for (int t = 0; t < 3; t++)
        pb_release(&taps[t]);
    pb_release(&actual);
    pb_release(&expected);
}

Test(cpu_patchcore, features_are_the_twins_for_any_threads) {
    for (int threads = 1; threads <= 3; threads++) {
        pb_device *device;
        assert_done(pb_device_open("cpu", threads, &device));
        for (int k = 0; k < KINDS; k++)
            for (size_t c = 0; c < LENGTH(CASES); c++)
                for (int n = 0; n < 4; n += 2)
                    check(device, (kind)k, c, n);
        pb_device_close(&device);
    }
}

/* A set that this processor cannot run is not there to be tested. */
Test(cpu_patchcore, features_are_the_twins_for_any_kernels) {
    static const char *const NAMES[] = {"cpu:plain", "cpu:avx2", "cpu:avx512"};
    for (size_t i = 0; i < LENGTH(NAMES); i++) {
        pb_device *device;
        pb_status status = pb_device_open(NAMES[i], 2, &device);
        if (status.code == PB_E_UNSUPPORTED && i > 0)
            continue;
        assert_done(status);
        for (size_t c = 0; c < LENGTH(CASES); c++)
            check(device, MIXED, c, 2);
        pb_device_close(&device);
    }
}

/* Where the order of the sum shows: 2^24 + 1 + 1 is 2^24 from the left, 2^24 + 2 from the right. */
Test(cpu_patchcore, sums_go_from_the_first_channel_on) {
    const float tap[3] = {0x1p24f, 1.0f, 1.0f}, turned[3] = {1.0f, 1.0f, 0x1p24f};
    const float *const first[1] = {tap}, *const second[1] = {turned};
    const pb_layer_shape shape = {{1, 1}, 3};
    const pb_patchcore how = {1, 1, 1, 1};
    pb_device *device;
    float out;
    assert_done(pb_device_open("cpu", 1, &device));
    assert_done(pb_device_patchcore_features(device, &how, 1, &shape, first, 1, &out));
    cr_assert_eq(out, 0x1p24f * (1.0f / 3));
    assert_done(pb_device_patchcore_features(device, &how, 1, &shape, second, 1, &out));
    cr_assert_eq(out, (0x1p24f + 2) * (1.0f / 3));
    pb_device_close(&device);
}

Test(cpu_patchcore, no_memory_is_a_status) {
    pb_device *device;
    assert_done(pb_device_open("cpu", 2, &device));
    float *rows = numbers(UNIFORM, 0, 16), *out = constants(0.0f, 16);
    const float *const taps[1] = {rows};
    const pb_layer_shape shape = {{2, 2}, 4};
    const pb_patchcore how = {3, 1, 4, 4};
    for (int hit = 1; hit <= 2; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(fault, 0));
        pb_status status = pb_device_patchcore_features(device, &how, 1, &shape, taps, 1, out);
        cr_assert_eq(status.code, PB_E_SYSTEM);
    }
    assert_done(pb_fault_arm("", 0));
    assert_done(pb_device_patchcore_features(device, &how, 1, &shape, taps, 1, out));
    pb_release(&rows);
    pb_release(&out);
    pb_device_close(&device);
}
