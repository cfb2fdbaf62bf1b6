#include "element_arrays.h"
#include "emulated.h"
#include "gpu/cuda/network_kernels.h"
#include "token_bounds.h"

enum { IMAGES = 3 };

/* Rows of IMAGES images, `tokens` each, from device memory to device memory, or to where they came from. values become what the
 * type has of them. */
static void norm(const pb_layer *layer, int tokens, pb_element element, bool in_place, float *values, float *found) {
    const pb_cuda_tokens shape = {.images = IMAGES, .tokens = tokens, .channels = layer->outputs, .element = element};
    const size_t row = (size_t)layer->outputs * sizeof(float), count = IMAGES * (size_t)(tokens * layer->outputs);
    void *made = as_elements(values, count, element);
    const size_t bytes = count * pb_element_bytes(element);
    void *from = on_device(made, bytes), *to = in_place ? from : on_device(NULL, bytes);
    void *weights = on_device(layer->weights, row), *bias = on_device(layer->bias, row);
    assert_cuda(pb_cuda_network_norm(NULL, shape, from, weights, bias, (float)layer->epsilon, to));
    off_device(made, to, bytes);
    for (size_t i = 0; i < count; i++)
        found[i] = element_value(made, element, i);
    assert_cuda(in_place ? cudaSuccess : cudaFree(from));
    assert_cuda(cudaFree(weights));
    assert_cuda(cudaFree(bias));
    assert_sound();
    pb_release(&made);
}

/* Values that have a mean, so that squares without it would lose digits. */
static void check(int tokens, int channels, pb_element element, bool in_place) {
    const size_t count = IMAGES * (size_t)(tokens * channels);
    pb_layer layer = {.operation = PB_OPERATION_LAYER_NORM, .inputs = channels, .outputs = channels, .epsilon = 0x1p-10,
                      .weights = numbers(UNIFORM, 2, (size_t)channels), .bias = numbers(UNIFORM, 3, (size_t)channels)};
    float *values = numbers(UNIFORM, 1, count), *found = constants(NAN, count);
    for (size_t i = 0; i < count; i++)
        values[i] += 7;
    norm(&layer, tokens, element, in_place, values, found);
    check_layer_norm(&layer, IMAGES * (size_t)tokens, values, found, unit_of_element(element), least_of_element(element));
    pb_release(&found);
    pb_release(&values);
    pb_release(&layer.bias);
    pb_release(&layer.weights);
}

/* Around a warp's channels and a block's rows. */
Test(network_norm, is_within_its_bound) {
    static const int TOKENS[] = {0, 1, 3, 8, 17}, CHANNELS[] = {1, 31, 32, 33, 100, 384};
    for (size_t t = 0; t < LENGTH(TOKENS); t++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++) {
            emulator_turns(ORDERS[(t + c) % LENGTH(ORDERS)]);
            for (size_t e = 0; e < LENGTH(ELEMENTS); e++)
                check(TOKENS[t], CHANNELS[c], ELEMENTS[e], (t + e) % 2 == 0);
        }
}

/* A value that is no number makes its own row none, in every type, and no other row; a bias that is none, its channel: also one
 * with all bits set, as GPUs make them, which rounded like a number would be -0. */
Test(network_norm, a_nan_stays_one) {
    enum { TOKENS = 4, CHANNELS = 40 };
    const size_t count = IMAGES * TOKENS * CHANNELS;
    for (size_t e = 0; e < LENGTH(ELEMENTS); e++) {
        pb_layer layer = {.operation = PB_OPERATION_LAYER_NORM, .inputs = CHANNELS, .outputs = CHANNELS, .epsilon = 1e-6,
                          .weights = constants(1, CHANNELS), .bias = constants(0, CHANNELS)};
        float *values = numbers(UNIFORM, 1, count), *found = constants(0, count);
        values[5 * CHANNELS + 33] = NAN;
        memset(&layer.bias[7], 0xFF, sizeof *layer.bias);
        norm(&layer, TOKENS, ELEMENTS[e], false, values, found);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(isnan(found[i]) != 0, i / CHANNELS == 5 || i % CHANNELS == 7, "type %zu, value %zu: %g", e, i,
                         (double)found[i]);
        pb_release(&found);
        pb_release(&values);
        pb_release(&layer.bias);
        pb_release(&layer.weights);
    }
}
