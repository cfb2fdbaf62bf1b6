#include "networks.h"

#include "base/memory.h"
#include "base/random.h"

#include <criterion/criterion.h>
#include <math.h>

void test_must(pb_status status) { cr_assert_eq(status.code, PB_OK, "%s", status.message); }

static void fill(const pb_layer *layer, uint64_t seed, uint32_t substream) {
    size_t fan = (size_t)(layer->inputs / layer->groups) * (size_t)layer->kernel * (size_t)layer->kernel;
    float reach = (float)sqrt(6.0 / (double)fan);
    for (size_t i = 0; i < (size_t)layer->outputs * fan; i++)
        layer->weights[i] = reach * pb_random_symmetric(seed, PB_STREAM_TEST, 2 * substream, i);
    for (size_t o = 0; o < (size_t)layer->outputs; o++)
        layer->bias[o] = pb_random_symmetric(seed, PB_STREAM_TEST, 2 * substream + 1, o);
}

pb_network test_network(pb_size size, const test_layer *layers, int count, uint64_t seed) {
    cr_assert_leq(count, PB_TAPS_MAX);
    pb_network network = {.backbone = "by_hand", .size = size, .mean = {127, 120, 99.5f},
                          .scale = {1 / 128.0f, 0.017f, 1 / 99.0f}, .layer_count = count, .tap_count = count};
    test_must(pb_allocate(&network.layers, (size_t)count, sizeof *network.layers, "layers"));
    for (int l = 0; l < count; l++) {
        int inputs = layers[l].source < 0 ? 3 : network.layers[layers[l].source].outputs;
        pb_layer *layer = &network.layers[l];
        *layer = (pb_layer){.name = "layer", .inputs = inputs, .outputs = layers[l].outputs ? layers[l].outputs : inputs,
                            .kernel = layers[l].kernel, .stride = layers[l].stride, .groups = layers[l].outputs ? 1 : inputs,
                            .activation = layers[l].activation, .source = layers[l].source, .residual = layers[l].residual};
        size_t weights = (size_t)layer->outputs * (size_t)(inputs / layer->groups) * (size_t)(layer->kernel * layer->kernel);
        test_must(pb_allocate(&layer->weights, weights, sizeof(float), "weights"));
        test_must(pb_allocate(&layer->bias, (size_t)layer->outputs, sizeof(float), "bias"));
        fill(layer, seed, (uint32_t)l);
        network.taps[l] = l;
    }
    return network;
}

void test_pad_symmetrically(pb_network *network) {
    for (int l = 0; l < network->layer_count; l++)
        network->layers[l].padding = PB_PADDING_SYMMETRIC;
}

void test_make_pool(pb_network *network, int layer) {
    pb_layer *at = &network->layers[layer];
    cr_assert(at->groups == at->inputs && at->residual < 0 && at->activation == PB_ACTIVATION_NONE);
    at->operation = PB_OPERATION_MAX_POOL;
    pb_release(&at->weights);
    pb_release(&at->bias);
}

void test_add_layer(pb_network *network, pb_operation operation, int outputs, int groups) {
    int l = network->layer_count, inputs = network->layers[l - 1].outputs;
    cr_assert_lt(l, PB_TAPS_MAX);
    test_must(pb_resize(&network->layers, (size_t)l, (size_t)l + 1, sizeof *network->layers, "layers"));
    pb_layer *layer = &network->layers[l];
    *layer = (pb_layer){.name = "layer", .operation = operation, .inputs = inputs, .outputs = outputs, .kernel = 1, .stride = 1,
                        .groups = groups, .epsilon = operation == PB_OPERATION_LAYER_NORM ? 1e-6 : 0, .source = l - 1,
                        .residual = -1};
    network->layer_count++;
    network->taps[network->tap_count++] = l;
    size_t linear = operation == PB_OPERATION_CONVOLUTION ? (size_t)inputs : 1;
    size_t weights = operation == PB_OPERATION_TOKENS ? pb_layer_shape_values(pb_network_shape(network, l))
                                                      : (size_t)outputs * linear;
    if (operation == PB_OPERATION_ATTENTION || operation == PB_OPERATION_PATCHES)
        return;
    test_must(pb_allocate(&layer->weights, weights, sizeof(float), "weights"));
    for (size_t i = 0; i < weights; i++)
        layer->weights[i] = (float)sqrt(6.0 / (double)linear) * pb_random_symmetric(9, PB_STREAM_TEST, 2 * (uint32_t)l, i);
    if (operation == PB_OPERATION_TOKENS)
        return;
    test_must(pb_allocate(&layer->bias, (size_t)outputs, sizeof(float), "bias"));
    for (size_t o = 0; o < (size_t)outputs; o++)
        layer->bias[o] = pb_random_symmetric(9, PB_STREAM_TEST, 2 * (uint32_t)l + 1, o);
}

