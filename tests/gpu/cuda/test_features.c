/* Patch features of the "cuda" device through the front end. */
#include "emulated.h"
#include "gpu/cuda/cuda.h"

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_features, .init = use_emulator);

/* A device with taps of n images, on both sides. */
typedef struct fixture {
    pb_device *device;
    int tap_count, n;
    const pb_layer_shape *shapes;
    float *host[PB_TAPS_MAX], *there[PB_TAPS_MAX];
} fixture;

static fixture filled(kind k, int tap_count, const pb_layer_shape *shapes, int n) {
    fixture f = {.tap_count = tap_count, .shapes = shapes, .n = n};
    assert_done(pb_device_open("cuda:0", 1, &f.device));
    for (int t = 0; t < tap_count; t++) {
        const size_t values = (size_t)n * pb_layer_shape_values(shapes[t]);
        f.host[t] = numbers(k, (uint32_t)t, values);
        assert_done(pb_device_alloc(f.device, values * sizeof(float), &f.there[t], "a tap"));
        assert_done(pb_device_upload(f.device, f.there[t], f.host[t], values * sizeof(float)));
    }
    return f;
}

static void release(fixture *f) {
    for (int t = 0; t < f->tap_count; t++) {
        pb_device_release(f->device, &f->there[t]);
        pb_release(&f->host[t]);
    }
    pb_device_close(&f->device);
    assert_sound();
}

/* Features by PatchCore's pooling, or means for `how` NULL. scratch_most: bytes of scratch memory; 1: an image at a time. */
static void check(fixture *f, const pb_patchcore *how, int patch, size_t scratch_most) {
    const pb_size grid = how ? pb_patchcore_grid(how, f->shapes[0].size) : f->shapes[0].size;
    size_t dim = how ? (size_t)how->feature_dim : 0;
    for (int t = 0; t < f->tap_count && !how; t++)
        dim += (size_t)f->shapes[t].channels;
    const size_t values = (size_t)f->n * pb_size_area(grid) * dim;
    float *actual = constants(NAN, values), *expected = constants(NAN, values), *there;
    pb_cuda_state_of(f->device)->scratch_most = scratch_most;
    assert_done(pb_device_alloc(f->device, values * sizeof *actual, &there, "features"));
    if (how) {
        assert_done(pb_device_patchcore_features(f->device, how, f->tap_count, f->shapes, (const float *const *)f->there, f->n,
                                                 there));
        pb_ref_patchcore_features(how, f->tap_count, f->shapes, (const float *const *)f->host, f->n, expected);
    } else {
        assert_done(pb_device_patch_features(f->device, patch, f->tap_count, f->shapes, (const float *const *)f->there, f->n,
                                             there));
        pb_ref_patch_features(patch, f->tap_count, f->shapes, (const float *const *)f->host, f->n, expected);
    }
    assert_done(pb_device_download(f->device, actual, there, values * sizeof *actual));
    assert_same_bits(actual, expected, values);
    pb_device_release(f->device, &there);
    pb_release(&actual);
    pb_release(&expected);
}

static const pb_layer_shape SHAPES[][3] = {
    {{{6, 4}, 5}, {{3, 2}, 7}, {{2, 1}, 3}},  /* as a network's: halved, halved again */
    {{{5, 7}, 2}, {{5, 7}, 3}, {{5, 7}, 1}},  /* all of one size */
    {{{3, 3}, 9}, {{8, 5}, 4}, {{3, 3}, 20}}, /* one larger than the grid */
};

Test(cuda_features, means_are_the_twins) {
    for (size_t s = 0; s < LENGTH(SHAPES); s++)
        for (int taps = 1; taps <= 3; taps++) {
            fixture f = filled((kind)((int)s + taps == 1 ? MIXED : UNIFORM), taps, SHAPES[s], (taps + (int)s) % 4);
            for (int patch = 1; patch <= 5; patch += 2)
                check(&f, NULL, patch, patch == 1 ? 1 : 1 << 20);
            release(&f);
        }
}

Test(cuda_features, patchcores_are_the_twins) {
    static const pb_patchcore HOW[] = {{3, 1, 16, 12}, {3, 2, 30, 64}, {1, 1, 1, 1}, {5, 3, 9, 27}};
    for (size_t s = 0; s < LENGTH(SHAPES); s++)
        for (int taps = 1; taps <= 3; taps++) {
            fixture f = filled(UNIFORM, taps, SHAPES[s], (taps + (int)s) % 4);
            for (size_t h = 0; h < LENGTH(HOW); h++)
                check(&f, &HOW[h], 0, h % 2 ? 1 : 1 << 20);
            release(&f);
        }
}

/* Memory is refused, or a launch fails. */
Test(cuda_features, any_call_of_cuda_may_fail) {
    const pb_patchcore how = {3, 1, 4, 4};
    fixture f = filled(UNIFORM, 2, SHAPES[0], 2);
    float *out;
    assert_done(pb_device_alloc(f.device, 2 * 24 * 12 * sizeof *out, &out, "features"));
    for (int which = 0; which < 2; which++)
        for (size_t call = 1, calls = 1; call <= calls; call++) {
            pb_cuda_release(&pb_cuda_state_of(f.device)->scratch.memory);
            pb_cuda_state_of(f.device)->scratch.bytes = 0;
            emulator_fail(call == 1 ? 0 : call - 1, cudaErrorLaunchFailure); /* at first none, to count them */
            pb_status status =
                which ? pb_device_patchcore_features(f.device, &how, 2, f.shapes, (const float *const *)f.there, 2, out)
                      : pb_device_patch_features(f.device, 3, 2, f.shapes, (const float *const *)f.there, 2, out);
            cr_assert_eq(pb_failed(&status), call > 1, "call %zu of %zu", call, calls);
            calls = call == 1 ? emulator_fail(0, 0) + 1 : calls;
            cr_assert_gt(calls, 5);
        }
    pb_device_release(f.device, &out);
    release(&f);
}
