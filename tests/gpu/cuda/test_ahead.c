/* Batches through an extractor on the plugin: copies beside kernels, recordings, and every call of CUDA failing once.
 *
 * The emulator has no cuDNN, so a network is one kernel: its tap is the normalised image (network_input.cu). What is queued is
 * done as late as it may be (emulator_lazy), on the kernels' stream, on the copies', or on both: an order that is missing in the
 * plugin then gives other features than the plain twin's. */
#include "capture.h"
#include "emulated.h"
#include "gpu/cuda/cuda.h"
#include "gpu/cuda/network_edges.h"
#include "gpu/extractor.h"

#include <stdio.h>

enum { WIDTH = 8, HEIGHT = 6, CHANNELS = 4, PIXELS = WIDTH * HEIGHT, BATCH = 3, BATCHES = 5, PATCH = 3 };
enum { KERNELS_LATE = 1, COPIES_LATE = 2 }; /* the streams of a device in the order of their making */

static const float MEAN[3] = {10, 20, 30}, SCALE[3] = {0.5f, 0.25f, 2};

/* ---- a device with such a network ---- */

struct pb_compiled {
    size_t pixels;
};

static pb_compiled compiled;

static pb_status test_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                              pb_compiled **compiled_out) {
    (void)device;
    cr_assert(precision == PB_PRECISION_FP16 && batch_max >= 1);
    compiled.pixels = pb_size_area(network->size);
    *compiled_out = &compiled;
    return pb_ok();
}

static void test_compiled_free(pb_device *device, pb_compiled *network) {
    (void)device;
    (void)network;
}

static pb_status test_run(pb_device *device, pb_compiled *network, const uint8_t *images, int n, float *const *taps) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device,
                         pb_cuda_network_input(pb_cuda_state_of(device)->stream, images, (size_t)n * network->pixels, MEAN, SCALE,
                                               CHANNELS, PB_ELEMENT_FLOAT, taps[0]),
                         "network_input");
}

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_ahead, .init = use_emulator);

static pb_device_table with_network;

static pb_status open_device(pb_device **device) {
    PB_TRY(pb_device_open("cuda:0", 1, device));
    with_network = *(*device)->table;
    with_network.compile = test_compile;
    with_network.compiled_free = test_compiled_free;
    with_network.run = test_run;
    (*device)->table = &with_network;
    return pb_ok();
}

static pb_layer layer = {.inputs = 3, .outputs = CHANNELS, .kernel = 1, .stride = 1, .groups = 1, .source = -1, .residual = -1};

static const pb_network NETWORK = {.size = {WIDTH, HEIGHT}, .layer_count = 1, .layers = &layer, .tap_count = 1};
static const pb_features MEANS = {
    .patch = PATCH, .unit = true, .precision = PB_PRECISION_FP16, .image = {WIDTH, HEIGHT}};
static const pb_features POOLED = {
    .is_patchcore = true, .patchcore = {3, 1, 12, 6}, .precision = PB_PRECISION_FP16, .image = {WIDTH, HEIGHT}};
static const pb_features TILES = {.patch = 1, .precision = PB_PRECISION_FP16, .image = {2 * WIDTH, HEIGHT}};
static const pb_features WIDE = {.patch = 1, .precision = PB_PRECISION_FP16, .image = {4 * WIDTH, HEIGHT}};

/* ---- batches ---- */

static uint8_t byte_of(size_t batch, size_t i) { return (uint8_t)(batch * 41 + i * 7 + i * i % 13); }

static size_t image_bytes(const pb_features *how) { return pb_size_area(how->image) * 3; }

/* Features of n images of a batch by the plain twins, each image as one tile. */
static void expect(const pb_features *how, size_t batch, size_t n, float *out) {
    const pb_layer_shape shape = {how->image, CHANNELS};
    const size_t pixels = pb_size_area(how->image);
    float *tap = constants(0, n * pixels * CHANNELS);
    for (size_t p = 0; p < n * pixels; p++)
        for (size_t c = 0; c < 3; c++)
            tap[p * CHANNELS + c] = ((float)byte_of(batch, p * 3 + c) - MEAN[c]) * SCALE[c];
    if (how->is_patchcore)
        pb_ref_patchcore_features(&how->patchcore, 1, &shape, (const float *const *)&tap, (int)n, out);
    else
        pb_ref_patch_features(how->patch, 1, &shape, (const float *const *)&tap, (int)n, out);
    if (how->unit)
        pb_ref_unit_rows(out, n * pixels, CHANNELS);
    pb_release(&tap);
}

