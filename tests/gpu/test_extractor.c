#include "gpu/extractor.h"

#include "base/fault.h"
#include "base/memory.h"
#include "gpu/ref.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 96, HEIGHT = 64, IMAGES = 3, IMAGE_BYTES = WIDTH * HEIGHT * 3, DIM = 40 + 112, ROWS = WIDTH / 8 * HEIGHT / 8 };
static const pb_size SIZE = {WIDTH, HEIGHT}, GRID = {WIDTH / 8, HEIGHT / 8};
static const pb_features MEANS = {.patch = 3, .image = {WIDTH, HEIGHT}};

typedef struct fixture {
    pb_network network;
    pb_device *device;
    uint8_t *images;
} fixture;

static fixture set_up(int threads) {
    fixture f;
    test_must(pb_network_random("efficientnet_lite0", "4,10", SIZE, 5, &f.network));
    test_must(pb_device_open("cpu", threads, &f.device));
    f.images = test_images(&f.network, IMAGES, 20);
    return f;
}

static void tear_down(fixture *f) {
    pb_release(&f->images);
    pb_device_close(&f->device);
    pb_network_free(&f->network);
}

/* Features of images first .. first + n - 1, copied to host memory. */
static void extract(fixture *f, pb_extractor *extractor, int first, int n, float *out) {
    const float *features;
    test_must(pb_extractor_run(extractor, f->images + (size_t)first * IMAGE_BYTES, (size_t)n, &features));
    test_must(pb_device_download(f->device, out, features, (size_t)n * ROWS * DIM * sizeof(float)));
}

/* The same from taps: those of the device, or with `twin` of pb_ref_run. */
static void expect(const fixture *f, bool twin, float *out) {
    float *taps[PB_TAPS_MAX];
    pb_layer_shape shapes[PB_TAPS_MAX];
    test_taps_allocate(&f->network, IMAGES, taps);
    for (int t = 0; t < f->network.tap_count; t++)
        shapes[t] = pb_network_shape(&f->network, f->network.taps[t]);
    if (twin) {
        test_must(pb_ref_run(&f->network, f->images, IMAGES, taps));
    } else {
        pb_compiled *compiled;
        test_must(pb_device_compile(f->device, &f->network, PB_PRECISION_FP32, IMAGES, &compiled));
        test_must(pb_device_run(f->device, compiled, f->images, IMAGES, taps));
        pb_device_compiled_free(f->device, &compiled);
    }
    pb_ref_patch_features(MEANS.patch, f->network.tap_count, shapes, (const float *const *)taps, IMAGES, out);
    test_taps_free(taps);
}

static float *rows(void) {
    float *values;
    test_must(pb_allocate(&values, (size_t)IMAGES * ROWS * DIM, sizeof *values, "features"));
    return values;
}

Test(extractor, grid_and_dim_are_those_of_the_taps) {
    fixture f = set_up(1);
    pb_extractor *extractor;
    test_must(pb_extractor_create(f.device, &f.network, &MEANS, 1, &extractor));
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), GRID));
    cr_assert_eq(pb_extractor_dim(extractor), DIM);
    pb_extractor_free(&extractor);
    cr_assert_null(extractor);
    pb_extractor_free(&extractor);
    tear_down(&f);
}

/* Exactly the patch features of the device's own taps, whose arithmetic is canonical. And close to the twins all the way, by the
 * norm of test_cpu_network.c: averaging and blending do not enlarge differences. */
Test(extractor, features_are_those_of_the_twins) {
    fixture f = set_up(2);
    pb_extractor *extractor;
    test_must(pb_extractor_create(f.device, &f.network, &MEANS, IMAGES, &extractor));
    float *found = rows(), *expected = rows();
    extract(&f, extractor, 0, IMAGES, found);
    expect(&f, false, expected);
    cr_assert_arr_eq(found, expected, (size_t)IMAGES * ROWS * DIM * sizeof(float));
    expect(&f, true, expected);
    double squares = 0, reference = 0;
    for (size_t i = 0; i < (size_t)IMAGES * ROWS * DIM; i++) {
        squares += pow((double)found[i] - (double)expected[i], 2);
        reference += pow((double)expected[i], 2);
    }
    cr_assert(sqrt(squares) <= 1e-5 * sqrt(reference), "relative root mean square %g", sqrt(squares / reference));
    pb_release(&expected);
    pb_release(&found);
    pb_extractor_free(&extractor);
    tear_down(&f);
}

