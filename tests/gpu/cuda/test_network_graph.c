#include "gpu/cuda/network_graph.h"

#include "backbones.h"
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

static void run_layer(const pb_network *network, int l, pb_precision precision, int n, void *const *outputs) {
    const pb_layer *layer = &network->layers[l];
    pb_graph graph;
    test_must(pb_graph_of_layer(network, l, precision, PB_ELEMENT_FLOAT, n, &graph));
    void *memory[PB_GRAPH_ROLES] = {[PB_GRAPH_SOURCE] = outputs[layer->source + 1], [PB_GRAPH_OUTPUT] = outputs[l + 1]};
    if (layer->residual >= 0)
        memory[PB_GRAPH_RESIDUAL] = outputs[layer->residual + 1];
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
static void check_rounded(const pb_network *network, int t, double unit, const float *found, const float *expected,
                          const char *what) {
    const size_t count = test_tap_values(network, t);
    double squares = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        squares += pow((double)found[i] - (double)expected[i], 2) / (double)count;
        size += pow((double)expected[i], 2) / (double)count;
    }
    cr_assert(sqrt(squares) <= 16 * unit * fmax(sqrt(size), 1), "%s, %d x %d, layer %d: root mean square %g of values of %g",
              what, network->size.width, network->size.height, t, sqrt(squares), sqrt(size));
}

static void check_close(const pb_network *network, pb_precision precision, const char *what) {
    uint8_t *images = test_images(network, 1, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX], *bounds[PB_TAPS_MAX];
    test_taps_allocate(network, 1, found);
    test_taps_allocate(network, 1, expected);
    test_taps_allocate(network, 1, bounds);
    test_must(pb_ref_run(network, images, 1, expected));
    test_bounds(network, images, expected, bounds);
    run(network, precision, images, 1, found);
    for (int t = 0; t < network->tap_count; t++)
        if (unit_of(precision) == 0)
            check_values(network, t, found[t], expected[t], bounds[t], what);
        else
            check_rounded(network, t, unit_of(precision), found[t], expected[t], what);
    test_taps_free(bounds);
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

/* Every layer of every backbone has a graph, whose text fits and says which layers are the same. */
Test(network_graph, backbones_have_graphs) {
    const char *const *names = pb_backbone_names();
    for (int b = 0; names[b]; b++) {
        const char *taps;
        int side;
        pb_network network;
        if (!has_graphs(names[b]))
            continue;
        test_must(pb_backbone_defaults(names[b], &taps, &side));
        test_must(pb_network_outline(names[b], taps, (pb_size){side, side + 37}, &network));
        static char texts[PB_LAYERS_MAX][PB_GRAPH_TEXT];
        int distinct = 0;
        for (int l = 0; l < network.layer_count; l++) {
            text_of(&network, l, PB_PRECISION_BF16, PB_ELEMENT_BFLOAT, 4096, texts[distinct]);
            int before = 0;
            while (strcmp(texts[before], texts[distinct]) != 0)
                before++;
            distinct += before == distinct;
        }
        cr_assert(distinct >= 10 && distinct < network.layer_count, "%s: %d of %d", names[b], distinct, network.layer_count);
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
    check_refused(&network, 2, "neither");
    network.layers[1].activation = PB_ACTIVATION_GELU;
    check_refused(&network, 1, "GELU");
    pb_network_free(&network);
}

/* Their patch embedding is a convolution; what comes next is none. */
Test(network_graph, transformers_are_unsupported) {
    const char *const *names = pb_backbone_names();
    int transformers = 0;
    for (int b = 0; names[b]; b++) {
        const char *taps;
        int side;
        pb_network network;
        if (has_graphs(names[b]))
            continue;
        test_must(pb_backbone_defaults(names[b], &taps, &side));
        test_must(pb_network_outline(names[b], taps, test_square(side), &network));
        check_refused(&network, 1, "neither a convolution nor max pooling");
        pb_network_free(&network);
        transformers++;
    }
    cr_assert_gt(transformers, 0);
}