/* Host memory of two batches: one is filled anew while the other may still be on its way. */
typedef struct trays {
    pb_device *device;
    pb_extractor *extractor;
    const pb_features *how;
    uint8_t *bytes[2];
    size_t images; /* of a whole batch */
} trays;

/* The last batch is not whole. */
static size_t images_of(const trays *of, size_t batch) { return batch + 1 < BATCHES || of->images == 1 ? of->images : 1; }

static pb_status put(const trays *of, size_t batch) {
    uint8_t *bytes = of->bytes[batch % 2];
    for (size_t i = 0; i < of->images * image_bytes(of->how); i++)
        bytes[i] = byte_of(batch, i);
    return pb_extractor_put(of->extractor, bytes, images_of(of, batch));
}

/* As a pipeline does: the next batch is put before the features of this one are looked at. */
static pb_status run_batch(const trays *of, size_t batch, float *found) {
    const float *features;
    const size_t values = images_of(of, batch) * pb_size_area(pb_extractor_grid(of->extractor)) *
                          (size_t)pb_extractor_dim(of->extractor);
    PB_TRY(pb_extractor_take(of->extractor, &features));
    memset(of->bytes[batch % 2], 0xEE, of->images * image_bytes(of->how));
    if (batch + 1 < BATCHES)
        PB_TRY(put(of, batch + 1));
    return pb_device_download(of->device, found, features, values * sizeof *found);
}

/* Features of all batches, one after the other. */
static pb_status run_batches(const trays *of, float *found) {
    PB_TRY(put(of, 0));
    for (size_t batch = 0; batch < BATCHES; batch++) {
        PB_TRY(run_batch(of, batch, found));
        found += images_of(of, batch) * pb_size_area(of->how->image) * (size_t)pb_extractor_dim(of->extractor);
    }
    return pb_ok();
}

/* All from opening the device to closing it. found: room for BATCHES * BATCH images. */
static pb_status run_all(const pb_features *how, int batch_max, float *found) {
    trays of = {.how = how};
    PB_TRY(open_device(&of.device));
    pb_status status = pb_extractor_create(of.device, &NETWORK, how, batch_max, &of.extractor);
    of.images = of.extractor ? pb_extractor_images_max(of.extractor) : 1;
    for (int t = 0; t < 2 && !pb_failed(&status); t++)
        status = pb_device_host_alloc(of.device, of.images * image_bytes(how), &of.bytes[t], "a batch");
    if (!pb_failed(&status))
        status = run_batches(&of, found);
    pb_extractor_free(&of.extractor);
    for (int t = 0; t < 2; t++)
        pb_device_host_release(of.device, &of.bytes[t]);
    pb_device_close(&of.device);
    return status;
}

enum { VALUES_MOST = BATCHES * BATCH * 4 * PIXELS * 12 };

static size_t expect_all(const pb_features *how, size_t images, float *expected) {
    const size_t dim = how->is_patchcore ? (size_t)how->patchcore.feature_dim : CHANNELS;
    const trays of = {.how = how, .images = images};
    size_t at = 0;
    for (size_t batch = 0; batch < BATCHES; batch++) {
        expect(how, batch, images_of(&of, batch), expected + at);
        at += images_of(&of, batch) * pb_size_area(how->image) * dim;
    }
    return at;
}

static const struct {
    const char *name;
    const pb_features *how;
    int batch_max;
    size_t images, launches; /* of a batch; graphs in all */
} CASES[] = {
    {"means", &MEANS, BATCH, BATCH, BATCHES - 1},  {"pooled", &POOLED, BATCH, BATCH, BATCHES - 1},
    {"one", &MEANS, 1, 1, BATCHES},                {"tiles one by one", &TILES, 1, 1, 2 * BATCHES},
    {"tiles in pairs", &TILES, 2, 1, BATCHES},     {"tiles, some at once", &TILES, 4, 2, BATCHES - 1},
    {"many tiles", &WIDE, 1, 1, 4 * BATCHES},
};