pb_network test_transformer(pb_size size, int channels, int heads) {
    const test_layer stem[] = {{channels, 2, 2, PB_ACTIVATION_NONE, -1, -1}};
    pb_network network = test_network(size, stem, 1, 8);
    test_add_layer(&network, PB_OPERATION_TOKENS, channels, 1);
    test_add_layer(&network, PB_OPERATION_LAYER_NORM, channels, 1);
    test_add_layer(&network, PB_OPERATION_CONVOLUTION, 3 * channels, 1);
    test_add_layer(&network, PB_OPERATION_ATTENTION, channels, heads);
    test_add_layer(&network, PB_OPERATION_CONVOLUTION, channels, 1);
    network.layers[5].residual = 1;
    test_add_layer(&network, PB_OPERATION_CONVOLUTION, channels, 1);
    network.layers[6].activation = PB_ACTIVATION_GELU;
    test_add_layer(&network, PB_OPERATION_PATCHES, channels, 1);
    const float scale = 0.25f / sqrtf((float)(channels / heads));
    for (int i = 0; i < channels * channels; i++)
        network.layers[3].weights[i] *= scale;
    return network;
}

uint8_t *test_images(const pb_network *network, int n, uint32_t substream) {
    size_t count = (size_t)n * pb_size_area(network->size) * 3;
    uint8_t *images;
    test_must(pb_allocate(&images, count, 1, "images"));
    for (size_t i = 0; i < count; i++)
        images[i] = (uint8_t)pb_random_u32(1, PB_STREAM_TEST, 1000 + substream, i);
    return images;
}

size_t test_tap_values(const pb_network *network, int t) {
    return pb_layer_shape_values(pb_network_shape(network, network->taps[t]));
}

void test_taps_allocate(const pb_network *network, int n, float *taps[PB_TAPS_MAX]) {
    for (int t = 0; t < PB_TAPS_MAX; t++) {
        taps[t] = NULL;
        if (t < network->tap_count)
            test_must(pb_allocate(&taps[t], (size_t)n * test_tap_values(network, t), sizeof(float), "taps"));
    }
}

void test_taps_free(float *taps[PB_TAPS_MAX]) {
    for (int t = 0; t < PB_TAPS_MAX; t++)
        pb_release(&taps[t]);
}

/* The derivation. A device adds m = K + 2 terms: K products w x, the bias, the residual. In whatever order, with or without fused
 * multiply-adds, each term goes through at most m roundings of relative error u = 2^-24, so that the sum is off by at most
 *   gamma * sum |terms|,   gamma = m u / (1 - m u)                                (N. Higham, Accuracy and Stability, section
 * 4.2) Its inputs are off by their own bounds e, which adds sum |w| e, and makes the terms larger by as much. Activations do not
 * enlarge a difference. The twin sums in double and rounds once: u |value|; what double loses is covered by a last factor of
 * 1.001, and so is the rounding of this computation.
 *
 * A dense 3x3 layer of stride 1 may go through Winograd's transforms instead (gpu/cpu_winograd.h). An output is then the sum of 9
 * of the 16 positions, each a sum over the inputs of transformed weights times transformed values, and a term is such a product
 * with each pixel that went into the value. It has 1 rounding of its weight, 2 of its value, at most K of product and sum over K
 * inputs, 4 of the sums by A, and those of bias and residual: m = K + 9. The bound is the larger of the two. */
typedef struct sums {
    double size, error;   /* sum of |terms| as the device may see them; what its inputs' errors add */
    double winograd_size; /* as size, of Winograd's terms; 0 for layers without */
} sums;

static const double UNIT = 0x1p-24;

/* What a layer sees along one axis: where its output `at` begins in an input of `in` pixels. Written a second time: gpu/network.c
 * has this for the devices. */
static int first_seen(const pb_layer *layer, int in, int at) {
    int out = (in + layer->stride - 1) / layer->stride, total = (out - 1) * layer->stride + layer->kernel - in;
    return at * layer->stride - (layer->padding == PB_PADDING_SYMMETRIC ? layer->kernel / 2 : total > 0 ? total / 2 : 0);
}

