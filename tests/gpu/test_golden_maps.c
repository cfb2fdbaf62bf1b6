/* Maps of pixels against torch's interpolation and scipy's Gaussian (tests/golden/make_maps.py): the plain twin and the device.
 */
#include "base/memory.h"
#include "base/random.h"
#include "gpu/ref.h"
#include "io/safetensors.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

enum { STEP = 7919, SAMPLES = 2048, SEED = 3 };

static const struct {
    pb_size grid, size;
    double sigma;
} CASES[] = {
    {{28, 28}, {224, 224}, 4}, {{40, 30}, {320, 240}, 5.5}, {{7, 5}, {53, 41}, 1}, {{3, 2}, {10, 7}, 4},
    {{1, 4}, {9, 30}, 2},      {{12, 9}, {5, 7}, 0.3},      {{6, 6}, {6, 6}, 0},
};

/* Values are up to 1, and so is every mean of them. A blend has fewer than 4 roundings and a fraction that is off by one, of a
 * difference of up to 2; each of two smoothings adds reach + 1 terms, a rounding each, whose weights and sums of two are off by
 * two roundings more of the whole. */
static void compare(const pb_tensor_view *golden, const float *found, size_t count, int reach, const char *what) {
    cr_assert_eq((size_t)golden->shape[0], count < SAMPLES ? count : SAMPLES);
    for (size_t k = 0; k < (size_t)golden->shape[0]; k++) {
        double value = (double)found[count <= SAMPLES ? k : k * STEP % count], expected = (double)golden->data[k];
        cr_assert(fabs(value - expected) <= (2 * (reach + 3) + 8) * 0x1p-24, "%s: sample %zu is %.9g, expected %.9g", what, k,
                  value, expected);
    }
}

static void check(pb_safetensors *golden, pb_device *device, size_t c) {
    const size_t places = pb_size_area(CASES[c].grid), count = pb_size_area(CASES[c].size);
    float *map, *pixels;
    char name[64];
    pb_smoothing how;
    pb_tensor_view view;
    pb_smoothing_gaussian(CASES[c].sigma, &how);
    snprintf(name, sizeof name, "%dx%d.%dx%d.%g", CASES[c].grid.width, CASES[c].grid.height, CASES[c].size.width,
             CASES[c].size.height, CASES[c].sigma);
    test_must(pb_safetensors_lookup(golden, name, &view));
    test_must(pb_allocate(&map, places, sizeof *map, "a map"));
    test_must(pb_allocate(&pixels, count, sizeof *pixels, "pixels"));
    for (size_t i = 0; i < places; i++)
        map[i] = pb_random_symmetric(SEED, PB_STREAM_TEST, 0, i);
    test_must(pb_device_smooth_maps(device, &how, map, 1, CASES[c].grid, CASES[c].size, pixels));
    compare(&view, pixels, count, how.reach, name);
    if (count <= SAMPLES) { /* the twin of a large map takes minutes; cpu_maps compares the two */
        pb_ref_smooth_maps(&how, map, 1, CASES[c].grid, CASES[c].size, pixels);
        compare(&view, pixels, count, how.reach, name);
    }
    pb_release(&map);
    pb_release(&pixels);
}

Test(golden_maps, pixels_are_the_authors) {
    pb_safetensors *golden;
    pb_device *device;
    test_must(pb_safetensors_open(PB_SOURCE_DIR "/tests/golden/maps.safetensors", &golden));
    test_must(pb_device_open("cpu", 2, &device));
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++)
        check(golden, device, c);
    pb_device_close(&device);
    pb_safetensors_close(&golden);
}
