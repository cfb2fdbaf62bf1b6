#include "gpu/device.h"

#include "base/fault.h"
#include "base/memory.h"
#include "gpu/ref.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static pb_device *open_cpu(int threads) {
    pb_device *device;
    test_must(pb_device_open("cpu", threads, &device));
    return device;
}

/* The taps of n images, run in calls of at most batch_max, on so many threads. */
static void run(const pb_network *network, int threads, int batch_max, const uint8_t *images, int n, float *const *taps) {
    pb_device *device = open_cpu(threads);
    pb_compiled *compiled;
    test_must(pb_device_compile(device, network, PB_PRECISION_FP32, batch_max, &compiled));
    for (int first = 0; first < n; first += batch_max) {
        int count = n - first < batch_max ? n - first : batch_max;
        float *to[PB_TAPS_MAX] = {NULL};
        for (int t = 0; t < network->tap_count; t++)
            to[t] = taps[t] + (size_t)first * test_tap_values(network, t);
        size_t image_bytes = pb_size_area(network->size) * 3;
        test_must(pb_device_run(device, compiled, images + (size_t)first * image_bytes, count, to));
    }
    pb_device_compiled_free(device, &compiled);
    cr_assert_null(compiled);
    pb_device_close(&device);
}

/* ---- against the twin, within a bound that is derived ---- */

/* Every value of every layer of a small network lies within test_bounds of the twin. */
static void check_within_bounds(const pb_network *network, const char *what) {
    uint8_t *image = test_images(network, 1, 5);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX], *bounds[PB_TAPS_MAX];
    test_taps_allocate(network, 1, found);
    test_taps_allocate(network, 1, expected);
    test_taps_allocate(network, 1, bounds);
    test_must(pb_ref_run(network, image, 1, expected));
    test_bounds(network, image, expected, bounds);
    run(network, 1, 1, image, 1, found);
    for (int t = 0; t < network->tap_count; t++)
        for (size_t i = 0; i < test_tap_values(network, t); i++) {
            double apart = fabs((double)found[t][i] - (double)expected[t][i]);
            cr_assert(apart <= (double)bounds[t][i], "%s, %d x %d, layer %d, value %zu: %.9g, expected %.9g within %.3g", what,
                      network->size.width, network->size.height, t, i, (double)found[t][i], (double)expected[t][i],
                      (double)bounds[t][i]);
        }
    test_taps_free(bounds);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&image);
}

/* A first layer that makes channels out of the image, and the layer or layers in question. */
typedef struct kind {
    const char *what;
    int count;
    test_layer layers[4];
} kind;

#define RELU6 PB_ACTIVATION_RELU6
#define RELU PB_ACTIVATION_RELU
#define NONE PB_ACTIVATION_NONE

