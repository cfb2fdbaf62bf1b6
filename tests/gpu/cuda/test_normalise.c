#include "emulated.h"

static const pb_cuda_normalisation HOW = {{123.675f, 116.28f, 103.53f}, {1 / 58.395f, 1 / 57.12f, 1 / 57.375f}};

static uint8_t *random_bytes(size_t count) {
    uint8_t *bytes;
    assert_done(pb_allocate(&bytes, count, 1, "test images"));
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)pb_random_u32(3, PB_STREAM_TEST, 0, i);
    return bytes;
}

/* What pb_ref_run begins with (gpu/ref_network.c). */
static float expected_value(const uint8_t *images, size_t pixel, int c) {
    return c < 3 ? ((float)images[pixel * 3 + (size_t)c] - HOW.mean[c]) * HOW.scale[c] : 0.0f;
}

static void check_floats(size_t pixels, int channels) {
    const size_t values = pixels * (size_t)channels;
    uint8_t *images = random_bytes(pixels * 3);
    float *actual = constants(NAN, values);
    void *from = on_device(images, pixels * 3), *to = on_device(NULL, values * sizeof *actual);
    assert_cuda(pb_cuda_normalise(NULL, from, pixels, HOW, channels, 0, to));
    off_device(actual, to, values * sizeof *actual);
    for (size_t i = 0; i < values; i++) {
        float wanted = expected_value(images, i / (size_t)channels, (int)(i % (size_t)channels));
        assert_same_bits(actual + i, &wanted, 1);
    }
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&images);
    pb_release(&actual);
}

static void check_halves(size_t pixels, int channels) {
    const size_t values = pixels * (size_t)channels;
    uint8_t *images = random_bytes(pixels * 3);
    _Float16 *actual;
    assert_done(pb_allocate(&actual, values, sizeof *actual, "test halves"));
    void *from = on_device(images, pixels * 3), *to = on_device(NULL, values * sizeof *actual);
    assert_cuda(pb_cuda_normalise(NULL, from, pixels, HOW, channels, 1, to));
    off_device(actual, to, values * sizeof *actual);
    for (size_t i = 0; i < values; i++) {
        _Float16 wanted = (_Float16)expected_value(images, i / (size_t)channels, (int)(i % (size_t)channels));
        cr_assert_arr_eq(actual + i, &wanted, sizeof wanted, "value %zu of %zu pixels", i, pixels);
    }
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&images);
    pb_release(&actual);
}

Test(normalise, is_the_twins_for_any_number_of_pixels) {
    static const size_t PIXELS[] = {0, 1, 255, 256, 257, 1000};
    for (size_t p = 0; p < LENGTH(PIXELS); p++)
        for (int channels = 3; channels <= 8; channels++) {
            emulator_turns(ORDERS[(p + (size_t)channels) % LENGTH(ORDERS)]);
            check_floats(PIXELS[p], channels);
            check_halves(PIXELS[p], channels);
        }
}
