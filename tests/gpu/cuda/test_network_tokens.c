#include "element_arrays.h"
#include "emulated.h"
#include "gpu/cuda/network_kernels.h"

enum { IMAGES = 3 };

/* The value that a float becomes when it is stored. */
static float stored(pb_element element, float value) {
    void *made = as_elements(&value, 1, element);
    pb_release(&made);
    return value;
}

/* The sum is made in float and rounded once: every value is exactly that of the definition. */
static void check_tokens(int places, int channels, pb_element element) {
    const pb_cuda_tokens shape = {.images = IMAGES, .tokens = places + 1, .channels = channels, .element = element};
    const size_t row = (size_t)channels, each = (size_t)places * row, count = IMAGES * (each + row);
    const size_t bytes = pb_element_bytes(element);
    float *values = numbers(UNIFORM, 1, IMAGES * each), *weights = numbers(UNIFORM, 2, each + row);
    void *made = as_elements(values, IMAGES * each, element), *found;
    assert_done(pb_allocate(&found, count, bytes, "test values"));
    void *from = on_device(made, IMAGES * each * bytes), *table = on_device(weights, (each + row) * sizeof(float));
    void *to = on_device(NULL, count * bytes);
    assert_cuda(pb_cuda_network_tokens(NULL, shape, from, table, to));
    off_device(found, to, count * bytes);
    for (size_t i = 0; i < count; i++) {
        const size_t image = i / (each + row), at = i % (each + row);
        const float sum = at < row ? weights[at] : values[image * each + at - row] + weights[at];
        cr_assert_eq(element_value(found, element, i), stored(element, sum), "%d places, %d channels, type %d, value %zu", places,
                     channels, (int)element, i);
    }
    assert_cuda(cudaFree(from));
    assert_cuda(cudaFree(table));
    assert_sound();
    pb_release(&found);
    pb_release(&made);
    pb_release(&weights);
    pb_release(&values);
}

static void check_patches(int places, int channels, pb_element element) {
    const pb_cuda_tokens shape = {.images = IMAGES, .tokens = places + 1, .channels = channels, .element = element};
    const size_t row = (size_t)channels, each = (size_t)places * row, bytes = pb_element_bytes(element);
    float *values = numbers(UNIFORM, 1, IMAGES * (each + row));
    void *made = as_elements(values, IMAGES * (each + row), element), *found;
    assert_done(pb_allocate(&found, IMAGES * each + 1, bytes, "test values"));
    void *from = on_device(made, IMAGES * (each + row) * bytes), *to = on_device(NULL, IMAGES * each * bytes);
    assert_cuda(pb_cuda_network_patches(NULL, shape, from, to));
    off_device(found, to, IMAGES * each * bytes);
    for (size_t i = 0; i < IMAGES * each; i++)
        cr_assert_eq(element_value(found, element, i), values[i + (i / each + 1) * row], "%d places, %d channels, value %zu",
                     places, channels, i);
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&found);
    pb_release(&made);
    pb_release(&values);
}

static const int PLACES[] = {0, 1, 5, 16, 85, 86}, CHANNELS[] = {1, 3, 64};

Test(network_tokens, are_places_after_the_class_token) {
    for (size_t p = 0; p < LENGTH(PLACES); p++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++) {
            emulator_turns(ORDERS[(p + c) % LENGTH(ORDERS)]);
            for (size_t e = 0; e < LENGTH(ELEMENTS); e++)
                check_tokens(PLACES[p], CHANNELS[c], ELEMENTS[e]);
        }
}

Test(network_tokens, patches_are_all_but_the_class_token) {
    for (size_t p = 0; p < LENGTH(PLACES); p++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++) {
            emulator_turns(ORDERS[(p + c) % LENGTH(ORDERS)]);
            for (size_t e = 0; e < LENGTH(ELEMENTS); e++)
                check_patches(PLACES[p], CHANNELS[c], ELEMENTS[e]);
        }
}

Test(network_tokens, no_images_are_no_launch) {
    const pb_cuda_tokens none = {.images = 0, .tokens = 5, .channels = 4, .element = PB_ELEMENT_FLOAT};
    assert_cuda(pb_cuda_network_tokens(NULL, none, NULL, NULL, NULL));
    assert_cuda(pb_cuda_network_patches(NULL, none, NULL, NULL));
    assert_cuda(pb_cuda_network_norm(NULL, none, NULL, NULL, NULL, 1, NULL));
    assert_cuda(pb_cuda_network_attention(NULL, none, 2, NULL, NULL));
    assert_sound();
}
