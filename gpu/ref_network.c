/* pb_ref_run: the network as its definition in gpu/network.h reads, without any library.
 *
 * Every value of a layer's output is computed from its definition: sums in double in the order of the loops, rounded to float
 * once, where the layer ends. Devices differ from it by the roundings of float sums; tests/gpu has bounds for these. One image at
 * a time; all outputs are kept, so nothing depends on how memory is shared.
 */
#include "gpu/ref.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* pb_activation, in double. A NaN becomes 0 by RELU and RELU6, and stays one by the others. */
static double activate(pb_activation activation, double value) {
    switch (activation) {
    case PB_ACTIVATION_NONE:
        return value;
    case PB_ACTIVATION_RELU:
        return value > 0 ? value : 0;
    case PB_ACTIVATION_GELU:
        return 0.5 * value * (1 + erf(value * sqrt(0.5)));
    case PB_ACTIVATION_RELU6:
        break;
    }
    return value > 6 ? 6 : value > 0 ? value : 0;
}

/* One output value before bias: the kernel at rows from top, columns from left, input channels of the group of channel o. */
static double convolve_at(const pb_layer *layer, pb_size size, const float *input, int top, int left, int o) {
    int channels = layer->inputs / layer->groups, first = o / (layer->outputs / layer->groups) * channels;
    const float *weights = layer->weights + (size_t)o * (size_t)channels * (size_t)layer->kernel * (size_t)layer->kernel;
    double sum = 0;
    for (int c = 0; c < channels; c++)
        for (int y = top; y < top + layer->kernel; y++)
            for (int x = left; x < left + layer->kernel; x++, weights++)
                if (y >= 0 && y < size.height && x >= 0 && x < size.width)
                    sum += (double)*weights * (double)input[((size_t)y * (size_t)size.width + (size_t)x) * (size_t)layer->inputs +
                                                            (size_t)(first + c)];
    return sum;
}

/* The largest value of channel o under the kernel. */
static float largest_at(const pb_layer *layer, pb_size size, const float *input, int top, int left, int o) {
    float largest = -INFINITY;
    for (int y = top; y < top + layer->kernel; y++)
        for (int x = left; x < left + layer->kernel; x++)
            if (y >= 0 && y < size.height && x >= 0 && x < size.width)
                largest = fmaxf(largest, input[((size_t)y * (size_t)size.width + (size_t)x) * (size_t)layer->inputs + (size_t)o]);
    return largest;
}

/* Only places inside of the input count; there is always one. */
static void run_pool(const pb_layer *layer, pb_size size, const float *input, pb_size out, float *output) {
    int above = pb_layer_pad_before(layer, size.height), left = pb_layer_pad_before(layer, size.width);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++)
            for (int o = 0; o < layer->outputs; o++)
                *output++ = largest_at(layer, size, input, y * layer->stride - above, x * layer->stride - left, o);
}

/* Row 0 is the class token alone. */
static void run_tokens(const pb_layer *layer, size_t places, const float *input, float *output) {
    size_t channels = (size_t)layer->outputs;
    for (size_t i = 0; i < (1 + places) * channels; i++)
        output[i] = i < channels ? layer->weights[i] : (float)((double)input[i - channels] + (double)layer->weights[i]);
}

/* Mean first, then squares of what is left of it: no difference of large numbers. */
static void run_layer_norm(const pb_layer *layer, size_t places, const float *input, float *output) {
    int channels = layer->outputs;
    for (size_t p = 0; p < places; p++, input += channels, output += channels) {
        double mean = 0, squares = 0;
        for (int c = 0; c < channels; c++)
            mean += (double)input[c] / channels;
        for (int c = 0; c < channels; c++)
            squares += ((double)input[c] - mean) * ((double)input[c] - mean) / channels;
        for (int c = 0; c < channels; c++)
            output[c] = (float)(((double)input[c] - mean) / sqrt(squares + layer->epsilon) * (double)layer->weights[c] +
                                (double)layer->bias[c]);
    }
}

/* What token t takes of each token's value, for the head whose queries begin at channel `first`: share[tokens], of sum 1. Softmax
 * less the largest score, so that exp cannot overflow. */
static void attend(const pb_layer *layer, size_t tokens, const float *input, size_t t, size_t first, double *share) {
    size_t inputs = (size_t)layer->inputs, dim = (size_t)(layer->outputs / layer->groups);
    const float *query = input + t * inputs + first, *key = input + (size_t)layer->outputs + first;
    double largest = -INFINITY, sum = 0;
    for (size_t u = 0; u < tokens; u++) {
        share[u] = 0;
        for (size_t c = 0; c < dim; c++)
            share[u] += (double)query[c] * (double)key[u * inputs + c];
        largest = fmax(largest, share[u]);
    }
    for (size_t u = 0; u < tokens; u++) {
        share[u] = exp(share[u] - largest);
        sum += share[u];
    }
    for (size_t u = 0; u < tokens; u++)
        share[u] /= sum;
}

