#include "gpu/cuda/network_graph.h"

#include "base/memory.h"
#include "gpu/cuda/network_weights.h"
#include "gpu/ref.h"
#include "networks.h"
#include "simulator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* ---- a network by its graphs, each output in memory of its own ---- */

/* The bytes of images as the graph of a first layer reads them. */
static void normalise(const pb_network *network, pb_precision precision, const uint8_t *images, size_t pixels, void *out) {
    const int channels = pb_precision_input_channels(precision);
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c++) {
            float value = c < 3 ? ((float)images[p * 3 + (size_t)c] - network->mean[c]) * network->scale[c] : 0;
            simulator_put(pb_precision_element(precision), out, (int64_t)p * channels + c, value);
        }
}

static void *allocate(size_t bytes) {
    void *memory;
    test_must(pb_allocate(&memory, bytes, 1, "test memory"));
    memset(memory, 0xff, bytes); /* NaN: what is not written is seen */
    return memory;
}

/* A layer that is a kernel, by the plain twin. */
static void run_kernel(const pb_network *network, int l, pb_element element, int n, void *const *outputs) {
    const pb_layer *layer = &network->layers[l];
    const pb_layer_shape from = pb_network_shape(network, layer->source), to = pb_network_shape(network, l);
    const size_t in = pb_layer_shape_values(from), out = pb_layer_shape_values(to);
    float *input = allocate(in * sizeof *input), *output = allocate(out * sizeof *output);
    for (int i = 0; i < n; i++) {
        for (size_t v = 0; v < in; v++)
            input[v] = simulator_get(element, outputs[layer->source + 1], (int64_t)((size_t)i * in + v));
        test_must(pb_ref_layer(layer, from.size, to.size, input, NULL, output));
        for (size_t v = 0; v < out; v++)
            simulator_put(element, outputs[l + 1], (int64_t)((size_t)i * out + v), output[v]);
    }
    pb_release(&output);
    pb_release(&input);
}

/* The parts of a token's queries, keys and values lie behind each other. */
static void place_heads(const pb_layer *layer, pb_element element, float *one, void *memory[PB_GRAPH_ROLES]) {
    const size_t bytes = (size_t)layer->outputs * pb_element_bytes(element);
    memory[PB_GRAPH_KEYS] = (char *)memory[PB_GRAPH_SOURCE] + bytes;
    memory[PB_GRAPH_VALUES] = (char *)memory[PB_GRAPH_SOURCE] + 2 * bytes;
    memory[PB_GRAPH_SCALE] = one;
}

static void run_layer(const pb_network *network, int l, pb_precision precision, int n, void *const *outputs) {
    const pb_layer *layer = &network->layers[l];
    const pb_element element = pb_precision_element(precision);
    float one = 1;
    pb_graph graph;
    if (!pb_graph_exists(network, l, precision)) {
        run_kernel(network, l, element, n, outputs);
        return;
    }
    test_must(pb_graph_of_layer(network, l, precision, PB_ELEMENT_FLOAT, n, &graph));
    void *memory[PB_GRAPH_ROLES] = {[PB_GRAPH_SOURCE] = outputs[layer->source + 1], [PB_GRAPH_OUTPUT] = outputs[l + 1]};
    if (layer->residual >= 0)
        memory[PB_GRAPH_RESIDUAL] = outputs[layer->residual + 1];
    if (layer->operation == PB_OPERATION_ATTENTION)
        place_heads(layer, element, &one, memory);
    if (layer->operation == PB_OPERATION_CONVOLUTION) {
        memory[PB_GRAPH_WEIGHTS] = allocate(pb_graph_bytes(&graph, PB_GRAPH_WEIGHTS));
        memory[PB_GRAPH_BIAS] = allocate(pb_graph_bytes(&graph, PB_GRAPH_BIAS));
        test_must(pb_graph_weights(layer, &graph, memory[PB_GRAPH_WEIGHTS]));
        test_must(pb_graph_bias(layer, &graph, memory[PB_GRAPH_BIAS]));
    }
    simulate(&graph, memory);
    pb_release(&memory[PB_GRAPH_WEIGHTS]);
    pb_release(&memory[PB_GRAPH_BIAS]);
}

