#include "element_arrays.h"
#include "emulated.h"
#include "gpu/cuda/network_kernels.h"
#include "token_bounds.h"

static void attend(const pb_layer *layer, size_t images, int tokens, pb_element element, float *values, float *found) {
    const pb_cuda_tokens shape = {.images = images, .tokens = tokens, .channels = layer->outputs, .element = element};
    const size_t in = images * (size_t)(tokens * layer->inputs), out = images * (size_t)(tokens * layer->outputs);
    const size_t each = pb_element_bytes(element);
    void *made = as_elements(values, in, element);
    void *from = on_device(made, in * each), *to = on_device(NULL, out * each);
    assert_cuda(pb_cuda_network_attention(NULL, shape, layer->groups, from, to));
    off_device(made, to, out * each);
    for (size_t i = 0; i < out; i++)
        found[i] = element_value(made, element, i);
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&made);
}

/* size: of queries and keys, so that scores are of its square. */
static void check(size_t images, int tokens, int channels, int heads, pb_element element, float size) {
    const pb_layer layer = {.operation = PB_OPERATION_ATTENTION, .inputs = 3 * channels, .outputs = channels, .groups = heads};
    const size_t in = images * (size_t)(tokens * 3 * channels), out = images * (size_t)(tokens * channels);
    float *values = numbers(UNIFORM, 1, in), *found = constants(NAN, out);
    for (size_t i = 0; i < in; i++)
        values[i] *= i % (size_t)(3 * channels) < (size_t)(2 * channels) ? size : 1;
    attend(&layer, images, tokens, element, values, found);
    for (size_t n = 0; n < images; n++)
        check_attention(&layer, (size_t)tokens, values + n * in / images, found + n * out / images, unit_of_element(element),
                        least_of_element(element));
    pb_release(&found);
    pb_release(&values);
}

/* Around tiles of 64 queries and keys, slabs of 16 channels and keys, and the 8 of a thread. */
static const struct {
    size_t images;
    int tokens, channels, heads;
} SHAPES[] = {{2, 1, 1, 1},   {1, 2, 6, 2},    {3, 7, 16, 1},   {1, 16, 17, 1}, {2, 17, 30, 2}, {1, 63, 64, 1},
              {2, 64, 8, 1},  {1, 65, 128, 2}, {1, 81, 33, 3},  {1, 130, 64, 1}};

Test(network_attention, is_within_its_bound) {
    for (size_t s = 0; s < LENGTH(SHAPES); s++) {
        emulator_turns(ORDERS[s % LENGTH(ORDERS)]);
        for (size_t e = 0; e < LENGTH(ELEMENTS); e++)
            check(SHAPES[s].images, SHAPES[s].tokens, SHAPES[s].channels, SHAPES[s].heads, ELEMENTS[e], 1);
    }
}

/* The largest score comes late, and exponentials of scores as they are would overflow. */
Test(network_attention, large_scores_do_not_overflow) {
    for (size_t e = 0; e < LENGTH(ELEMENTS); e++) {
        emulator_turns(ORDERS[e]);
        check(1, 131, 16, 2, ELEMENTS[e], 20);
    }
}

/* Every query sees a key that is no number; a query that is none is alone. Not the other head, nor the other image. */
Test(network_attention, a_nan_stays_one) {
    enum { TOKENS = 70, CHANNELS = 4, HEADS = 2 };
    const pb_layer layer = {.operation = PB_OPERATION_ATTENTION, .inputs = 3 * CHANNELS, .outputs = CHANNELS, .groups = HEADS};
    const size_t in = 2 * TOKENS * 3 * CHANNELS, out = 2 * TOKENS * CHANNELS;
    for (size_t e = 0; e < LENGTH(ELEMENTS); e++) {
        float *values = numbers(UNIFORM, 1, in), *found = constants(0, out);
        values[69 * 3 * CHANNELS + CHANNELS + 2] = NAN;            /* a key of the second head */
        values[(TOKENS + 3) * 3 * CHANNELS] = NAN;                 /* a query of the first, of the second image */
        attend(&layer, 2, TOKENS, ELEMENTS[e], values, found);
        for (size_t i = 0; i < out; i++) {
            const size_t token = i / CHANNELS, head = i % CHANNELS / 2;
            const bool none = token < TOKENS ? head == 1 : token == TOKENS + 3 && head == 0;
            cr_assert_eq(isnan(found[i]) != 0, none, "type %zu, token %zu, head %zu: %g", e, token, head, (double)found[i]);
        }
        pb_release(&found);
        pb_release(&values);
    }
}

/* An image's bits depend neither on its place among others nor on how many there are. */
Test(network_attention, images_are_apart) {
    enum { TOKENS = 66, CHANNELS = 8 };
    const pb_layer layer = {.operation = PB_OPERATION_ATTENTION, .inputs = 3 * CHANNELS, .outputs = CHANNELS, .groups = 1};
    const size_t in = TOKENS * 3 * CHANNELS, out = TOKENS * CHANNELS;
    float *values = numbers(UNIFORM, 1, 3 * in), *together = constants(NAN, 3 * out), *alone = constants(NAN, out);
    attend(&layer, 3, TOKENS, PB_ELEMENT_FLOAT, values, together);
    for (size_t n = 0; n < 3; n++) {
        attend(&layer, 1, TOKENS, PB_ELEMENT_FLOAT, values + n * in, alone);
        assert_same_bits(alone, together + n * out, out);
    }
    pb_release(&alone);
    pb_release(&together);
    pb_release(&values);
}
