#include "emulated.h"

/* The features of a single tap are its means. beside: floats between the means of one place and the next. */
static void check(kind k, size_t n, pb_size size, int channels, int patch, size_t beside) {
    const pb_layer_shape shape = {size, channels};
    const size_t places = n * pb_size_area(size), values = places * (size_t)channels, stride = (size_t)channels + beside;
    float *tap = numbers(k, 0, values), *actual = constants(NAN, places * stride), *expected = constants(NAN, values);
    void *there = on_device(tap, values * sizeof *tap), *out = on_device(actual, places * stride * sizeof *tap);
    const pb_cuda_field field = {there, n, size.height, size.width, channels};
    const float *const taps[1] = {tap};
    assert_cuda(pb_cuda_patch_means(NULL, field, patch, out, stride));
    off_device(actual, out, places * stride * sizeof *tap);
    pb_ref_patch_features(patch, 1, &shape, taps, (int)n, expected);
    for (size_t p = 0; p < places; p++) {
        assert_same_bits(actual + p * stride, expected + p * (size_t)channels, (size_t)channels);
        for (size_t i = (size_t)channels; i < stride; i++)
            cr_assert(isnan(actual[p * stride + i]), "written beside place %zu", p);
    }
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&tap);
    pb_release(&actual);
    pb_release(&expected);
}

Test(patch_means, are_the_twins) {
    static const pb_size SIZES[] = {{1, 1}, {3, 2}, {7, 5}, {4, 9}};
    static const int CHANNELS[] = {1, 3, 40}, PATCHES[] = {1, 3, 5, 13};
    for (size_t s = 0; s < LENGTH(SIZES); s++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++)
            for (size_t p = 0; p < LENGTH(PATCHES); p++) {
                emulator_turns(ORDERS[(s + c + p) % LENGTH(ORDERS)]);
                check((kind)((s + c + p) % KINDS), 1 + (s + p) % 3, SIZES[s], CHANNELS[c], PATCHES[p], p % 2 * 7);
            }
    check(UNIFORM, 0, SIZES[1], 3, 3, 0);
}
