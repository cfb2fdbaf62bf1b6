/* Maps of pixels of the "cuda" device through the front end. */
#include "emulated.h"
#include "gpu/cuda/cuda.h"

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_maps, .init = use_emulator);

static const struct {
    pb_size grid, size;
    double sigma;
} CASES[] = {{{4, 3}, {17, 11}, 1}, {{1, 2}, {5, 9}, 2}, {{6, 5}, {3, 4}, 0.5}, {{3, 3}, {3, 3}, 0}};

static pb_status run(pb_device *device, size_t c, const float *maps, int n, float *pixels) {
    pb_smoothing how;
    pb_smoothing_gaussian(CASES[c].sigma, &how);
    return pb_device_smooth_maps(device, &how, maps, n, CASES[c].grid, CASES[c].size, pixels);
}

/* scratch_most: bytes of scratch memory; 1: a map at a time. */
static void check(pb_device *device, kind k, size_t c, int n, size_t scratch_most) {
    const size_t places = (size_t)n * pb_size_area(CASES[c].grid), count = (size_t)n * pb_size_area(CASES[c].size);
    float *maps = numbers(k, 0, places), *actual = constants(NAN, count), *expected = constants(NAN, count), *there, *out;
    pb_smoothing how;
    pb_smoothing_gaussian(CASES[c].sigma, &how);
    pb_cuda_state_of(device)->scratch_most = scratch_most;
    assert_done(pb_device_alloc(device, places * sizeof *maps, &there, "maps"));
    assert_done(pb_device_alloc(device, count * sizeof *maps, &out, "pixels"));
    assert_done(pb_device_upload(device, there, maps, places * sizeof *maps));
    assert_done(run(device, c, there, n, out));
    assert_done(pb_device_download(device, actual, out, count * sizeof *actual));
    pb_ref_smooth_maps(&how, maps, n, CASES[c].grid, CASES[c].size, expected);
    assert_same_bits(actual, expected, count);
    pb_device_release(device, &there);
    pb_device_release(device, &out);
    pb_release(&maps);
    pb_release(&actual);
    pb_release(&expected);
}

Test(cuda_maps, pixels_are_the_twins) {
    pb_device *device;
    assert_done(pb_device_open("cuda:0", 1, &device));
    for (size_t c = 0; c < LENGTH(CASES); c++)
        for (int n = 0; n < 4; n++)
            check(device, c % 2 ? MIXED : UNIFORM, c, n, n % 2 ? 1 : 1 << 20);
    pb_device_close(&device);
    assert_sound();
}

/* Memory is refused, or a launch fails. */
Test(cuda_maps, any_call_of_cuda_may_fail) {
    pb_device *device;
    float *maps, *pixels;
    assert_done(pb_device_open("cuda:0", 1, &device));
    assert_done(pb_device_alloc(device, 2 * 12 * sizeof *maps, &maps, "maps"));
    assert_done(pb_device_alloc(device, 2 * 17 * 11 * sizeof *maps, &pixels, "pixels"));
    float zeros[24] = {0};
    assert_done(pb_device_upload(device, maps, zeros, sizeof zeros));
    for (size_t call = 1, calls = 1; call <= calls; call++) {
        pb_cuda_release(&pb_cuda_state_of(device)->scratch.memory);
        pb_cuda_state_of(device)->scratch.bytes = 0;
        emulator_fail(call == 1 ? 0 : call - 1, cudaErrorLaunchFailure); /* at first none, to count them */
        pb_status status = run(device, 0, maps, 2, pixels);
        cr_assert_eq(pb_failed(&status), call > 1, "call %zu of %zu", call, calls);
        calls = call == 1 ? emulator_fail(0, 0) + 1 : calls;
        cr_assert_gt(calls, 4);
    }
    pb_device_release(device, &maps);
    pb_device_release(device, &pixels);
    pb_device_close(&device);
    assert_sound();
}