Test(cuda_ahead, features_are_those_of_the_twins_whatever_comes_late) {
    float *found = constants(0, VALUES_MOST), *expected = constants(0, VALUES_MOST);
    for (size_t c = 0; c < LENGTH(CASES); c++)
        for (unsigned late = 0; late <= (KERNELS_LATE | COPIES_LATE); late++) {
            const size_t values = expect_all(CASES[c].how, CASES[c].images, expected), launched = emulator_launches;
            emulator_lazy(late);
            memset(found, 0, VALUES_MOST * sizeof *found);
            assert_done(run_all(CASES[c].how, CASES[c].batch_max, found));
            cr_assert(memcmp(found, expected, values * sizeof *found) == 0, "%s, %u late", CASES[c].name, late);
            cr_assert_eq(emulator_launches - launched, CASES[c].launches, "%s: %zu launches", CASES[c].name,
                         emulator_launches - launched);
            assert_sound();
        }
    pb_release(&expected);
    pb_release(&found);
}

/* Copies at once, kernels late: kernels of a batch that have been queued are not waited for by the copy of the next one. */
Test(cuda_ahead, the_next_batch_comes_beside_the_kernels) {
    trays of = {.how = &MEANS, .images = BATCH};
    const float *features;
    float value;
    emulator_lazy(KERNELS_LATE);
    assert_done(open_device(&of.device));
    assert_done(pb_extractor_create(of.device, &NETWORK, &MEANS, BATCH, &of.extractor));
    for (int t = 0; t < 2; t++)
        assert_done(pb_device_host_alloc(of.device, BATCH * PIXELS * 3, &of.bytes[t], "a batch"));
    assert_done(put(&of, 0));
    for (size_t batch = 0; batch + 1 < BATCHES; batch++) {
        const size_t before = emulator_kernels;
        assert_done(pb_extractor_take(of.extractor, &features));
        assert_done(put(&of, batch + 1));
        cr_assert_eq(emulator_kernels, before, "batch %zu", batch);
        assert_done(pb_device_download(of.device, &value, features, sizeof value));
        cr_assert_eq(emulator_kernels, before + 3, "batch %zu", batch); /* network, means, lengths */
    }
    pb_extractor_free(&of.extractor);
    for (int t = 0; t < 2; t++)
        pb_device_host_release(of.device, &of.bytes[t]);
    pb_device_close(&of.device);
    assert_sound();
}

/* Whatever fails, either the failure is told or the features are right, and nothing is left. */
Test(cuda_ahead, any_call_of_cuda_may_fail, .timeout = 120) {
    static const int ERRORS[] = {cudaErrorLaunchFailure, cudaErrorMemoryAllocation};
    float *found = constants(0, VALUES_MOST), *expected = constants(0, VALUES_MOST);
    for (size_t e = 0; e < LENGTH(ERRORS); e++)
        for (size_t c = 0; c < LENGTH(CASES); c += 6) {
            const size_t values = expect_all(CASES[c].how, CASES[c].images, expected);
            size_t failures = 0;
            emulator_lazy(COPIES_LATE);
            emulator_fail(0, 0);
            assert_done(run_all(CASES[c].how, CASES[c].batch_max, found));
            const size_t calls = emulator_fail(0, 0);
            cr_assert_gt(calls, 60);
            for (size_t call = 1; call <= calls; call++) {
                emulator_fail(call, ERRORS[e]);
                memset(found, 0, values * sizeof *found);
                pb_status status = run_all(CASES[c].how, CASES[c].batch_max, found);
                failures += pb_failed(&status);
                cr_assert(!pb_failed(&status) || strstr(status.message, "device cuda:0"), "call %zu: %s", call, status.message);
                cr_assert(pb_failed(&status) || memcmp(found, expected, values * sizeof *found) == 0,
                          "call %zu of %zu: no failure, and other features", call, calls);
                assert_sound();
            }
            cr_assert(failures + 20 >= calls && failures < calls, "%zu of %zu calls", failures, calls); /* but for captures */
        }
    pb_release(&expected);
    pb_release(&found);
}

static size_t count_of(const char *text, const char *word) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

