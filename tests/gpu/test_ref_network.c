/* The twin of networks is itself checked by formulas: kernels with a single one in them only move the image. */
#include "gpu/ref.h"

#include "base/fault.h"
#include "base/memory.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* What stands at (row, column) of channel c of the normalised image, zero outside. */
static float pixel(const pb_network *network, const uint8_t *image, int row, int column, int c) {
    if (row < 0 || row >= network->size.height || column < 0 || column >= network->size.width)
        return 0;
    return ((float)image[(row * network->size.width + column) * 3 + c] - network->mean[c]) * network->scale[c];
}

/* Padding before an input of `length` along either axis: how many pixels the first output reaches out of it. "SAME": the outputs
 * are ceil(length / stride), and what they need beyond the input is halved, the odd one at the end. */
static int padding_before(int length, int kernel, int stride, pb_padding padding) {
    if (padding == PB_PADDING_SYMMETRIC)
        return kernel / 2;
    int outputs = length / stride + (length % stride != 0), need = (outputs - 1) * stride + kernel;
    return need <= length ? 0 : (need - length) / 2;
}

static void check_moved(const pb_network *network, const uint8_t *image, int ky, int kx) {
    const pb_layer *layer = &network->layers[0];
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(network, 1, taps);
    test_must(pb_ref_run(network, image, 1, taps));
    const pb_size size = network->size;
    int above = padding_before(size.height, layer->kernel, layer->stride, layer->padding);
    int left = padding_before(size.width, layer->kernel, layer->stride, layer->padding);
    int rows = (size.height + layer->stride - 1) / layer->stride, columns = (size.width + layer->stride - 1) / layer->stride;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++)
            for (int o = 0; o < layer->outputs; o++) {
                int from = layer->groups > 1 ? o : 2 - o % 3;
                float expected = pixel(network, image, y * layer->stride - above + ky, x * layer->stride - left + kx, from);
                float found = taps[0][(y * columns + x) * layer->outputs + o];
                cr_assert(found == expected, "%d x %d kernel %d stride %d, one at %d,%d, output %d,%d,%d: %g, expected %g",
                          size.width, size.height, layer->kernel, layer->stride, ky, kx, y, x, o, (double)found,
                          (double)expected);
            }
    test_taps_free(taps);
}

/* Every place of the one, every kernel and stride, even and odd sides in all pairs, so that no axis passes for the other; dense
 * (output o takes channel 2 - o % 3) and depthwise. */
Test(ref_network, kernels_with_a_single_one_move_the_image) {
    static const pb_size SIZES[] = {{7, 7}, {8, 8}, {9, 10}, {10, 7}, {7, 9}, {8, 10}};
    static const int KERNELS[] = {1, 3, 5};
    for (int c = 0; c < 2 * 2 * 3 * 6 * 2; c++) {
        const test_layer layers[] = {{c & 1 ? 0 : 4, KERNELS[c / 4 % 3], 1 + c / 2 % 2, PB_ACTIVATION_NONE, -1, -1}};
        pb_network network = test_network(SIZES[c / 12 % 6], layers, 1, 1);
        if (c >= 2 * 2 * 3 * 6)
            test_pad_symmetrically(&network);
        uint8_t *image = test_images(&network, 1, 0);
        const pb_layer *layer = &network.layers[0];
        int channels = layer->inputs / layer->groups, area = layer->kernel * layer->kernel;
        memset(layer->bias, 0, (size_t)layer->outputs * sizeof(float));
        for (int place = 0; place < area; place++) {
            memset(layer->weights, 0, (size_t)(layer->outputs * channels * area) * sizeof(float));
            for (int o = 0; o < layer->outputs; o++)
                layer->weights[(o * channels + (channels == 1 ? 0 : 2 - o % 3)) * area + place] = 1;
            check_moved(&network, image, place / layer->kernel, place % layer->kernel);
        }
        pb_release(&image);
        pb_network_free(&network);
    }
}

