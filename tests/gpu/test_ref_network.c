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

Test(ref_network, memory_that_is_refused_is_an_error) {
    const test_layer layers[] = {{4, 3, 2, PB_ACTIVATION_RELU, -1, -1}, {0, 3, 1, PB_ACTIVATION_RELU, 0, -1}};
    pb_network network = test_network(test_square(8), layers, 2, 1);
    uint8_t *image = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    static const char *const FAULTS[] = {"base.allocate@0:1", "base.allocate@0:2", "base.allocate@0:3"};
    for (int f = 0; f < 3; f++) {
        test_must(pb_fault_arm(FAULTS[f], 0));
        pb_status status = pb_ref_run(&network, image, 1, taps);
        cr_assert_eq(status.code, PB_E_SYSTEM);
    }
    test_must(pb_ref_run(&network, image, 0, taps));
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}
