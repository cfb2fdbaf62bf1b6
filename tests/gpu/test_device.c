#include "gpu/device_table.h"

#include "networks.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(device, unknown_names_are_usage_errors) {
    static const char *const NAMES[] = {"", "gpu", "cp", "cpux", ":0", "CPU", "cudas:0"};
    for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++) {
        pb_device *device;
        pb_status status = pb_device_open(NAMES[n], 1, &device);
        cr_assert_eq(status.code, PB_E_USAGE, "\"%s\": %s", NAMES[n], status.message);
        cr_assert_not_null(strstr(status.message, "this build has: cpu cuda"), "%s", status.message);
        cr_assert_null(device);
    }
}

Test(device, close_empties_and_takes_nothing) {
    pb_device *device = NULL;
    pb_device_close(&device);
    test_must(pb_device_open("cpu", 1, &device));
    cr_assert_not_null(device);
    pb_device_close(&device);
    cr_assert_null(device);
}

Test(device, no_threads_is_our_defect, .signal = SIGABRT) {
    pb_device *device;
    pb_status status = pb_device_open("cpu", 0, &device);
    (void)status;
}

/* A kind of device without any operation. */
static const pb_device_table NOTHING = {.version = PB_DEVICE_TABLE_VERSION, .kind = "nothing"};

static void expect_unsupported(pb_status status, const char *operation) {
    cr_assert_eq(status.code, PB_E_UNSUPPORTED, "%s: %s", operation, status.message);
    cr_assert_not_null(strstr(status.message, "nothing"), "%s", status.message);
    cr_assert_not_null(strstr(status.message, operation), "\"%s\" is not in \"%s\"", operation, status.message);
}

Test(device, empty_slots_are_unsupported) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    pb_layer layer = {.inputs = 3, .outputs = 1, .kernel = 1, .stride = 1, .groups = 1, .source = -1, .residual = -1};
    pb_network network = {.backbone = "by_hand", .size = {32, 32}, .layer_count = 1, .layers = &layer, .tap_count = 1};
    pb_layer_shape shape = {{1, 1}, 1};
    float value = 0, *tap = &value;
    const float *const_tap = &value;
    pb_smoothing smoothing;
    const pb_patchcore how = {.patch = 1, .stride = 1, .layer_dim = 1, .feature_dim = 1};
    uint8_t image[3] = {0};
    int something;
    pb_compiled *compiled;
    pb_points *points, *some_points = (pb_points *)(void *)&something; /* never looked at */
    void *memory = &something;
    int64_t not_finite;
    uint64_t packed = 0;
    expect_unsupported(pb_device_alloc(&device, 1, &memory, "x"), "alloc");
    cr_assert_null(memory);
    expect_unsupported(pb_device_upload(&device, image, image, 0), "upload");
    expect_unsupported(pb_device_download(&device, image, image, 0), "download");
    expect_unsupported(pb_device_copy_block(&device, image, 1, image, 1, 1, 1), "copy_block");
    expect_unsupported(pb_device_compile(&device, &network, PB_PRECISION_FP32, 1, &compiled), "compile");
    cr_assert_null(compiled);
    compiled = (pb_compiled *)(void *)&something;
    expect_unsupported(pb_device_run(&device, compiled, image, 1, &tap), "run");
    expect_unsupported(pb_device_patch_features(&device, 3, 1, &shape, &const_tap, 1, &value), "patch_features");
    expect_unsupported(pb_device_patchcore_features(&device, &how, 1, &shape, &const_tap, 1, &value), "patchcore_features");
    expect_unsupported(pb_device_unit_rows(&device, &value, 1, 1), "unit_rows");
    expect_unsupported(pb_device_project(&device, &value, 1, 1, &value, 1, &value), "project");
    pb_smoothing_gaussian(0, &smoothing);
    expect_unsupported(pb_device_smooth_maps(&device, &smoothing, &value, 1, shape.size, shape.size, &value), "smooth_maps");
    expect_unsupported(pb_device_points_create(&device, 1, 1, &points), "points_create");
    cr_assert_null(points);
    expect_unsupported(pb_device_points_write(&device, some_points, 0, 1, &value, &not_finite), "points_write");
    expect_unsupported(pb_device_points_read(&device, some_points, 0, &value), "points_read");
    expect_unsupported(pb_device_greedy_step(&device, some_points, 0, &value, &packed), "greedy_step");
    expect_unsupported(pb_device_nearest(&device, some_points, 0, &value, 1, &packed), "nearest");
}

Test(device, releasing_nothing_is_fine) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    void *memory = NULL;
    pb_compiled *compiled = NULL;
    pb_points *points = NULL;
    pb_device_release(&device, &memory);
    pb_device_compiled_free(&device, &compiled);
    pb_device_points_free(&device, &points);
}

Test(device, compiling_for_no_images_is_our_defect, .signal = SIGABRT) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0", test_square(32), 1, &network));
    pb_device *device;
    test_must(pb_device_open("cpu", 1, &device));
    pb_compiled *compiled;
    pb_status status = pb_device_compile(device, &network, PB_PRECISION_FP32, 0, &compiled);
    (void)status;
}

/* What callers compare by: larger distances first, then smaller indices; and what comes out again is what went in. */
Test(device, packed_pairs_order_by_distance_then_index) {
    static const float DISTANCES[] = {0, 1e-45f, 1e-30f, 0.5f, 1, 1.0000001f, 3e38f};
    static const uint32_t INDICES[] = {0, 1, 77, UINT32_MAX - 1};
    enum { D = sizeof DISTANCES / sizeof *DISTANCES, I = sizeof INDICES / sizeof *INDICES };
    for (int a = 0; a < D * I; a++)
        for (int b = 0; b < D * I; b++) {
            float da = DISTANCES[a / I], db = DISTANCES[b / I];
            uint32_t ia = INDICES[a % I], ib = INDICES[b % I];
            uint64_t far_a = pb_pack_farthest(da, ia), near_a = pb_pack_nearest(da, ia);
            cr_assert_eq(far_a > pb_pack_farthest(db, ib), da > db || (da == db && ia < ib));
            cr_assert_eq(near_a < pb_pack_nearest(db, ib), da < db || (da == db && ia < ib));
            cr_assert(pb_packed_distance2(far_a) == da && pb_farthest_index(far_a) == ia);
            cr_assert(pb_packed_distance2(near_a) == da && pb_nearest_index(near_a) == ia);
            cr_assert_lt(near_a, PB_NEAREST_NONE);
        }
}
