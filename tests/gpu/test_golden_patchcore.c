/* PatchCore's patch features against numpy and the arithmetic of its authors' code (tests/golden/make_patchcore.py): the plain
 * twin and the device. */
#include "base/memory.h"
#include "base/random.h"
#include "gpu/ref.h"
#include "io/safetensors.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { STEP = 7919, SEED = 3, TAPS = 3 };

static const struct {
    pb_patchcore how;
    int tap_count;
    pb_layer_shape shapes[TAPS];
} CASES[] = {
    {{3, 1, 1024, 1024}, 2, {{{8, 8}, 512}, {{4, 4}, 1024}}},
    {{3, 1, 1024, 1024}, 3, {{{16, 16}, 64}, {{8, 8}, 128}, {{4, 4}, 256}}},
    {{1, 1, 24, 16}, 2, {{{6, 6}, 32}, {{3, 3}, 40}}},
    {{5, 2, 24, 16}, 2, {{{7, 7}, 8}, {{5, 5}, 6}}},
    {{13, 1, 20, 30}, 2, {{{6, 6}, 3}, {{3, 3}, 2}}},
    {{3, 3, 7, 5}, 2, {{{8, 8}, 4}, {{11, 11}, 3}}},
    {{5, 1, 64, 64}, 1, {{{5, 5}, 8}}},
};

static float *tap_of(pb_layer_shape shape, uint32_t t) {
    size_t count = pb_layer_shape_values(shape);
    float *values;
    test_must(pb_allocate(&values, count, sizeof *values, "a tap"));
    for (size_t i = 0; i < count; i++)
        values[i] = pb_random_symmetric(SEED, PB_STREAM_TEST, t, i);
    return values;
}

/* Values are means of at most 27 numbers up to 1, interpolated and averaged again: 27 sums that are rounded by up to 2^-24 of the
 * whole, and fewer than 13 other roundings. */
static void compare(const pb_tensor_view *golden, const float *found, size_t count, const char *what) {
    cr_assert_eq((size_t)golden->shape[0], count < 2048 ? count : 2048);
    for (size_t k = 0; k < (size_t)golden->shape[0]; k++) {
        double value = (double)found[count <= 2048 ? k : k * STEP % count], expected = (double)golden->data[k];
        cr_assert(fabs(value - expected) <= 40 * 0x1p-24, "%s: sample %zu is %.9g, expected %.9g", what, k, value, expected);
    }
}

static void check(pb_safetensors *golden, pb_device *device, size_t c) {
    const pb_patchcore *how = &CASES[c].how;
    float *taps[TAPS] = {NULL}, *features;
    char name[128];
    int length = snprintf(name, sizeof name, "%d.%d.%d.%d", how->patch, how->stride, how->layer_dim, how->feature_dim);
    for (int t = 0; t < CASES[c].tap_count; t++) {
        pb_layer_shape shape = CASES[c].shapes[t];
        taps[t] = tap_of(shape, (uint32_t)t);
        length += snprintf(name + length, sizeof name - (size_t)length, ".%dx%d", shape.size.width, shape.channels);
    }
    pb_tensor_view view;
    test_must(pb_safetensors_lookup(golden, name, &view));
    size_t count = pb_size_area(pb_patchcore_grid(how, CASES[c].shapes[0].size)) * (size_t)how->feature_dim;
    test_must(pb_allocate(&features, count, sizeof *features, "features"));
    test_must(pb_device_patchcore_features(device, how, CASES[c].tap_count, CASES[c].shapes, (const float *const *)taps, 1,
                                           features));
    compare(&view, features, count, name);
    pb_ref_patchcore_features(how, CASES[c].tap_count, CASES[c].shapes, (const float *const *)taps, 1, features);
    compare(&view, features, count, name);
    pb_release(&features);
    for (int t = 0; t < TAPS; t++)
        pb_release(&taps[t]);
}

Test(golden_patchcore, features_are_the_authors) {
    pb_safetensors *golden;
    pb_device *device;
    test_must(pb_safetensors_open(PB_SOURCE_DIR "/tests/golden/patchcore.safetensors", &golden));
    test_must(pb_device_open("cpu", 2, &device));
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++)
        check(golden, device, c);
    pb_device_close(&device);
    pb_safetensors_close(&golden);
}
