/* Each operation on tokens against its definition, in double, of what the device itself made before: exact where nothing but a
 * copy or one sum is made, else within a bound that is derived. Then a whole transformer against the twin, and invariant 4. */
#include "gpu/device.h"

#include "base/fault.h"
#include "base/memory.h"
#include "gpu/ref.h"
#include "networks.h"
#include "token_bounds.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The taps of n images, run in calls of at most batch_max, on so many threads. */
static void run(const pb_network *network, int threads, int batch_max, const uint8_t *images, int n, float *const *taps) {
    pb_device *device;
    pb_compiled *compiled;
    test_must(pb_device_open("cpu", threads, &device));
    test_must(pb_device_compile(device, network, PB_PRECISION_FP32, batch_max, &compiled));
    for (int first = 0; first < n; first += batch_max) {
        int count = n - first < batch_max ? n - first : batch_max;
        float *to[PB_TAPS_MAX] = {NULL};
        for (int t = 0; t < network->tap_count; t++)
            to[t] = taps[t] + (size_t)first * test_tap_values(network, t);
        test_must(pb_device_run(device, compiled, images + (size_t)first * pb_size_area(network->size) * 3, count, to));
    }
    pb_device_compiled_free(device, &compiled);
    pb_device_close(&device);
}

/* ---- one operation at a time ---- */

/* Places of an image, channels, heads. The attention reads 1 + places tokens: 2, 16, 128 (one block of queries), 129 and 131 (two
 * blocks, which overlap), 257. */
static const struct {
    pb_size size;
    int channels, heads;
} CASES[] = {{{1, 1}, 4, 1}, {{5, 3}, 15, 3}, {{127, 1}, 64, 2}, {{16, 8}, 24, 1}, {{13, 10}, 33, 11}, {{16, 16}, 128, 2}};

Test(cpu_network_tokens, each_operation_is_within_its_bound) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) {
        int channels = CASES[k].channels;
        size_t places = pb_size_area(CASES[k].size), tokens = places + 1, values = places * (size_t)channels;
        const test_layer layers[] = {{channels, 1, 1, PB_ACTIVATION_GELU, -1, -1}};
        pb_network network = test_network(CASES[k].size, layers, 1, k);
        test_add_layer(&network, PB_OPERATION_TOKENS, channels, 1);
        test_add_layer(&network, PB_OPERATION_LAYER_NORM, channels, 1);
        test_add_layer(&network, PB_OPERATION_CONVOLUTION, 3 * channels, 1);
        test_add_layer(&network, PB_OPERATION_ATTENTION, channels, CASES[k].heads);
        test_add_layer(&network, PB_OPERATION_PATCHES, channels, 1);
        test_add_layer(&network, PB_OPERATION_LAYER_NORM, channels, 1);
        uint8_t *image = test_images(&network, 1, 5);
        float *taps[PB_TAPS_MAX];
        test_taps_allocate(&network, 1, taps);
        run(&network, 1, 1, image, 1, taps);
        const float *weights = network.layers[1].weights;
        cr_assert_arr_eq(taps[1], weights, (size_t)channels * sizeof(float));
        for (size_t i = 0; i < values; i++)
            cr_assert_eq(taps[1][(size_t)channels + i], taps[0][i] + weights[(size_t)channels + i]);
        check_layer_norm(&network.layers[2], tokens, taps[1], taps[2], 0, 0);
        check_attention(&network.layers[4], tokens, taps[3], taps[4], 0, 0);
        cr_assert_arr_eq(taps[5], taps[4] + channels, values * sizeof(float));
        check_layer_norm(&network.layers[6], places, taps[5], taps[6], 0, 0);
        test_taps_free(taps);
        pb_release(&image);
        pb_network_free(&network);
    }
}

