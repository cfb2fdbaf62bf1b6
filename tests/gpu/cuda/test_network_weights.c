#include "gpu/cuda/network_weights.h"

#include "base/memory.h"
#include "base/random.h"
#include "networks.h"
#include "shell.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- rounding ---- */

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Floats around every half: the half itself, half way to the next, and their neighbours; and any bits. numpy rounds them too. */
enum { ANY = 200000, HALVES = 0x7C00, AROUND = 6 };

static float sample(int i) {
    if (i < ANY)
        return float_of(pb_random_u32(3, PB_STREAM_TEST, 0, (uint64_t)i));
    const int half = (i - ANY) / AROUND;
    const float at = pb_half_value((uint16_t)half), next = half + 1 == HALVES ? 65536.0f : pb_half_value((uint16_t)(half + 1));
    const float values[AROUND] = {at, nextafterf(at, INFINITY), nextafterf((at + next) / 2, 0), (at + next) / 2,
                                  nextafterf((at + next) / 2, INFINITY), nextafterf(next, 0)};
    return ((i - ANY) % AROUND) % 2 ? -values[(i - ANY) % AROUND] : values[(i - ANY) % AROUND];
}

Test(network_weights, halves_are_those_of_numpy) {
    char name[] = "/tmp/patchbank-halves-XXXXXX", output[2000];
    FILE *file = fdopen(mkstemp(name), "wb");
    cr_assert(file);
    for (int i = 0; i < ANY + HALVES * AROUND; i++) {
        float value = sample(i);
        uint16_t bits = pb_half_bits(value);
        fwrite(&value, sizeof value, 1, file);
        fwrite(&bits, sizeof bits, 1, file);
    }
    fclose(file);
    int code = shell(output, sizeof output,
                     "%s -c 'import numpy as n; a = n.fromfile(\"%s\", n.dtype([(\"x\", \"f4\"), (\"b\", \"u2\")]));"
                     " n.seterr(all=\"ignore\"); h = a[\"x\"].astype(n.float16); ok = (h.view(n.uint16) == a[\"b\"]) |"
                     " (n.isnan(h) & n.isnan(a[\"b\"].view(n.float16))); print(len(a), a[~ok][:5]); exit(not ok.all())'",
                     PB_PYTHON, name);
    unlink(name);
    cr_assert_eq(code, 0, "%s", output);
}

Test(network_weights, values_of_halves_round_to_themselves) {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float half = pb_half_value((uint16_t)bits), bfloat = pb_bfloat_value((uint16_t)bits);
        cr_assert(isnan(half) ? isnan(pb_half_value(pb_half_bits(half))) : pb_half_bits(half) == bits, "half %x", bits);
        cr_assert(isnan(bfloat) ? isnan(pb_bfloat_value(pb_bfloat_bits(bfloat))) : pb_bfloat_bits(bfloat) == bits, "%x", bits);
    }
}

/* The nearer one of the two next to a value, in doubles, the even one of two as near. */
Test(network_weights, bfloats_are_the_nearest) {
    for (int i = 0; i < ANY; i++) {
        float value = sample(i);
        if (isnan(value))
            continue;
        uint16_t found = pb_bfloat_bits(value);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        uint16_t below = (uint16_t)(bits >> 16), above = (uint16_t)(below + 1);
        double size = fabs((double)value), low = fabs((double)pb_bfloat_value(below));
        double high = (above & 0x7FFF) == 0x7F80 ? 0x1p128 : fabs((double)pb_bfloat_value(above));
        uint16_t expected = size - low < high - size || (size - low == high - size && below % 2 == 0) ? below : above;
        cr_assert_eq(found, expected, "%a: %x, not %x", (double)value, found, expected);
    }
    cr_assert_eq(pb_bfloat_bits(float_of(0x3F808000)), 0x3F80, "a tie goes down to the even one");
    cr_assert_eq(pb_bfloat_bits(float_of(0x3F818000)), 0x3F82, "a tie goes up to the even one");
    cr_assert(isnan(pb_bfloat_value(pb_bfloat_bits(float_of(0x7F800001)))), "a NaN with no bit in the upper half");
}

/* ---- order ---- */

