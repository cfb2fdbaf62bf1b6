#include "arrays.h"
#include "base/fault.h"
#include "gpu/ref.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const int THREADS[] = {1, 2, 3};

static pb_device *opened(const char *name, int threads) {
    pb_device *device;
    assert_done(pb_device_open(name, threads, &device));
    return device;
}

/* Shapes of the taps of one case, the grid's first. */
typedef struct shapes {
    int count;
    pb_layer_shape of[3];
} shapes;

static const shapes CASES[] = {
    {2, {{{28, 28}, 40}, {{14, 14}, 112}}},            /* efficientnet-lite0 at 224 pixels */
    {3, {{{12, 20}, 5}, {{6, 10}, 16}, {{3, 5}, 33}}}, /* three scales of an upright image */
    {3, {{{21, 11}, 5}, {{11, 6}, 16}, {{6, 3}, 33}}}, /* three scales of a wide image with odd sides */
    {3, {{{7, 9}, 3}, {{5, 4}, 2}, {{7, 9}, 17}}},     /* a scale that is no whole number; a tap of the grid behind one without */
    {3, {{{8, 5}, 3}, {{8, 3}, 16}, {{4, 5}, 5}}},     /* taps that have the grid's size along one axis */
    {2, {{{4, 3}, 3}, {{9, 11}, 8}}},                  /* a tap finer than the grid */
    {2, {{{17, 4}, 3}, {{4, 17}, 8}}},                 /* finer along one axis, coarser along the other */
    {2, {{{9, 2}, 1}, {{1, 1}, 2}}},                   /* one place for the whole grid */
    {3, {{{8, 8}, 3}, {{2, 2}, 16}, {{2, 2}, 5}}},     /* two taps of one size, whose rows must not be confused */
    {1, {{{1, 19}, 2}}},
    {1, {{{1, 1}, 1}}},
};

static void check_patches(pb_device *device, kind k, int patch, const shapes *s, int n) {
    float *taps[3] = {NULL, NULL, NULL};
    size_t dim = 0;
    for (int t = 0; t < s->count; t++) {
        taps[t] = numbers(k, (uint32_t)t, (size_t)n * pb_layer_shape_values(s->of[t]));
        dim += (size_t)s->of[t].channels;
    }
    const size_t count = (size_t)n * pb_size_area(s->of[0].size) * dim + 1; /* one beyond: stays as it is */
    float *actual = constants(NAN, count), *expected = constants(NAN, count);
    assert_done(pb_device_patch_features(device, patch, s->count, s->of, (const float *const *)taps, n, actual));
    pb_ref_patch_features(patch, s->count, s->of, (const float *const *)taps, n, expected);
    assert_same_bits(actual, expected, count);
    for (int t = 0; t < s->count; t++)
        pb_release(&taps[t]);
    pb_release(&actual);
    pb_release(&expected);
}

Test(cpu_features, patch_features_are_the_twins_for_any_threads) {
    static const int IMAGES[] = {0, 1, 3};
    for (size_t t = 0; t < LENGTH(THREADS); t++) {
        pb_device *device = opened("cpu", THREADS[t]);
        for (int k = 0; k < KINDS; k++)
            for (size_t c = 0; c < LENGTH(CASES); c++)
                for (size_t n = 0; n < LENGTH(IMAGES); n++)
                    check_patches(device, (kind)k, 3, &CASES[c], IMAGES[n]);
        pb_device_close(&device);
    }
}

/* A set that this processor cannot run is not there to be tested. */
Test(cpu_features, patch_features_are_the_twins_for_any_kernels) {
    static const char *const NAMES[] = {"cpu:plain", "cpu:avx2", "cpu:avx512"};
    static const int PATCHES[] = {1, 3, 5, PB_NEIGHBOURHOOD_MAX};
    for (size_t i = 0; i < LENGTH(NAMES); i++) {
        pb_device *device;
        pb_status status = pb_device_open(NAMES[i], 2, &device);
        if (status.code == PB_E_UNSUPPORTED && i > 0)
            continue;
        assert_done(status);
        for (size_t c = 0; c < LENGTH(CASES); c++)
            for (size_t p = 0; p < LENGTH(PATCHES); p++)
                check_patches(device, MIXED, PATCHES[p], &CASES[c], 2);
        pb_device_close(&device);
    }
}

/* All rows, on any number of threads, and not one beyond. */
Test(cpu_features, unit_rows_are_the_twins_for_any_threads) {
    static const size_t ROWS[] = {0, 1, 2, 23, 500};
    for (size_t t = 0; t < LENGTH(THREADS); t++) {
        pb_device *device = opened("cpu", THREADS[t]);
        for (size_t r = 0; r < LENGTH(ROWS); r++)
            for (int dim = 1; dim <= 152; dim += 151) {
                const size_t count = (ROWS[r] + 1) * (size_t)dim;
                float *actual = numbers(MIXED, 4, count), *expected = numbers(MIXED, 4, count);
                assert_done(pb_device_unit_rows(device, actual, ROWS[r], dim));
                pb_ref_unit_rows(expected, ROWS[r], dim);
                assert_same_bits(actual, expected, count);
                pb_release(&actual);
                pb_release(&expected);
            }
        pb_device_close(&device);
    }
}

static void check_project(pb_device *device, kind k, size_t n, int dim, int out_dim) {
    const size_t width = (size_t)out_dim;
    float *rows = numbers(k, 0, n * (size_t)dim), *matrix = numbers(k, 1, (size_t)dim * width);
    float *actual = constants(NAN, n * width + 1), *expected = constants(NAN, n * width + 1);
    assert_done(pb_device_project(device, rows, n, dim, matrix, out_dim, actual));
    pb_ref_project(rows, n, dim, matrix, out_dim, expected);
    assert_same_bits(actual, expected, n * width + 1);
    pb_release(&rows);
    pb_release(&matrix);
    pb_release(&actual);
    pb_release(&expected);
}

Test(cpu_features, projection_is_the_twins_for_any_threads) {
    static const size_t ROWS[] = {0, 1, 23, 240, 241, 500};
    static const int OUT[] = {1, 31, 32, 33, 128};
    for (size_t t = 0; t < LENGTH(THREADS); t++) {
        pb_device *device = opened("cpu", THREADS[t]);
        for (size_t r = 0; r < LENGTH(ROWS); r++)
            for (size_t o = 0; o < LENGTH(OUT); o++)
                check_project(device, o % 2 ? MIXED : UNIFORM, ROWS[r], r % 2 ? 152 : 5, OUT[o]);
        check_project(device, UNIFORM, 50, 3000, 40); /* wide rows: several chunks of the least height */
        pb_device_close(&device);
    }
}

Test(cpu_features, no_memory_is_a_status) {
    pb_device *device = opened("cpu", 2);
    float *rows = numbers(UNIFORM, 0, 16), *out = constants(0.0f, 16);
    const float *const taps[1] = {rows};
    const pb_layer_shape shape = {{2, 2}, 4};
    assert_done(pb_fault_arm("base.allocate", 0));
    pb_status status = pb_device_project(device, rows, 4, 4, rows, 4, out);
    cr_assert_eq(status.code, PB_E_SYSTEM);
    assert_done(pb_fault_arm("base.allocate", 0));
    status = pb_device_patch_features(device, 3, 1, &shape, taps, 1, out);
    cr_assert_eq(status.code, PB_E_SYSTEM);
    assert_done(pb_fault_arm("", 0));
    assert_done(pb_device_patch_features(device, 3, 1, &shape, taps, 1, out));
    pb_release(&rows);
    pb_release(&out);
    pb_device_close(&device);
}