static void run(const pb_network *network, pb_precision precision, const uint8_t *images, int n, float *const *taps) {
    const pb_element element = pb_precision_element(precision);
    const size_t pixels = (size_t)n * pb_size_area(network->size), each = pb_element_bytes(element);
    void *outputs[PB_LAYERS_MAX + 1] = {NULL};
    outputs[0] = allocate(pixels * (size_t)pb_precision_input_channels(precision) * each);
    normalise(network, precision, images, pixels, outputs[0]);
    for (int l = 0; l < network->layer_count; l++) {
        outputs[l + 1] = allocate((size_t)n * pb_layer_shape_values(pb_network_shape(network, l)) * each);
        run_layer(network, l, precision, n, outputs);
    }
    for (int t = 0; t < network->tap_count; t++)
        for (size_t i = 0; i < (size_t)n * test_tap_values(network, t); i++)
            taps[t][i] = simulator_get(element, outputs[network->taps[t] + 1], (int64_t)i);
    for (int l = 0; l <= network->layer_count; l++)
        pb_release(&outputs[l]);
}

/* ---- what graphs compute ---- */

/* A first layer that makes channels out of the image, and the layer or layers in question. */
typedef struct kind {
    const char *what;
    int count;
    test_layer layers[4];
    int pool; /* the layer that is made max pooling; 0: none */
} kind;

#define RELU6 PB_ACTIVATION_RELU6
#define RELU PB_ACTIVATION_RELU
#define NONE PB_ACTIVATION_NONE