/* Against the definition by sorting: the value at a place is one of those under the kernel, and none is larger. */
Test(ref_network, max_pooling_takes_the_largest_inside) {
    static const pb_size SIZES[] = {{1, 1}, {2, 2}, {7, 8}, {8, 7}, {8, 1}, {3, 9}};
    for (int c = 0; c < 6 * 2; c++) {
        const test_layer layers[] = {{0, 3, 2, PB_ACTIVATION_NONE, -1, -1}};
        pb_network network = test_network(SIZES[c / 2], layers, 1, 1);
        test_make_pool(&network, 0);
        if (c % 2)
            test_pad_symmetrically(&network);
        uint8_t *image = test_images(&network, 1, 0);
        float *taps[PB_TAPS_MAX];
        test_taps_allocate(&network, 1, taps);
        test_must(pb_ref_run(&network, image, 1, taps));
        const pb_size size = network.size, out = {(size.width + 1) / 2, (size.height + 1) / 2};
        int above = padding_before(size.height, 3, 2, network.layers[0].padding);
        int before = padding_before(size.width, 3, 2, network.layers[0].padding);
        for (int i = 0; i < out.width * out.height * 3; i++) {
            int top = i / 3 / out.width * 2 - above, left = i / 3 % out.width * 2 - before, channel = i % 3, equal = 0;
            for (int y = top < 0 ? 0 : top; y < top + 3 && y < size.height; y++)
                for (int x = left < 0 ? 0 : left; x < left + 3 && x < size.width; x++) {
                    cr_assert(pixel(&network, image, y, x, channel) <= taps[0][i]);
                    equal += pixel(&network, image, y, x, channel) == taps[0][i];
                }
            cr_assert_gt(equal, 0, "%d x %d, output %d: %g is no pixel under the kernel", size.width, size.height, i,
                         (double)taps[0][i]);
        }
        test_taps_free(taps);
        pb_release(&image);
        pb_network_free(&network);
    }
}

/* One pixel, one channel weight 1: y = activation(x + bias), then y + its residual through 1x1 layers, all by hand. */
Test(ref_network, bias_residual_and_activations) {
    static const struct {
        pb_activation activation;
        float bias, expected;
    } CASES[] = {{PB_ACTIVATION_NONE, -9, -8}, {PB_ACTIVATION_NONE, 9, 10}, {PB_ACTIVATION_RELU, -9, 0},
                 {PB_ACTIVATION_RELU, 9, 10},  {PB_ACTIVATION_RELU6, -9, 0}, {PB_ACTIVATION_RELU6, 9, 6},
                 {PB_ACTIVATION_RELU6, 2.5f, 3.5f}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const test_layer layers[] = {{1, 1, 1, CASES[c].activation, -1, -1}, {1, 1, 1, CASES[c].activation, 0, 0}};
        pb_network network = test_network(test_square(1), layers, 2, 1);
        const float to_one[] = {0, 1, 0};
        memcpy(network.layers[0].weights, to_one, sizeof to_one);
        network.mean[1] = 10;
        network.scale[1] = 0.5f;
        network.layers[0].bias[0] = CASES[c].bias;
        network.layers[1].weights[0] = -3;
        network.layers[1].bias[0] = 1;
        const uint8_t image[3] = {200, 12, 77}; /* (12 - 10) / 2 = 1 */
        float *taps[PB_TAPS_MAX];
        test_taps_allocate(&network, 1, taps);
        test_must(pb_ref_run(&network, image, 1, taps));
        float first = CASES[c].expected, second = -3 * first + 1 + first; /* the residual comes before the activation */
        if (CASES[c].activation != PB_ACTIVATION_NONE)
            second = second < 0 ? 0 : second;
        if (CASES[c].activation == PB_ACTIVATION_RELU6)
            second = second > 6 ? 6 : second;
        cr_assert(taps[0][0] == first, "case %zu: %g, expected %g", c, (double)taps[0][0], (double)first);
        cr_assert(taps[1][0] == second, "case %zu: %g, expected %g", c, (double)taps[1][0], (double)second);
        test_taps_free(taps);
        pb_network_free(&network);
    }
}

/* Integer weights and integer pixels: sums are exact, so the order cannot matter, and a second loop nest gives the same bits. */
Test(ref_network, dense_layer_adds_all_inputs) {
    const test_layer layers[] = {{5, 1, 1, PB_ACTIVATION_NONE, -1, -1}, {4, 1, 1, PB_ACTIVATION_NONE, 0, -1}};
    pb_network network = test_network(test_square(3), layers, 2, 1);
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < network.layers[l].outputs; i++) {
            network.layers[l].bias[i] = (float)(i - 2);
            for (int c = 0; c < network.layers[l].inputs; c++)
                network.layers[l].weights[i * network.layers[l].inputs + c] = (float)((i * 7 + c * 5 + l) % 9 - 4);
        }
    for (int c = 0; c < 3; c++) {
        network.mean[c] = (float)(100 + c);
        network.scale[c] = 1;
    }
    uint8_t *images = test_images(&network, 2, 3);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 2, taps);
    test_must(pb_ref_run(&network, images, 2, taps));
    for (int p = 0; p < 2 * 9; p++)
        for (int o = 0; o < 4; o++) {
            int sum = o - 2;
            for (int m = 0; m < 5; m++) {
                int middle = m - 2;
                for (int c = 0; c < 3; c++)
                    middle += ((m * 7 + c * 5) % 9 - 4) * (images[p * 3 + c] - 100 - c);
                cr_assert_eq(taps[0][p * 5 + m], (float)middle);
                sum += ((o * 7 + m * 5 + 1) % 9 - 4) * middle;
            }
            cr_assert_eq(taps[1][p * 4 + o], (float)sum);
        }
    test_taps_free(taps);
    pb_release(&images);
    pb_network_free(&network);
}