Test(extractor, bits_of_an_image_do_not_depend_on_its_batch) {
    fixture f = set_up(2);
    pb_extractor *single, *many;
    test_must(pb_extractor_create(f.device, &f.network, &MEANS, 1, &single));
    test_must(pb_extractor_create(f.device, &f.network, &MEANS, IMAGES + 2, &many));
    float *alone = rows(), *together = rows();
    const size_t values = (size_t)ROWS * DIM;
    for (int i = 0; i < IMAGES; i++)
        extract(&f, single, i, 1, alone + (size_t)i * values);
    extract(&f, many, 0, IMAGES, together);
    cr_assert_arr_eq(together, alone, IMAGES * values * sizeof(float));
    extract(&f, many, 1, 2, together);
    cr_assert_arr_eq(together, alone + values, 2 * values * sizeof(float));
    extract(&f, many, 0, 0, together);
    pb_release(&together);
    pb_release(&alone);
    pb_extractor_free(&many);
    pb_extractor_free(&single);
    tear_down(&f);
}

/* PatchCore's features: the stride decides the grid, feature_dim the width; exactly those of the device's own taps, and the same
 * bits for an image alone. */
Test(extractor, patchcore_features_are_those_of_the_taps) {
    enum { STRIDE = 3, PATCHES = 4 * 3, VALUES = 24 }; /* of a grid of 12 x 8 */
    fixture f = set_up(2);
    pb_features how = {.is_patchcore = true, .image = SIZE,
                       .patchcore = {.patch = 5, .stride = STRIDE, .layer_dim = 50, .feature_dim = VALUES}};
    pb_extractor *extractor;
    pb_compiled *compiled;
    const float *features;
    float *taps[PB_TAPS_MAX], expected[IMAGES * PATCHES * VALUES], found[IMAGES * PATCHES * VALUES];
    const pb_layer_shape shapes[] = {{GRID, 40}, {pb_size_over(GRID, 2), 112}};
    test_must(pb_extractor_create(f.device, &f.network, &how, IMAGES, &extractor));
    test_taps_allocate(&f.network, IMAGES, taps);
    test_must(pb_device_compile(f.device, &f.network, PB_PRECISION_FP32, IMAGES, &compiled));
    test_must(pb_device_run(f.device, compiled, f.images, IMAGES, taps));
    pb_ref_patchcore_features(&how.patchcore, 2, shapes, (const float *const *)taps, IMAGES, expected);
    how = (pb_features){0}; /* the extractor has its own */
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), (pb_size){4, 3}));
    cr_assert_eq(pb_extractor_dim(extractor), VALUES);
    test_must(pb_extractor_run(extractor, f.images, IMAGES, &features));
    test_must(pb_device_download(f.device, found, features, sizeof found));
    cr_assert_arr_eq(found, expected, sizeof found);
    test_must(pb_extractor_run(extractor, f.images + 2 * IMAGE_BYTES, 1, &features));
    test_must(pb_device_download(f.device, found, features, sizeof found / IMAGES));
    cr_assert_arr_eq(found, expected + 2 * PATCHES * VALUES, sizeof found / IMAGES);
    pb_device_compiled_free(f.device, &compiled);
    test_taps_free(taps);
    pb_extractor_free(&extractor);
    tear_down(&f);
}

Test(extractor, one_tap_is_enough) {
    pb_network network;
    pb_device *device;
    pb_extractor *extractor;
    test_must(pb_network_random("efficientnet_lite0", "10", SIZE, 5, &network));
    test_must(pb_device_open("cpu", 1, &device));
    test_must(pb_extractor_create(device, &network, &MEANS, 1, &extractor));
    pb_network_free(&network);
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), pb_size_over(SIZE, 16)));
    cr_assert_eq(pb_extractor_dim(extractor), 112);
    pb_extractor_free(&extractor);
    pb_device_close(&device);
}

Test(extractor, memory_that_is_refused_leaves_nothing) {
    fixture f = set_up(1);
    int hit = 1;
    for (bool made = false; !made; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_extractor *extractor;
        pb_status status = pb_extractor_create(f.device, &f.network, &MEANS, 1, &extractor);
        made = extractor;
        cr_assert_eq(status.code, made ? PB_OK : PB_E_SYSTEM, "allocation %d: %s", hit, status.message);
        pb_extractor_free(&extractor);
    }
    cr_assert_gt(hit, 10, "only %d allocations", hit);
    tear_down(&f);
}