/* As with a kernel that cannot be captured: said once, and everything is queued as ever. */
Test(cuda_ahead, goes_on_where_recording_is_refused) {
    float *found = constants(0, VALUES_MOST), *expected = constants(0, VALUES_MOST);
    const size_t values = expect_all(&MEANS, BATCH, expected);
    char text[4096];
    size_t refused = 0;
    emulator_fail(0, 0);
    assert_done(run_all(&MEANS, BATCH, found));
    const size_t calls = emulator_fail(0, 0);
    for (size_t call = 1; call <= calls; call++) {
        const size_t launched = emulator_launches;
        emulator_fail(call, cudaErrorStreamCaptureUnsupported);
        capture of = capture_begin();
        pb_status status = run_all(&MEANS, BATCH, found);
        capture_end(&of, text, sizeof text);
        if (!strstr(text, "event=not_recorded"))
            continue;
        refused++;
        cr_assert(!pb_failed(&status), "call %zu: refused, and then failed: %s", call, status.message);
        cr_assert_eq(count_of(text, "event=not_recorded"), 1, "%s", text);
        cr_assert_arr_eq(found, expected, values * sizeof *found);
        cr_assert_leq(emulator_launches - launched, (BATCHES - 1) / 2, "call %zu", call);
        assert_sound();
    }
    cr_assert_geq(refused, 6); /* begin, end and instantiate, of two places */
    pb_release(&expected);
    pb_release(&found);
}

/* Other features on the same device may need more scratch memory, which moves it, and a search that was refused some leaves less
 * than a batch needs: what was recorded is of no use then, nor may it be recorded before there is enough again. */
Test(cuda_ahead, a_recording_of_memory_that_moved_is_made_anew) {
    enum { VALUES = BATCH * PIXELS * 6 };
    float *expected = constants(0, VALUES), *found = constants(0, VALUES);
    pb_device *device;
    pb_extractor *small, *large;
    uint8_t *images;
    const float *features;
    expect(&POOLED, 0, BATCH, expected);
    assert_done(open_device(&device));
    assert_done(pb_allocate(&images, 1, BATCH * PIXELS * 3, "images"));
    for (size_t i = 0; i < BATCH * PIXELS * 3; i++)
        images[i] = byte_of(0, i);
    assert_done(pb_extractor_create(device, &NETWORK, &POOLED, BATCH, &small));
    const void *before = pb_cuda_state_of(device)->scratch.memory;
    assert_done(pb_extractor_create(device, &NETWORK, &POOLED, 40 * BATCH, &large));
    cr_assert_neq(pb_cuda_state_of(device)->scratch.memory, before);
    static const size_t LAUNCHES[] = {0, 0, 1, 2, 2, 2, 3, 4}; /* both places find it, and go on */
    for (size_t run = 0; run < LENGTH(LAUNCHES); run++) {
        if (run == 4) {
            pb_cuda_release(&pb_cuda_state_of(device)->scratch.memory);
            pb_cuda_state_of(device)->scratch.bytes = 0;
        }
        assert_done(pb_extractor_run(small, images, BATCH, &features));
        assert_done(pb_device_download(device, found, features, VALUES * sizeof *found));
        cr_assert_arr_eq(found, expected, VALUES * sizeof *found);
        cr_assert_eq(emulator_launches, LAUNCHES[run], "run %zu: %zu", run, emulator_launches);
    }
    pb_extractor_free(&large);
    pb_extractor_free(&small);
    pb_release(&images);
    pb_release(&found);
    pb_release(&expected);
    pb_device_close(&device);
    assert_sound();
}

/* A pass may end with a batch on its way: its memory may then be freed, and the next pass begins with another. */
Test(cuda_ahead, what_was_put_may_be_dropped) {
    enum { VALUES = PIXELS * CHANNELS };
    float *expected = constants(0, VALUES), *found = constants(0, VALUES);
    trays of = {.how = &MEANS, .images = 1};
    const float *features;
    expect(&MEANS, 7, 1, expected);
    emulator_lazy(COPIES_LATE);
    assert_done(open_device(&of.device));
    assert_done(pb_extractor_create(of.device, &NETWORK, &MEANS, 1, &of.extractor));
    for (int t = 0; t < 2; t++)
        assert_done(pb_device_host_alloc(of.device, PIXELS * 3, &of.bytes[t], "a batch"));
    assert_done(put(&of, 0));
    pb_extractor_drop(of.extractor);
    memset(of.bytes[0], 0xEE, PIXELS * 3);
    assert_done(put(&of, 7));
    assert_done(pb_extractor_take(of.extractor, &features));
    assert_done(pb_device_download(of.device, found, features, VALUES * sizeof *found));
    cr_assert_arr_eq(found, expected, VALUES * sizeof *found);
    pb_extractor_free(&of.extractor);
    for (int t = 0; t < 2; t++)
        pb_device_host_release(of.device, &of.bytes[t]);
    pb_device_close(&of.device);
    pb_release(&found);
    pb_release(&expected);
    assert_sound();
}
