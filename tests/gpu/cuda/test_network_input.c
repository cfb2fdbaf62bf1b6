#include "emulated.h"
#include "gpu/cuda/network_edges.h"
#include "gpu/cuda/network_weights.h"

static const float MEAN[3] = {123.675f, 116.28f, 103.53f}, SCALE[3] = {1 / 58.395f, 1 / 57.12f, 1 / 57.375f};

static uint8_t *random_bytes(size_t count) {
    uint8_t *bytes;
    assert_done(pb_allocate(&bytes, count, 1, "test images"));
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)pb_random_u32(3, PB_STREAM_TEST, 0, i);
    return bytes;
}

/* What pb_ref_run begins with (gpu/ref_network.c), in the bits of a type. */
static uint32_t expected_bits(const uint8_t *images, size_t pixel, int c, pb_element element) {
    const float value = c < 3 ? ((float)images[pixel * 3 + (size_t)c] - MEAN[c]) * SCALE[c] : 0.0f;
    return element == PB_ELEMENT_FLOAT  ? pb_float_bits(value)
           : element == PB_ELEMENT_HALF ? pb_half_bits(value)
                                        : pb_bfloat_bits(value);
}

static void check(size_t pixels, int channels, pb_element element) {
    const size_t values = pixels * (size_t)channels, each = pb_element_bytes(element);
    uint8_t *images = random_bytes(pixels * 3), *actual;
    assert_done(pb_allocate(&actual, values, each, "test values"));
    void *from = on_device(images, pixels * 3), *to = on_device(NULL, values * each);
    assert_cuda(pb_cuda_network_input(NULL, from, pixels, MEAN, SCALE, channels, element, to));
    off_device(actual, to, values * each);
    for (size_t i = 0; i < values; i++) {
        uint32_t found = 0;
        memcpy(&found, actual + i * each, each);
        cr_assert_eq(found, expected_bits(images, i / (size_t)channels, (int)(i % (size_t)channels), element),
                     "value %zu of %zu pixels of %d channels", i, pixels, channels);
    }
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&images);
    pb_release(&actual);
}

Test(network_input, is_the_twins_for_any_number_of_pixels) {
    static const size_t PIXELS[] = {0, 1, 255, 256, 257, 1000};
    for (size_t p = 0; p < LENGTH(PIXELS); p++)
        for (int channels = 3; channels <= 8; channels++) {
            emulator_turns(ORDERS[(p + (size_t)channels) % LENGTH(ORDERS)]);
            for (int element = PB_ELEMENT_FLOAT; element <= PB_ELEMENT_BFLOAT; element++)
                check(PIXELS[p], channels, (pb_element)element);
        }
}