static const kind KINDS[] = {
    {"stem", 1, {{32, 3, 2, RELU6, -1, -1}}},
    {"7x7 stem", 1, {{64, 7, 2, RELU, -1, -1}}},
    {"expand", 2, {{16, 1, 1, NONE, -1, -1}, {96, 1, 1, RELU6, 0, -1}}},
    {"project", 2, {{96, 1, 1, RELU6, -1, -1}, {24, 1, 1, NONE, 0, -1}}},
    {"odd channels", 3, {{13, 3, 1, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {7, 1, 1, NONE, 1, -1}}},
    {"depthwise 3", 2, {{96, 1, 1, NONE, -1, -1}, {0, 3, 1, RELU6, 0, -1}}},
    {"depthwise 3 / 2", 2, {{96, 1, 1, NONE, -1, -1}, {0, 3, 2, RELU6, 0, -1}}},
    {"depthwise 5", 2, {{40, 1, 1, NONE, -1, -1}, {0, 5, 1, RELU6, 0, -1}}},
    {"depthwise 5 / 2", 2, {{144, 1, 1, NONE, -1, -1}, {0, 5, 2, RELU6, 0, -1}}},
    {"dense 3", 2, {{24, 1, 1, NONE, -1, -1}, {40, 3, 1, RELU, 0, -1}}},
    {"dense 3 / 2", 2, {{24, 1, 1, NONE, -1, -1}, {40, 3, 2, RELU, 0, -1}}},
    {"1x1 / 2", 2, {{24, 1, 1, NONE, -1, -1}, {40, 1, 2, NONE, 0, -1}}},
    {"residual", 3, {{24, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {24, 1, 1, NONE, 1, 0}}},
    {"residual before relu", 3, {{24, 3, 2, RELU, -1, -1}, {24, 3, 1, RELU, 0, -1}, {24, 3, 1, RELU, 1, 0}}},
    {"shortcut", 4, {{24, 3, 2, RELU, -1, -1}, {40, 1, 2, NONE, 0, -1}, {24, 3, 2, RELU, 0, -1}, {40, 3, 1, RELU, 2, 1}}},
    {"3x3 by Winograd", 2, {{64, 1, 1, NONE, -1, -1}, {80, 3, 1, RELU, 0, -1}}},
    {"3x3 by Winograd, residual", 3, {{64, 3, 1, RELU, -1, -1}, {64, 3, 1, RELU6, 0, -1}, {64, 3, 1, RELU, 1, 0}}},
};

Test(cpu_network, each_kind_of_layer_is_within_its_bound) {
    static const pb_size SIZES[] = {{1, 1}, {5, 5}, {32, 32}, {33, 32}, {18, 33}, {3, 40}};
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
            pb_network network = test_network(SIZES[s], KINDS[k].layers, KINDS[k].count, k);
            check_within_bounds(&network, KINDS[k].what);
            test_pad_symmetrically(&network);
            check_within_bounds(&network, KINDS[k].what);
            pb_network_free(&network);
        }
}

/* With channels that fill registers and some that do not; the pool's input goes on to another layer, as its output does. */
Test(cpu_network, max_pooling_is_within_its_bound) {
    static const pb_size SIZES[] = {{1, 1}, {2, 2}, {5, 5}, {32, 33}, {33, 32}, {4, 17}};
    static const int CHANNELS[] = {1, 13, 64};
    for (int c = 0; c < 6 * 3 * 2; c++) {
        const test_layer layers[] = {{CHANNELS[c / 2 % 3], 3, 1, NONE, -1, -1}, {0, 3, 2, NONE, 0, -1}, {8, 1, 1, RELU, 1, -1},
                                     {8, 1, 2, RELU, 0, 2}};
        pb_network network = test_network(SIZES[c / 6], layers, 4, 3);
        test_make_pool(&network, 1);
        if (c % 2)
            test_pad_symmetrically(&network);
        check_within_bounds(&network, "max pooling");
        pb_network_free(&network);
    }
}

/* ---- the whole network ---- */

/* Over dozens of layers a worst-case bound says nothing: it grows by the sum of the sizes of a layer's weights, about
 * sqrt(fan-in) times what signals grow. Rounding errors behave as independent: a sum of K terms adds about sqrt(K) 2^-24 relative
 * to its size (EfficientNet's K <= 672: 1.5e-6; ResNets have up to 4,608 terms, but a residual carries most of a signal), 33
 * layers in quadrature 9e-6, and batch norm is the identity here, so that nothing amplifies. Hence: root mean square of the
 * difference at most 1e-5 of the tap's own, no value off by more than 1e-4 of the largest. */
static void check_close(const float *found, const float *expected, size_t count, int tap) {
    double squares = 0, reference = 0, worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double apart = fabs((double)found[i] - (double)expected[i]);
        cr_assert(isfinite(found[i]));
        squares += apart * apart;
        reference += (double)expected[i] * (double)expected[i];
        worst = fmax(worst, apart);
        largest = fmax(largest, fabs((double)expected[i]));
    }
    cr_assert(sqrt(squares) <= 1e-5 * sqrt(reference), "tap %d: relative root mean square %g", tap, sqrt(squares / reference));
    cr_assert(worst <= 1e-4 * largest, "tap %d: %g of values up to %g", tap, worst, largest);
    cr_assert(largest > 0.1, "tap %d: nothing but values up to %g", tap, largest);
}