static void check_weights(const pb_network *network, int l, pb_precision precision) {
    const pb_layer *layer = &network->layers[l];
    pb_graph graph;
    test_must(pb_graph_of_layer(network, l, precision, PB_ELEMENT_FLOAT, 2, &graph));
    const int channels = (int)graph.tensors[pb_graph_find(&graph, PB_GRAPH_WEIGHTS)].dims[1], k = layer->kernel;
    const size_t bytes = pb_element_bytes(pb_precision_element(precision));
    cr_assert_eq(pb_graph_bytes(&graph, PB_GRAPH_WEIGHTS), (size_t)(layer->outputs * k * k * channels) * bytes);
    char *out;
    test_must(pb_allocate(&out, pb_graph_bytes(&graph, PB_GRAPH_WEIGHTS), 1, "weights"));
    test_must(pb_graph_weights(layer, &graph, out));
    for (int o = 0; o < layer->outputs; o++)
        for (int y = 0; y < k; y++)
            for (int x = 0; x < k; x++)
                for (int i = 0; i < channels; i++) {
                    const int inputs = layer->inputs / layer->groups;
                    const float value = i < inputs ? layer->weights[((o * inputs + i) * k + y) * k + x] : 0;
                    const void *at = out + (size_t)(((o * k + y) * k + x) * channels + i) * bytes;
                    uint32_t found = 0, expected = 0;
                    memcpy(&found, at, bytes);
                    if (precision == PB_PRECISION_FP16)
                        expected = pb_half_bits(value);
                    else if (precision == PB_PRECISION_BF16)
                        expected = pb_bfloat_bits(value);
                    else
                        memcpy(&expected, &value, sizeof value);
                    cr_assert_eq(found, expected, "layer %d, output %d, input %d, row %d, column %d", l, o, i, y, x);
                }
    pb_release(&out);
}

Test(network_weights, go_from_oihw_to_ohwi) {
    const test_layer layers[] = {{13, 3, 2, PB_ACTIVATION_RELU6, -1, -1}, {0, 5, 1, PB_ACTIVATION_NONE, 0, -1},
                                 {7, 1, 1, PB_ACTIVATION_NONE, 1, -1}, {6, 3, 1, PB_ACTIVATION_NONE, 2, -1}};
    pb_network network = test_network((pb_size){9, 9}, layers, 4, 3);
    for (int l = 0; l < 4; l++)
        for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_BF16; p++)
            check_weights(&network, l, (pb_precision)p);
    pb_network_free(&network);
}

Test(network_weights, bias_is_in_the_graphs_type) {
    const test_layer layers[] = {{13, 3, 2, PB_ACTIVATION_RELU6, -1, -1}};
    pb_network network = test_network((pb_size){9, 9}, layers, 1, 3);
    pb_graph graph;
    float floats[13];
    uint16_t bfloats[13];
    test_must(pb_graph_of_layer(&network, 0, PB_PRECISION_BF16, PB_ELEMENT_FLOAT, 2, &graph));
    cr_assert_eq(pb_graph_bytes(&graph, PB_GRAPH_BIAS), sizeof floats);
    test_must(pb_graph_bias(&network.layers[0], &graph, floats));
    cr_assert_arr_eq(floats, network.layers[0].bias, sizeof floats);
    test_must(pb_graph_of_layer(&network, 0, PB_PRECISION_BF16, PB_ELEMENT_BFLOAT, 2, &graph));
    cr_assert_eq(pb_graph_bytes(&graph, PB_GRAPH_BIAS), sizeof bfloats);
    test_must(pb_graph_bias(&network.layers[0], &graph, bfloats));
    for (int o = 0; o < 13; o++)
        cr_assert_eq(bfloats[o], pb_bfloat_bits(floats[o]));
    cr_assert_eq(pb_graph_bytes(&graph, PB_GRAPH_RESIDUAL), 0);
    pb_network_free(&network);
}

/* A float that a half cannot hold is no infinity in silence. */
Test(network_weights, too_large_for_the_type_is_unsupported) {
    const test_layer layers[] = {{13, 3, 2, PB_ACTIVATION_RELU6, -1, -1}};
    pb_network network = test_network((pb_size){9, 9}, layers, 1, 3);
    pb_graph graph;
    uint16_t out[13 * 9 * 8];
    network.layers[0].weights[5 * 27 + 4] = -65520;
    test_must(pb_graph_of_layer(&network, 0, PB_PRECISION_FP16, PB_ELEMENT_HALF, 2, &graph));
    pb_status status = pb_graph_weights(&network.layers[0], &graph, out);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert(strstr(status.message, "layer layer: weight -65520 of channel 5 is too large for fp16"), "%s", status.message);
    network.layers[0].weights[5 * 27 + 4] = -65519;
    network.layers[0].bias[12] = 1e6f;
    test_must(pb_graph_weights(&network.layers[0], &graph, out));
    status = pb_graph_bias(&network.layers[0], &graph, out);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert(strstr(status.message, "bias 1e+06 of channel 12"), "%s", status.message);
    test_must(pb_graph_of_layer(&network, 0, PB_PRECISION_BF16, PB_ELEMENT_BFLOAT, 2, &graph));
    network.layers[0].bias[12] = 3.4e38f;
    status = pb_graph_bias(&network.layers[0], &graph, out);
    cr_assert(strstr(status.message, "bf16"), "%s", status.message);
    pb_network_free(&network);
}
