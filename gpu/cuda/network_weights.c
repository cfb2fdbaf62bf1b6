/* Conversion without the processor's own instructions, which not every host of a GPU has for both types.
 *
 * Weights are rounded once, from float to the graph's type, to the nearest, ties to even: the same values on every host. A weight
 * that becomes infinite is an error, not a feature full of NaNs.
 */
#include "gpu/cuda/network_weights.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float value_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The upper bits of `bits`, without the lower `shift` ones, rounded to the nearest, ties to even. A carry out of the mantissa
 * goes into the exponent, which is what rounding means there. shift: 1 to 31. */
static uint32_t round_off(uint32_t bits, int shift) {
    const uint32_t half = UINT32_C(1) << (shift - 1), rest = bits & (2 * half - 1), kept = bits >> shift;
    return kept + (rest > half || (rest == half && (kept & 1)));
}

/* By ranges of size: NaN, too large, normal, too small for half of the least subnormal, subnormal. */
uint16_t pb_half_bits(float value) {
    enum { BIAS = 127 - 15, LEAST_NORMAL = BIAS + 1 };
    const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
    const int exponent = (int)(size >> 23);
    if (size > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (size >= 0x477FF000) /* 65520 and more: nearer to 65536, which is none */
        return (uint16_t)(sign | 0x7C00);
    if (exponent >= LEAST_NORMAL)
        return (uint16_t)(sign | round_off(size - ((uint32_t)BIAS << 23), 13));
    if (exponent < LEAST_NORMAL - 11) /* less than half of the least one */
        return (uint16_t)sign;
    return (uint16_t)(sign | round_off((size & 0x7FFFFF) | 0x800000, 13 + LEAST_NORMAL - exponent));
}

/* 0x40 keeps a NaN one whose upper mantissa bits are 0. */
uint16_t pb_bfloat_bits(float value) {
    const uint32_t bits = bits_of(value);
    return (uint16_t)(isnan(value) ? bits >> 16 | 0x40 : round_off(bits, 16));
}

/* 112 is the difference of the biases; a subnormal is its mantissa times 2^-24, exact in float. */
float pb_half_value(uint16_t bits) {
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3FF;
    if (exponent == 31)
        return value_of(sign | 0x7F800000 | mantissa << 13);
    const float size = exponent ? value_of((exponent + 112) << 23 | mantissa << 13) : (float)mantissa * 0x1p-24f;
    return sign ? -size : size;
}

float pb_bfloat_value(uint16_t bits) { return value_of((uint32_t)bits << 16); }

/* Values of a tensor that lies dense. */
static size_t tensor_values(const pb_graph_tensor *tensor) {
    size_t values = 1;
    for (int d = 0; d < 4; d++)
        values *= (size_t)tensor->dims[d];
    return values;
}

size_t pb_graph_bytes(const pb_graph *graph, pb_graph_role role) {
    const int index = pb_graph_find(graph, role);
    return index < 0 ? 0 : tensor_values(&graph->tensors[index]) * pb_element_bytes(graph->tensors[index].element);
}

/* Stores a value as place number `at`. Returns false when it is too large for the type. */
static bool store(void *out, pb_element element, size_t at, float value) {
    if (element == PB_ELEMENT_FLOAT) {
        ((float *)out)[at] = value;
        return true;
    }
    const uint16_t bits = element == PB_ELEMENT_HALF ? pb_half_bits(value) : pb_bfloat_bits(value);
    ((uint16_t *)out)[at] = bits;
    return isfinite(element == PB_ELEMENT_HALF ? pb_half_value(bits) : pb_bfloat_value(bits));
}

/* What to do is in the message: other precisions have float's range. */
static pb_status too_large(const pb_layer *layer, const char *what, int64_t channel, float value, pb_element element) {
    return pb_fail(PB_E_UNSUPPORTED, "layer %s: %s %g of channel %lld is too large for %s; use fp32 or tf32", layer->name, what,
                   (double)value, (long long)channel, element == PB_ELEMENT_HALF ? "fp16" : "bf16");
}

/* `from` runs in the order of pb_layer.weights; the place follows from the tensor's strides. */
pb_status pb_graph_weights(const pb_layer *layer, const pb_graph *graph, void *out) {
    const pb_graph_tensor *to = &graph->tensors[pb_graph_find(graph, PB_GRAPH_WEIGHTS)];
    const int64_t kernel = layer->kernel, inputs = layer->inputs / layer->groups;
    PB_ASSERT(to->dims[0] == layer->outputs && to->dims[1] >= inputs && to->dims[2] == kernel && to->dims[3] == kernel);
    memset(out, 0, pb_graph_bytes(graph, PB_GRAPH_WEIGHTS));
    const float *from = layer->weights;
    for (int64_t o = 0; o < layer->outputs; o++)
        for (int64_t i = 0; i < inputs; i++)
            for (int64_t y = 0; y < kernel; y++)
                for (int64_t x = 0; x < kernel; x++, from++) {
                    const int64_t at = o * to->strides[0] + i * to->strides[1] + y * to->strides[2] + x * to->strides[3];
                    if (!store(out, to->element, (size_t)at, *from))
                        return too_large(layer, "weight", o, *from, to->element);
                }
    return pb_ok();
}

pb_status pb_graph_bias(const pb_layer *layer, const pb_graph *graph, void *out) {
    const pb_element element = graph->tensors[pb_graph_find(graph, PB_GRAPH_BIAS)].element;
    for (int o = 0; o < layer->outputs; o++)
        if (!store(out, element, (size_t)o, layer->bias[o]))
            return too_large(layer, "bias", o, layer->bias[o], element);
    return pb_ok();
}