/* ---- operations on tokens ---- */

/* GELU at points of which erf is in tables: erf(1 / sqrt(2)) = 0.6826894921, the share within one deviation. */
Test(ref_network, gelu) {
    static const double CASES[][2] = {{0, 0}, {1, 0.8413447461}, {-1, -0.1586552539}, {2, 1.9544997361}, {-2, -0.0455002639}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const test_layer layers[] = {{1, 1, 1, PB_ACTIVATION_GELU, -1, -1}};
        pb_network network = test_network(test_square(1), layers, 1, 1);
        memset(network.layers[0].weights, 0, 3 * sizeof(float));
        network.layers[0].bias[0] = (float)CASES[c][0];
        const uint8_t image[3] = {1, 2, 3};
        float *taps[PB_TAPS_MAX];
        test_taps_allocate(&network, 1, taps);
        test_must(pb_ref_run(&network, image, 1, taps));
        cr_assert(fabs((double)taps[0][0] - CASES[c][1]) <= 1e-7, "%g: %.9g", CASES[c][0], (double)taps[0][0]);
        test_taps_free(taps);
        pb_network_free(&network);
    }
}

/* The class token comes first, the places follow row by row, each with its own embedding; and back. */
Test(ref_network, tokens_and_patches) {
    enum { WIDTH = 3, HEIGHT = 2, C = 5 };
    const test_layer layers[] = {{C, 1, 1, PB_ACTIVATION_NONE, -1, -1}};
    pb_network network = test_network((pb_size){WIDTH, HEIGHT}, layers, 1, 1);
    test_add_layer(&network, PB_OPERATION_TOKENS, C, 1);
    test_add_layer(&network, PB_OPERATION_PATCHES, C, 1);
    pb_layer_shape tokens = pb_network_shape(&network, 1), patches = pb_network_shape(&network, 2);
    cr_assert(pb_size_equal(tokens.size, (pb_size){1 + WIDTH * HEIGHT, 1}) && tokens.channels == C);
    cr_assert(pb_size_equal(patches.size, (pb_size){WIDTH, HEIGHT}) && patches.channels == C);
    uint8_t *image = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_must(pb_ref_run(&network, image, 1, taps));
    const float *weights = network.layers[1].weights;
    for (int i = 0; i < (1 + WIDTH * HEIGHT) * C; i++)
        cr_assert_eq(taps[1][i], i < C ? weights[i] : taps[0][i - C] + weights[i]);
    cr_assert_arr_eq(taps[2], taps[1] + C, sizeof(float) * WIDTH * HEIGHT * C);
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}

/* Weights 1 and bias 0: each place has mean 0 and mean square v / (v + epsilon); then weights and bias do the rest. */
Test(ref_network, layer_norm) {
    enum { C = 7, PLACES = 6 };
    const test_layer layers[] = {{C, 1, 1, PB_ACTIVATION_NONE, -1, -1}};
    pb_network network = test_network((pb_size){3, 2}, layers, 1, 1);
    test_add_layer(&network, PB_OPERATION_LAYER_NORM, C, 1);
    network.layers[1].epsilon = 0.25;
    uint8_t *image = test_images(&network, 1, 0);
    float *scaled[PB_TAPS_MAX], *taps[PB_TAPS_MAX], weights[C], bias[C];
    test_taps_allocate(&network, 1, scaled);
    test_taps_allocate(&network, 1, taps);
    test_must(pb_ref_run(&network, image, 1, scaled));
    for (int c = 0; c < C; c++) {
        weights[c] = network.layers[1].weights[c];
        bias[c] = network.layers[1].bias[c];
        network.layers[1].weights[c] = 1;
        network.layers[1].bias[c] = 0;
    }
    test_must(pb_ref_run(&network, image, 1, taps));
    for (int p = 0; p < PLACES; p++) {
        double mean = 0, squares = 0, before = 0, before_squares = 0;
        for (int c = 0; c < C; c++) {
            double x = (double)taps[0][p * C + c], y = (double)taps[1][p * C + c];
            before += x / C;
            before_squares += x * x / C;
            mean += y / C;
            squares += y * y / C;
            double expected = y * (double)weights[c] + (double)bias[c];
            cr_assert(fabs((double)scaled[1][p * C + c] - expected) <= 1e-6);
        }
        double v = before_squares - before * before;
        cr_assert(fabs(mean) <= 1e-6 && fabs(squares - v / (v + 0.25)) <= 1e-6, "place %d: %g, %g", p, mean, squares);
    }
    test_taps_free(taps);
    test_taps_free(scaled);
    pb_release(&image);
    pb_network_free(&network);
}