/* The index of the input's place (row, column), -1 outside. */
static int place_in(pb_size in, int row, int column) {
    return row >= 0 && row < in.height && column >= 0 && column < in.width ? row * in.width + column : -1;
}

/* The largest of a few values, each off by at most its error, is off by at most the largest error. */
static double largest_error(const pb_network *network, int index, const float *input_error, int y, int x, int o) {
    const pb_layer *layer = &network->layers[index];
    pb_size in = pb_network_shape(network, layer->source).size;
    int top = first_seen(layer, in.height, y), left = first_seen(layer, in.width, x);
    double error = 0;
    for (int k = 0; k < layer->kernel * layer->kernel && input_error; k++) {
        int place = place_in(in, top + k / layer->kernel, left + k % layer->kernel);
        if (place >= 0)
            error = fmax(error, (double)input_error[place * layer->inputs + o]);
    }
    return error;
}

static bool may_be_by_winograd(const pb_layer *layer) {
    return layer->operation == PB_OPERATION_CONVOLUTION && layer->kernel == 3 && layer->stride == 1 && layer->groups == 1;
}

/* Sizes of what Winograd multiplies: G g G' of all outputs and inputs, [outputs][inputs][16], and B' d B of the tile over one
 * place, [inputs][16]. */
typedef struct winograd_sizes {
    double *weights, *values;
} winograd_sizes;