/* share is scratch, one value a token. */
static void run_attention(const pb_layer *layer, size_t tokens, const float *input, double *share, float *output) {
    size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs, dim = outputs / (size_t)layer->groups;
    for (size_t t = 0; t < tokens; t++)
        for (size_t first = 0; first < outputs; first += dim) {
            attend(layer, tokens, input, t, first, share);
            for (size_t c = first; c < first + dim; c++) {
                double sum = 0;
                for (size_t u = 0; u < tokens; u++)
                    sum += share[u] * (double)input[u * inputs + 2 * outputs + c];
                output[t * outputs + c] = (float)sum;
            }
        }
}

/* input: of `size`, layer->inputs channels; residual: NULL or as output, which is of size `out`. */
static void run_convolution(const pb_layer *layer, pb_size size, const float *input, pb_size out, const float *residual,
                            float *output) {
    int above = pb_layer_pad_before(layer, size.height), left = pb_layer_pad_before(layer, size.width);
    size_t at = 0;
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++)
            for (int o = 0; o < layer->outputs; o++, at++) {
                double value = convolve_at(layer, size, input, y * layer->stride - above, x * layer->stride - left, o);
                value += (double)layer->bias[o] + (residual ? (double)residual[at] : 0);
                output[at] = (float)activate(layer->activation, value);
            }
}

/* In float, the one step of a network that every device does with the same bits (in fp32). */
static void normalise(const pb_network *network, const uint8_t *image, float *output) {
    for (size_t i = 0; i < pb_layer_shape_values(pb_network_shape(network, -1)); i++)
        output[i] = ((float)image[i] - network->mean[i % 3]) * network->scale[i % 3];
}

/* Of one image, see pb_ref_layer. share: as many values as `in` has places, of attention. */
static void run_layer(const pb_layer *layer, pb_size in, pb_size out, const float *input, const float *residual, double *share,
                      float *output) {
    switch (layer->operation) {
    case PB_OPERATION_CONVOLUTION:
        run_convolution(layer, in, input, out, residual, output);
        break;
    case PB_OPERATION_MAX_POOL:
        run_pool(layer, in, input, out, output);
        break;
    case PB_OPERATION_TOKENS:
        run_tokens(layer, pb_size_area(in), input, output);
        break;
    case PB_OPERATION_LAYER_NORM:
        run_layer_norm(layer, pb_size_area(in), input, output);
        break;
    case PB_OPERATION_ATTENTION:
        run_attention(layer, pb_size_area(in), input, share, output);
        break;
    case PB_OPERATION_PATCHES:
        memcpy(output, input + layer->outputs, pb_size_area(out) * (size_t)layer->outputs * sizeof *output);
        break;
    }
}

/* What tests of a device's layers compare with. */
pb_status pb_ref_layer(const pb_layer *layer, pb_size in, pb_size out, const float *input, const float *residual, float *output) {
    double *share;
    PB_TRY(pb_allocate(&share, pb_size_area(in), sizeof *share, "shares of tokens"));
    run_layer(layer, in, out, input, residual, share, output);
    pb_release(&share);
    return pb_ok();
}

/* outputs[l + 1] is the output of layer l, outputs[0] the input; share: as many values as a layer has places. */
static void run_image(const pb_network *network, const uint8_t *image, float *const *outputs, double *share) {
    normalise(network, image, outputs[0]);
    for (int l = 0; l < network->layer_count; l++) {
        const pb_layer *layer = &network->layers[l];
        run_layer(layer, pb_network_shape(network, layer->source).size, pb_network_shape(network, l).size,
                  outputs[layer->source + 1], layer->residual < 0 ? NULL : outputs[layer->residual + 1], share, outputs[l + 1]);
    }
}

/* Memory: all activations of one image, in float. */
pb_status pb_ref_run(const pb_network *network, const uint8_t *images, int n, float *const *taps) {
    PB_ASSERT(n >= 0 && network->layer_count <= PB_LAYERS_MAX);
    float *outputs[PB_LAYERS_MAX + 1] = {NULL};
    double *share = NULL;
    size_t places = 0;
    pb_status status = pb_ok();
    for (int l = -1; l < network->layer_count && !pb_failed(&status); l++) {
        pb_layer_shape shape = pb_network_shape(network, l);
        places = pb_size_area(shape.size) > places ? pb_size_area(shape.size) : places;
        status = pb_allocate(&outputs[l + 1], pb_layer_shape_values(shape), sizeof(float), "activations");
    }
    if (!pb_failed(&status))
        status = pb_allocate(&share, places, sizeof *share, "shares of tokens");
    for (int i = 0; i < n && !pb_failed(&status); i++) {
        run_image(network, images + (size_t)i * pb_layer_shape_values(pb_network_shape(network, -1)), outputs, share);
        for (int t = 0; t < network->tap_count; t++) {
            size_t count = pb_layer_shape_values(pb_network_shape(network, network->taps[t]));
            memcpy(taps[t] + (size_t)i * count, outputs[network->taps[t] + 1], count * sizeof(float));
        }
    }
    for (int l = -1; l < network->layer_count; l++)
        pb_release(&outputs[l + 1]);
    pb_release(&share);
    return status;
}