/* Two heads of one channel, queries chosen so that the sum of exponentials is known: scores of 0 share evenly; a score that is
 * larger by ln 3 counts threefold; by 1000, alone. The channels of a token: q0 q1 k0 k1 v0 v1. */
Test(ref_network, attention) {
    enum { TOKENS = 3 };
    const test_layer layers[] = {{6, 1, 1, PB_ACTIVATION_NONE, -1, -1}};
    pb_network network = test_network((pb_size){TOKENS, 1}, layers, 1, 1);
    test_add_layer(&network, PB_OPERATION_ATTENTION, 2, 2);
    /* Channel c of token t is picked by the colour that is lit there, since only one is. */
    static const float VALUES[TOKENS][6] = {{0, 1, 1, 1, 6, 10}, {1.0986123f, 1000, 0, 0, 1, 20}, {-1000, -1, 0, 0, 2, 50}};
    const uint8_t image[TOKENS * 3] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    memset(network.layers[0].bias, 0, 6 * sizeof(float));
    for (int c = 0; c < 3; c++) {
        network.mean[c] = 0;
        network.scale[c] = 1;
        for (int o = 0; o < 6; o++)
            network.layers[0].weights[o * 3 + c] = VALUES[c][o];
    }
    const double e = exp(1), inverse = exp(-1);
    const double expected[TOKENS * 2] = {
        3, (10 * e + 70) / (e + 2), (3 * 6 + 3) / 5.0, 10, 1.5, (10 * inverse + 70) / (inverse + 2)};
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_must(pb_ref_run(&network, image, 1, taps));
    for (int i = 0; i < TOKENS * 2; i++)
        cr_assert(fabs((double)taps[1][i] - expected[i]) <= 1e-6 * expected[i], "token %d, head %d: %.9g, expected %.9g", i / 2,
                  i % 2, (double)taps[1][i], expected[i]);
    test_taps_free(taps);
    pb_network_free(&network);
}

/* A network is its layers one after the other, and each of them alone gives the same bits. */
Test(ref_network, layers_alone_are_those_of_a_network) {
    pb_network network = test_transformer((pb_size){6, 4}, 12, 3);
    uint8_t *image = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX], *alone[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_taps_allocate(&network, 1, alone);
    test_must(pb_ref_run(&network, image, 1, taps));
    for (int l = 1; l < network.layer_count; l++) {
        const pb_layer *layer = &network.layers[l];
        const pb_size in = pb_network_shape(&network, layer->source).size, out = pb_network_shape(&network, l).size;
        test_must(
            pb_ref_layer(layer, in, out, taps[layer->source], layer->residual < 0 ? NULL : taps[layer->residual], alone[l]));
        cr_assert_arr_eq(alone[l], taps[l], test_tap_values(&network, l) * sizeof(float), "layer %d", l);
    }
    test_must(pb_fault_arm("base.allocate@0:1", 0));
    pb_status status = pb_ref_layer(&network.layers[4], (pb_size){7, 1}, (pb_size){7, 1}, taps[3], NULL, alone[4]);
    cr_assert_eq(status.code, PB_E_SYSTEM);
    test_taps_free(alone);
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}

Test(ref_network, memory_that_is_refused_is_an_error) {
    const test_layer layers[] = {{4, 3, 2, PB_ACTIVATION_RELU, -1, -1}, {0, 3, 1, PB_ACTIVATION_RELU, 0, -1}};
    pb_network network = test_network(test_square(8), layers, 2, 1);
    uint8_t *image = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    static const char *const FAULTS[] = {"base.allocate@0:1", "base.allocate@0:2", "base.allocate@0:3", "base.allocate@0:4"};
    for (int f = 0; f < 4; f++) {
        test_must(pb_fault_arm(FAULTS[f], 0));
        pb_status status = pb_ref_run(&network, image, 1, taps);
        cr_assert_eq(status.code, PB_E_SYSTEM);
    }
    test_must(pb_ref_run(&network, image, 0, taps));
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}