/* Scores that would overflow an exponential taken as they are. */
Test(cpu_network_tokens, large_scores_do_not_overflow) {
    const test_layer layers[] = {{48, 1, 1, PB_ACTIVATION_NONE, -1, -1}};
    pb_network network = test_network((pb_size){9, 1}, layers, 1, 3);
    test_add_layer(&network, PB_OPERATION_ATTENTION, 16, 2);
    for (int i = 0; i < 48 * 3; i++)
        network.layers[0].weights[i] *= 30;
    uint8_t *image = test_images(&network, 1, 5);
    float *taps[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_taps_allocate(&network, 1, expected);
    run(&network, 1, 1, image, 1, taps);
    test_must(pb_ref_run(&network, image, 1, expected));
    double largest = 0;
    for (int i = 0; i < 9 * 48; i++)
        largest = fmax(largest, fabs((double)taps[0][i]));
    cr_assert(largest * largest > 1000, "nothing but values up to %g", largest);
    for (int i = 0; i < 9 * 16; i++)
        cr_assert(fabs((double)taps[1][i] - (double)expected[1][i]) <= 1e-2 * largest, "value %d: %g, expected %g", i,
                  (double)taps[1][i], (double)expected[1][i]);
    test_taps_free(expected);
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}

/* ---- a whole transformer ---- */

/* As in test_cpu_network.c: errors of 12 blocks add up in quadrature, and norms keep every tap near 1. */
Test(cpu_network_tokens, transformer_is_close_to_the_twin) {
    pb_network network;
    test_must(pb_network_random("dinov2_vits14", "0,5,11", (pb_size){56, 42}, 11, &network));
    uint8_t *image = test_images(&network, 1, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, found);
    test_taps_allocate(&network, 1, expected);
    test_must(pb_ref_run(&network, image, 1, expected));
    run(&network, 1, 1, image, 1, found);
    for (int t = 0; t < 3; t++) {
        double squares = 0, reference = 0, worst = 0;
        for (size_t i = 0; i < test_tap_values(&network, t); i++) {
            double apart = fabs((double)found[t][i] - (double)expected[t][i]);
            cr_assert(isfinite(found[t][i]));
            squares += apart * apart;
            reference += (double)expected[t][i] * (double)expected[t][i];
            worst = fmax(worst, apart);
        }
        cr_assert(sqrt(squares) <= 1e-5 * sqrt(reference), "tap %d: relative root mean square %g", t, sqrt(squares / reference));
        cr_assert(worst <= 1e-4, "tap %d: off by %g", t, worst);
    }
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&image);
    pb_network_free(&network);
}

/* Invariant 4. The first image and the last are the same. */
Test(cpu_network_tokens, bits_depend_on_neither_batch_nor_place_nor_threads) {
    enum { MANY = 5, SIDE = 168 }; /* 145 tokens: two blocks of queries */
    pb_network network;
    test_must(pb_network_random("dinov2_vits14", "0,1", test_square(SIDE), 3, &network));
    uint8_t *images = test_images(&network, MANY, 9);
    memcpy(images + (MANY - 1) * SIDE * SIDE * 3, images, SIDE * SIDE * 3);
    float *alone[PB_TAPS_MAX], *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, MANY, alone);
    test_taps_allocate(&network, MANY, taps);
    run(&network, 1, 1, images, MANY, alone);
    static const int THREADS[] = {1, 2, 3}, BATCHES[] = {2, 3, 16};
    for (int c = 0; c < 9; c++) {
        run(&network, THREADS[c % 3], BATCHES[c / 3], images, MANY, taps);
        for (int t = 0; t < 2; t++) {
            size_t bytes = test_tap_values(&network, t) * sizeof(float);
            cr_assert(memcmp(taps[t], alone[t], MANY * bytes) == 0, "tap %d: other bits on %d threads, %d images a call", t,
                      THREADS[c % 3], BATCHES[c / 3]);
            cr_assert(memcmp(taps[t], (const char *)taps[t] + (MANY - 1) * bytes, bytes) == 0);
            cr_assert(memcmp(taps[t], (const char *)taps[t] + bytes, bytes) != 0, "different images gave the same features");
        }
    }
    test_taps_free(taps);
    test_taps_free(alone);
    pb_release(&images);
    pb_network_free(&network);
}

Test(cpu_network_tokens, memory_that_is_refused_leaves_nothing) {
    pb_network network;
    test_must(pb_network_random("dinov2_vits14", "0", test_square(42), 3, &network));
    pb_device *device;
    test_must(pb_device_open("cpu", 2, &device));
    int hit = 1;
    for (pb_compiled *compiled = NULL; !compiled; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_status status = pb_device_compile(device, &network, PB_PRECISION_FP32, 2, &compiled);
        cr_assert(compiled || status.code == PB_E_SYSTEM, "allocation %d: %s", hit, status.message);
        cr_assert(!compiled || status.code == PB_OK);
        pb_device_compiled_free(device, &compiled);
        if (status.code == PB_OK)
            break;
    }
    cr_assert_gt(hit, 8, "only %d allocations", hit);
    pb_device_close(&device);
    pb_network_free(&network);
}