static void transform_weights(const pb_layer *layer, double *weights) {
    static const double G[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    for (size_t i = 0; i < (size_t)layer->outputs * (size_t)layer->inputs * 16; i++) {
        const float *kernel = layer->weights + i / 16 * 9;
        double sum = 0;
        for (size_t k = 0; k < 9; k++)
            sum += G[i % 16 / 4][k / 3] * G[i % 4][k % 3] * (double)kernel[k];
        weights[i] = fabs(sum);
    }
}

static void transform_tile(const pb_network *network, int index, const float *input, const float *input_error, int y, int x,
                           double *values) {
    static const int SPREAD[4][2] = {{0, 2}, {1, 2}, {1, 2}, {1, 3}}; /* the places of the tile that a position adds */
    const pb_layer *layer = &network->layers[index];
    pb_size in = pb_network_shape(network, layer->source).size;
    int top = first_seen(layer, in.height, y / 2 * 2), left = first_seen(layer, in.width, x / 2 * 2);
    for (int c = 0; c < layer->inputs; c++) {
        double tile[16];
        for (int i = 0; i < 16; i++) {
            int place = place_in(in, top + i / 4, left + i % 4), at = place * layer->inputs + c;
            tile[i] = place < 0 ? 0 : fabs((double)input[at]) + (input_error ? (double)input_error[at] : 0);
        }
        for (int p = 0; p < 16; p++) {
            const int *down = SPREAD[p / 4], *across = SPREAD[p % 4];
            values[16 * c + p] = tile[4 * down[0] + across[0]] + tile[4 * down[0] + across[1]] +
                                 tile[4 * down[1] + across[0]] + tile[4 * down[1] + across[1]];
        }
    }
}

/* sums.size of output o at (y, x) by Winograd, without bias and residual. */
static double winograd_size(const pb_layer *layer, const winograd_sizes *sizes, int y, int x, int o) {
    const double *weights = sizes->weights + (size_t)o * (size_t)layer->inputs * 16;
    double size = 0;
    for (int i = 0; i < layer->inputs * 16; i++) {
        bool added = (y % 2 ? i % 16 / 4 > 0 : i % 16 / 4 < 3) && (x % 2 ? i % 4 > 0 : i % 4 < 3);
        size += added ? weights[i] * sizes->values[i] : 0;
    }
    return size;
}

static sums add_up(const pb_network *network, int index, const float *input, const float *input_error, int y, int x, int o) {
    const pb_layer *layer = &network->layers[index];
    pb_size in = pb_network_shape(network, layer->source).size;
    int top = first_seen(layer, in.height, y), left = first_seen(layer, in.width, x);
    int channels = layer->inputs / layer->groups, first = layer->groups > 1 ? o : 0;
    sums sums = {.size = fabs((double)layer->bias[o])};
    for (int c = 0; c < channels; c++)
        for (int ky = 0; ky < layer->kernel; ky++)
            for (int kx = 0; kx < layer->kernel; kx++) {
                int place = place_in(in, top + ky, left + kx);
                if (place < 0)
                    continue;
                size_t at = (size_t)place * (size_t)layer->inputs + (size_t)(first + c);
                double weight = fabs((double)layer->weights[((o * channels + c) * layer->kernel + ky) * layer->kernel + kx]);
                double error = input_error ? (double)input_error[at] : 0;
                sums.size += weight * (fabs((double)input[at]) + error);
                sums.error += weight * error;
            }
    return sums;
}

/* What the roundings of one output come to. */
static double roundings(const pb_layer *layer, sums s) {
    double inputs = layer->inputs / layer->groups, m = inputs * layer->kernel * layer->kernel + 2, n = inputs + 9;
    return fmax(m * UNIT / (1 - m * UNIT) * s.size, n * UNIT / (1 - n * UNIT) * s.winograd_size);
}

static float *normalised(const pb_network *network, const uint8_t *image) {
    size_t count = pb_size_area(network->size) * 3;
    float *input;
    test_must(pb_allocate(&input, count, sizeof *input, "input"));
    for (size_t i = 0; i < count; i++)
        input[i] = ((float)image[i] - network->mean[i % 3]) * network->scale[i % 3];
    return input;
}

/* Of layer l, given those of the layers before. input: what the network's first layer sees. */
static void bound_layer(const pb_network *network, int l, const float *input, float *const *reference, float *const *bounds,
                        const winograd_sizes *sizes) {
    const pb_layer *layer = &network->layers[l];
    const float *from = layer->source < 0 ? input : reference[layer->source];
    const float *from_error = layer->source < 0 ? NULL : bounds[layer->source];
    int width = pb_network_shape(network, l).size.width;
    for (size_t i = 0; i < test_tap_values(network, l); i++) {
        int place = (int)(i / (size_t)layer->outputs), o = (int)(i % (size_t)layer->outputs);
        int y = place / width, x = place % width;
        if (layer->operation == PB_OPERATION_MAX_POOL) {
            bounds[l][i] = (float)largest_error(network, l, from_error, y, x, o);
            continue;
        }
        sums s = add_up(network, l, from, from_error, y, x, o);
        if (may_be_by_winograd(layer)) {
            if (o == 0)
                transform_tile(network, l, from, from_error, y, x, sizes->values);
            s.winograd_size = fabs((double)layer->bias[o]) + winograd_size(layer, sizes, y, x, o);
        }
        if (layer->residual >= 0) {
            double residual = fabs((double)reference[layer->residual][i]) + (double)bounds[layer->residual][i];
            s.size += residual;
            s.winograd_size += may_be_by_winograd(layer) ? residual : 0;
            s.error += (double)bounds[layer->residual][i];
        }
        bounds[l][i] = (float)(1.001 * (roundings(layer, s) + s.error + UNIT * fabs((double)reference[l][i])));
    }
}

void test_bounds(const pb_network *network, const uint8_t *image, float *const *reference, float *const *bounds) {
    float *input = normalised(network, image);
    for (int l = 0; l < network->layer_count; l++) {
        const pb_layer *layer = &network->layers[l];
        winograd_sizes sizes = {NULL, NULL};
        if (may_be_by_winograd(layer)) {
            size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs;
            test_must(pb_allocate(&sizes.weights, outputs * inputs * 16, sizeof(double), "weights by Winograd"));
            test_must(pb_allocate(&sizes.values, inputs * 16, sizeof(double), "values by Winograd"));
            transform_weights(layer, sizes.weights);
        }
        bound_layer(network, l, input, reference, bounds, &sizes);
        pb_release(&sizes.weights);
        pb_release(&sizes.values);
    }
    pb_release(&input);
}

void test_normalised_as_imagenet(const char *backbone, const char *tap) {
    static const double MEAN[] = {0.485, 0.456, 0.406}, DEVIATION[] = {0.229, 0.224, 0.225};
    pb_network network;
    test_must(pb_network_outline(backbone, tap, test_square(224), &network));
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++) {
            double expected = (byte / 255.0 - MEAN[c]) / DEVIATION[c];
            double found = (double)(((float)byte - network.mean[c]) * network.scale[c]);
            cr_assert(fabs(found - expected) <= 1e-6, "channel %d, byte %d: %g, expected %g", c, byte, found, expected);
        }
    pb_network_free(&network);
}