static void check_backbone(const char *backbone, const char *taps, pb_size size) {
    pb_network network;
    test_must(pb_network_random(backbone, taps, size, 11, &network));
    uint8_t *images = test_images(&network, 2, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(&network, 2, found);
    test_taps_allocate(&network, 2, expected);
    test_must(pb_ref_run(&network, images, 2, expected));
    run(&network, 2, 2, images, 2, found);
    for (int t = 0; t < network.tap_count; t++)
        check_close(found[t], expected[t], 2 * test_tap_values(&network, t), t);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
    pb_network_free(&network);
}

Test(cpu_network, efficientnet_is_close_to_the_twin) { check_backbone("efficientnet_lite0", "0,3,4,10,15", (pb_size){75, 64}); }

Test(cpu_network, resnet_is_close_to_the_twin) { check_backbone("resnet18", "1,2,3,4", (pb_size){96, 64}); }

Test(cpu_network, wide_resnet_is_close_to_the_twin) { check_backbone("wide_resnet50_2", "2,3", (pb_size){64, 32}); }

/* ---- invariant 4: an image's result depends on the image alone ---- */

enum { MANY = 7 };

/* Two of the images are the same, the first and the last. */
static void check_same_bits(const pb_network *network, const uint8_t *images, float *const *alone, int threads, int batch_max) {
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(network, MANY, taps);
    run(network, threads, batch_max, images, MANY, taps);
    for (int t = 0; t < network->tap_count; t++) {
        size_t bytes = test_tap_values(network, t) * sizeof(float);
        cr_assert(memcmp(taps[t], alone[t], MANY * bytes) == 0, "tap %d: other bits on %d threads, %d images a call", t, threads,
                  batch_max);
        cr_assert(memcmp(taps[t], (const char *)taps[t] + (MANY - 1) * bytes, bytes) == 0);
        cr_assert(memcmp(taps[t], (const char *)taps[t] + bytes, bytes) != 0, "different images gave the same features");
    }
    test_taps_free(taps);
}

static void check_bits(const char *backbone, const char *taps) {
    pb_network network;
    test_must(pb_network_random(backbone, taps, test_square(96), 3, &network));
    uint8_t *images = test_images(&network, MANY, 9);
    size_t image_bytes = 96 * 96 * 3;
    memcpy(images + (MANY - 1) * image_bytes, images, image_bytes);
    float *alone[PB_TAPS_MAX];
    test_taps_allocate(&network, MANY, alone);
    run(&network, 1, 1, images, MANY, alone);
    static const int THREADS[] = {1, 2, 3, 4}, BATCHES[] = {1, 2, 3, MANY, 16};
    for (int c = 0; c < 4 * 5; c++)
        check_same_bits(&network, images, alone, THREADS[c % 4], BATCHES[c / 4]);
    omp_set_num_threads(3); /* what the process has set for itself is nothing to us, and stays as it was */
    check_same_bits(&network, images, alone, 1, 4);
    cr_assert_eq(omp_get_max_threads(), 3);
    test_taps_free(alone);
    pb_release(&images);
    pb_network_free(&network);
}

Test(cpu_network, bits_depend_on_neither_batch_nor_place_nor_threads) {
    check_bits("efficientnet_lite0", "4,10");
    check_bits("resnet18", "2,3");
}

/* A tap that later layers read, as source and as residual, must not be changed by them. */
Test(cpu_network, taps_are_not_overwritten) {
    const test_layer layers[] = {{24, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {24, 1, 1, NONE, 1, 0},
                                 {24, 1, 1, NONE, 2, 2}};
    pb_network network = test_network(test_square(32), layers, 4, 2);
    uint8_t *image = test_images(&network, 1, 0);
    float *all[PB_TAPS_MAX], *last[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, all);
    run(&network, 1, 1, image, 1, all);
    network.tap_count = 1;
    network.taps[0] = 3;
    test_taps_allocate(&network, 1, last);
    run(&network, 1, 1, image, 1, last);
    cr_assert_arr_eq(last[0], all[3], test_tap_values(&network, 0) * sizeof(float));
    test_taps_free(last);
    test_taps_free(all);
    pb_release(&image);
    pb_network_free(&network);
}

/* ---- the rest of the contract ---- */

Test(cpu_network, network_may_be_freed_and_calls_may_be_empty) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0", test_square(32), 3, &network));
    pb_device *device = open_cpu(2);
    pb_compiled *compiled;
    uint8_t *image = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_taps_allocate(&network, 1, expected);
    run(&network, 1, 1, image, 1, expected);
    size_t values = test_tap_values(&network, 0);
    test_must(pb_device_compile(device, &network, PB_PRECISION_FP32, 2, &compiled));
    for (int l = 0; l < network.layer_count; l++)
        memset(network.layers[l].bias, 0xff, (size_t)network.layers[l].outputs * sizeof(float));
    pb_network_free(&network);
    test_must(pb_device_run(device, compiled, image, 0, taps));
    cr_assert_eq(taps[0][0], 0.0f);
    test_must(pb_device_run(device, compiled, image, 1, taps));
    cr_assert_arr_eq(taps[0], expected[0], values * sizeof(float));
    pb_device_compiled_free(device, &compiled);
    pb_device_close(&device);
    test_taps_free(expected);
    test_taps_free(taps);
    pb_release(&image);
}

Test(cpu_network, other_precisions_are_unsupported) {
    static const pb_precision OTHERS[] = {PB_PRECISION_TF32, PB_PRECISION_FP16, PB_PRECISION_BF16};
    pb_network network;
    pb_device *device;
    test_must(pb_network_random("efficientnet_lite0", "0", test_square(32), 3, &network));
    test_must(pb_device_open("cpu", 1, &device));
    for (size_t p = 0; p < sizeof OTHERS / sizeof *OTHERS; p++) {
        pb_compiled *compiled;
        pb_status status = pb_device_compile(device, &network, OTHERS[p], 1, &compiled);
        cr_assert(status.code == PB_E_UNSUPPORTED && !compiled);
        cr_assert_not_null(strstr(status.message, "device cpu: "), "%s", status.message);
        cr_assert_not_null(strstr(status.message, pb_precision_name(OTHERS[p])), "%s", status.message);
    }
    pb_device_close(&device);
    pb_network_free(&network);
}

Test(cpu_network, more_images_than_compiled_for_are_our_defect, .signal = SIGABRT) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0", test_square(32), 3, &network));
    uint8_t *images = test_images(&network, 3, 0);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 3, taps);
    pb_device *device = open_cpu(1);
    pb_compiled *compiled;
    test_must(pb_device_compile(device, &network, PB_PRECISION_FP32, 2, &compiled));
    pb_status status = pb_device_run(device, compiled, images, 3, taps);
    (void)status;
}

Test(cpu_network, memory_that_is_refused_leaves_nothing) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "2", test_square(32), 3, &network));
    pb_device *device = open_cpu(2);
    int hit = 1;
    for (pb_compiled *compiled = NULL; !compiled; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_status status = pb_device_compile(device, &network, PB_PRECISION_FP32, 2, &compiled);
        cr_assert(compiled || status.code == PB_E_SYSTEM, "allocation %d: %s", hit, status.message);
        cr_assert(!compiled || status.code == PB_OK);
        if (compiled) {
            pb_device_compiled_free(device, &compiled);
            break;
        }
    }
    cr_assert_gt(hit, 8, "only %d allocations", hit);
    pb_device_close(&device);
    pb_network_free(&network);
}