static const kind KINDS[] = {
    {"stem", 1, {{8, 3, 2, RELU6, -1, -1}}, 0},
    {"7x7 stem", 1, {{8, 7, 2, RELU, -1, -1}}, 0},
    {"odd channels", 3, {{13, 3, 1, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {7, 1, 1, NONE, 1, -1}}, 0},
    {"depthwise 3 / 2", 2, {{16, 1, 1, NONE, -1, -1}, {0, 3, 2, RELU6, 0, -1}}, 0},
    {"depthwise 5", 2, {{8, 1, 1, NONE, -1, -1}, {0, 5, 1, RELU, 0, -1}}, 0},
    {"depthwise 5 / 2", 2, {{8, 1, 1, NONE, -1, -1}, {0, 5, 2, RELU6, 0, -1}}, 0},
    {"dense 3 / 2", 2, {{8, 1, 1, NONE, -1, -1}, {16, 3, 2, RELU, 0, -1}}, 0},
    {"1x1 / 2", 2, {{8, 1, 1, NONE, -1, -1}, {16, 1, 2, NONE, 0, -1}}, 0},
    {"residual", 3, {{8, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {8, 1, 1, NONE, 1, 0}}, 0},
    {"shortcut", 4, {{8, 3, 2, RELU, -1, -1}, {16, 1, 2, NONE, 0, -1}, {8, 3, 2, RELU, 0, -1}, {16, 3, 1, RELU, 2, 1}}, 0},
    {"max pool", 3, {{8, 3, 1, NONE, -1, -1}, {0, 3, 2, NONE, 0, -1}, {8, 1, 1, RELU6, 1, -1}}, 1},
};

static const pb_size SIZES[] = {{1, 1}, {5, 5}, {16, 16}, {17, 9}, {6, 15}};

/* Relative error of one rounding to a type's mantissa. */
static double unit_of(pb_precision precision) {
    return precision == PB_PRECISION_FP16 ? 0x1p-11 : precision == PB_PRECISION_BF16 ? 0x1p-8 : 0;
}

/* Float memory: each value is within the bound of any order of summation. */
static void check_values(const pb_network *network, int t, const float *found, const float *expected, const float *bounds,
                         const char *what) {
    for (size_t i = 0; i < test_tap_values(network, t); i++) {
        double apart = fabs((double)found[i] - (double)expected[i]);
        cr_assert(apart <= (double)bounds[i], "%s, %d x %d, layer %d, value %zu: %.9g, expected %.9g within %.3g", what,
                  network->size.width, network->size.height, t, i, (double)found[i], (double)expected[i], (double)bounds[i]);
    }
}

/* Half and bfloat: input, weights and output of each layer are rounded, with relative errors up to u that behave as independent,
 * so that 4 layers add about sqrt(4 * 3) u / sqrt(3) to values of size about 1: 2 u. Root mean square within 16 u, since the
 * smallest taps have few values. A wrong place or order is off by about 1. */
static void check_rounded(const pb_network *network, int t, double within, const float *found, const float *expected,
                          const char *what) {
    const size_t count = test_tap_values(network, t);
    double squares = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        squares += pow((double)found[i] - (double)expected[i], 2) / (double)count;
        size += pow((double)expected[i], 2) / (double)count;
    }
    cr_assert(sqrt(squares) <= within * fmax(sqrt(size), 1), "%s, %d x %d, layer %d: root mean square %g of values of %g",
              what, network->size.width, network->size.height, t, sqrt(squares), sqrt(size));
}

static void check_close(const pb_network *network, pb_precision precision, const char *what) {
    uint8_t *images = test_images(network, 1, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX], *bounds[PB_TAPS_MAX];
    test_taps_allocate(network, 1, found);
    test_taps_allocate(network, 1, expected);
    test_taps_allocate(network, 1, bounds);
    test_must(pb_ref_run(network, images, 1, expected));
    if (unit_of(precision) == 0)
        test_bounds(network, images, expected, bounds);
    run(network, precision, images, 1, found);
    for (int t = 0; t < network->tap_count; t++)
        if (unit_of(precision) == 0)
            check_values(network, t, found[t], expected[t], bounds[t], what);
        else
            check_rounded(network, t, 16 * unit_of(precision), found[t], expected[t], what);
    test_taps_free(bounds);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
}

static void check_transformer(const pb_network *network, pb_precision precision, double within) {
    uint8_t *images = test_images(network, 1, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(network, 1, found);
    test_taps_allocate(network, 1, expected);
    test_must(pb_ref_run(network, images, 1, expected));
    run(network, precision, images, 1, found);
    for (int t = 0; t < network->tap_count; t++)
        check_rounded(network, t, within, found[t], expected[t], pb_precision_name(precision));
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
}

static pb_network network_of(const kind *k, pb_size size) {
    pb_network network = test_network(size, k->layers, k->count, 5);
    if (k->pool)
        test_make_pool(&network, k->pool);
    return network;
}

Test(network_graph, each_kind_of_layer_is_what_the_network_says) {
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
            pb_network network = network_of(&KINDS[k], SIZES[s]);
            check_close(&network, PB_PRECISION_FP32, KINDS[k].what);
            check_close(&network, PB_PRECISION_FP16, KINDS[k].what);
            check_close(&network, PB_PRECISION_BF16, KINDS[k].what);
            test_pad_symmetrically(&network);
            check_close(&network, PB_PRECISION_FP32, KINDS[k].what);
            pb_network_free(&network);
        }
}

/* How many layers of a network are graphs. */
static int graphs_of(const pb_network *network, pb_precision precision) {
    int count = 0;
    for (int l = 0; l < network->layer_count; l++)
        count += pb_graph_exists(network, l, precision);
    return count;
}

/* Heads of 8 and of 16 channels. In fp32 attention is a kernel; tf32 says for float memory what its graph computes; what is
 * computed in double and stored as float is within 8 roundings' size, a small part of 16 in half. */
Test(network_graph, transformers_are_what_the_network_says) {
    static const pb_size PATCHES[] = {{2, 2}, {6, 10}, {16, 8}};
    for (size_t s = 0; s < sizeof PATCHES / sizeof *PATCHES; s++) {
        pb_network network = test_transformer(PATCHES[s], 32, s % 2 ? 2 : 4);
        cr_assert(graphs_of(&network, PB_PRECISION_FP32) == 4 && graphs_of(&network, PB_PRECISION_TF32) == 5 &&
                  graphs_of(&network, PB_PRECISION_FP16) == 5);
        check_transformer(&network, PB_PRECISION_FP32, 8 * 0x1p-24);
        check_transformer(&network, PB_PRECISION_TF32, 8 * 0x1p-24);
        check_transformer(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
        check_transformer(&network, PB_PRECISION_BF16, 16 * 0x1p-8);
        pb_network_free(&network);
    }
}

/* A head of 12 bytes is no whole number of 16: a kernel's. */
Test(network_graph, narrow_heads_are_no_graph) {
    pb_network network = test_transformer((pb_size){4, 4}, 12, 2);
    cr_assert(!pb_graph_exists(&network, 4, PB_PRECISION_TF32) && !pb_graph_exists(&network, 4, PB_PRECISION_FP16));
    check_transformer(&network, PB_PRECISION_BF16, 16 * 0x1p-8);
    pb_network_free(&network);
}

/* Several images lie behind each other, and none sees another. */
Test(network_graph, images_of_a_batch_are_apart) {
    const test_layer layers[] = {{8, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {8, 1, 1, NONE, 1, 0}};
    pb_network network = test_network((pb_size){9, 6}, layers, 3, 1);
    uint8_t *images = test_images(&network, 3, 0);
    float *together[PB_TAPS_MAX], *alone[PB_TAPS_MAX];
    test_taps_allocate(&network, 3, together);
    test_taps_allocate(&network, 1, alone);
    run(&network, PB_PRECISION_FP16, images, 3, together);
    for (int i = 0; i < 3; i++) {
        run(&network, PB_PRECISION_FP16, images + (size_t)i * 9 * 6 * 3, 1, alone);
        for (int t = 0; t < 3; t++) {
            size_t values = test_tap_values(&network, t);
            cr_assert_arr_eq(alone[t], together[t] + (size_t)i * values, values * sizeof(float));
        }
    }
    test_taps_free(alone);
    test_taps_free(together);
    pb_release(&images);
    pb_network_free(&network);
}

/* ---- what graphs look like ---- */

static void text_of(const pb_network *network, int layer, pb_precision precision, pb_element bias, int batch,
                    char text[PB_GRAPH_TEXT]) {
    pb_graph graph;
    test_must(pb_graph_of_layer(network, layer, precision, bias, batch, &graph));
    pb_graph_text(&graph, text);
}

/* The order that cuDNN has plans for, float in between, and "SAME"'s odd pixel at the end: 17 wide and 9 high, 3 x 3 / 2: pads 1
 * before and 1 after; 16 high: 0 and 1. */
Test(network_graph, text_shows_all_of_a_graph) {
    const test_layer layers[] = {{24, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {24, 1, 1, RELU, 1, 0}};
    pb_network network = test_network((pb_size){17, 16}, layers, 3, 1);
    char text[PB_GRAPH_TEXT];
    text_of(&network, 0, PB_PRECISION_BF16, PB_ELEMENT_FLOAT, 4, text);
    cr_assert_str_eq(text, "conv(0,1)w3,3s2,2p0,1q1,1->2 add(2,3)->4 relu(4)<=6->5 x0:bfloat[4,8,16,17/2176,1,136,8]"
                           " w1:bfloat[24,8,3,3/72,1,24,8] v2:float[4,24,8,9/1728,1,216,24] b3:float[1,24,1,1/24,1,24,24]"
                           " v4:float[4,24,8,9/1728,1,216,24] y5:bfloat[4,24,8,9/1728,1,216,24]");
    text_of(&network, 1, PB_PRECISION_BF16, PB_ELEMENT_BFLOAT, 4, text);
    cr_assert_str_eq(text, "conv(0,1)w3,3s1,1p1,1q1,1->2 add(2,3)->4 relu(4)<=6->5 x0:bfloat[4,24,8,9/1728,1,216,24]"
                           " w1:bfloat[24,1,3,3/9,1,3,1] v2:float[4,24,8,9/1728,1,216,24] b3:bfloat[1,24,1,1/24,1,24,24]"
                           " v4:float[4,24,8,9/1728,1,216,24] y5:bfloat[4,24,8,9/1728,1,216,24]");
    text_of(&network, 2, PB_PRECISION_TF32, PB_ELEMENT_FLOAT, 1, text);
    cr_assert_str_eq(text, "conv(0,1)w1,1s1,1p0,0q0,0->2 add(2,3)->4 add(4,5)->6 relu(6)->7 x0:float[1,24,8,9/1728,1,216,24]"
                           " w1:float[24,24,1,1/24,1,24,24] v2:float[1,24,8,9/1728,1,216,24] r3:float[1,24,8,9/1728,1,216,24]"
                           " v4:float[1,24,8,9/1728,1,216,24] b5:float[1,24,1,1/24,1,24,24] v6:float[1,24,8,9/1728,1,216,24]"
                           " y7:float[1,24,8,9/1728,1,216,24]");
    pb_network_free(&network);
}

/* Heads side by side, tokens three times as far apart as their results, a scale that is no memory. */
Test(network_graph, text_shows_attention) {
    pb_network network = test_transformer((pb_size){4, 6}, 16, 2);
    char text[PB_GRAPH_TEXT];
    text_of(&network, 4, PB_PRECISION_FP16, PB_ELEMENT_FLOAT, 3, text);
    cr_assert_str_eq(text, "attention(0,1,2,4)->3 x0:half[3,2,7,8/336,8,48,1] k1:half[3,2,7,8/336,8,48,1]"
                           " u2:half[3,2,7,8/336,8,48,1] y3:half[3,2,7,8/112,8,16,1] s4:float[1,1,1,1/1,1,1,1]");
    text_of(&network, 6, PB_PRECISION_FP16, PB_ELEMENT_FLOAT, 3, text);
    cr_assert(strstr(text, " gelu(4)->5 x0:half[3,16,1,7/112,1,112,16]"), "%s", text);
    pb_network_free(&network);
}

/* Every layer of every backbone that is no kernel has a graph, whose text fits and says which layers are the same. */
Test(network_graph, backbones_have_graphs) {
    const char *const *names = pb_backbone_names();
    for (int b = 0; names[b]; b++) {
        const char *taps;
        int side;
        pb_network network;
        test_must(pb_backbone_defaults(names[b], &taps, &side));
        const bool transformer = strncmp(names[b], "dinov2", 6) == 0;
        test_must(pb_network_outline(names[b], taps, (pb_size){side, side + (transformer ? 42 : 37)}, &network));
        static char texts[PB_LAYERS_MAX][PB_GRAPH_TEXT];
        int distinct = 0;
        for (int l = 0; l < network.layer_count; l++) {
            if (!pb_graph_exists(&network, l, PB_PRECISION_BF16))
                continue;
            text_of(&network, l, PB_PRECISION_BF16, PB_ELEMENT_BFLOAT, 4096, texts[distinct]);
            int before = 0;
            while (strcmp(texts[before], texts[distinct]) != 0)
                before++;
            distinct += before == distinct;
        }
        cr_assert(distinct < network.layer_count && (transformer ? distinct == 6 : distinct >= 10), "%s: %d of %d", names[b],
                  distinct, network.layer_count);
        pb_network_free(&network);
    }
}

/* ---- layers without a graph ---- */

static void check_refused(pb_network *network, int layer, const char *why) {
    pb_graph graph;
    pb_status status = pb_graph_of_layer(network, layer, PB_PRECISION_FP16, PB_ELEMENT_FLOAT, 1, &graph);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert(strstr(status.message, why) && strstr(status.message, network->layers[layer].name), "%s", status.message);
}

Test(network_graph, what_has_no_graph_is_unsupported) {
    const test_layer layers[] = {{0, 3, 1, NONE, -1, -1}, {8, 1, 1, NONE, 0, -1}, {0, 3, 2, NONE, 1, -1}};
    pb_network network = test_network((pb_size){8, 8}, layers, 3, 1);
    strcpy(network.layers[2].name, "pool");
    check_refused(&network, 0, "padded");
    test_make_pool(&network, 2);
    network.layers[2].activation = RELU;
    check_refused(&network, 2, "max pooling with an activation");
    network.layers[2].operation = (pb_operation)99;
    check_refused(&network, 2, "a kernel of ours");
    pb_network_free(&network);
}
