/* pb_ref_run: the network as its definition in gpu/network.h reads, without any library. */
#include "gpu/ref.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

static double activate(pb_activation activation, double value) {
    switch (activation) {
    case PB_ACTIVATION_NONE:
        return value;
    case PB_ACTIVATION_RELU:
        return value > 0 ? value : 0;
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

static void run_pool(const pb_layer *layer, pb_size size, const float *input, pb_size out, float *output) {
    int above = pb_layer_pad_before(layer, size.height), left = pb_layer_pad_before(layer, size.width);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++)
            for (int o = 0; o < layer->outputs; o++)
                *output++ = largest_at(layer, size, input, y * layer->stride - above, x * layer->stride - left, o);
}

/* input: of `size`, layer->inputs channels; residual: NULL or as output, which is of size `out`. */
static void run_layer(const pb_layer *layer, pb_size size, const float *input, pb_size out, const float *residual,
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

static void normalise(const pb_network *network, const uint8_t *image, float *output) {
    for (size_t i = 0; i < pb_layer_shape_values(pb_network_shape(network, -1)); i++)
        output[i] = ((float)image[i] - network->mean[i % 3]) * network->scale[i % 3];
}

/* outputs[l + 1] is the output of layer l, outputs[0] the input. */
static void run_image(const pb_network *network, const uint8_t *image, float *const *outputs) {
    normalise(network, image, outputs[0]);
    for (int l = 0; l < network->layer_count; l++) {
        const pb_layer *layer = &network->layers[l];
        pb_size size = pb_network_shape(network, layer->source).size, out = pb_network_shape(network, l).size;
        const float *input = outputs[layer->source + 1], *residual = layer->residual < 0 ? NULL : outputs[layer->residual + 1];
        if (layer->operation == PB_OPERATION_MAX_POOL)
            run_pool(layer, size, input, out, outputs[l + 1]);
        else
            run_layer(layer, size, input, out, residual, outputs[l + 1]);
    }
}

pb_status pb_ref_run(const pb_network *network, const uint8_t *images, int n, float *const *taps) {
    PB_ASSERT(n >= 0 && network->layer_count <= PB_LAYERS_MAX);
    float *outputs[PB_LAYERS_MAX + 1] = {NULL};
    pb_status status = pb_ok();
    for (int l = -1; l < network->layer_count && !pb_failed(&status); l++)
        status = pb_allocate(&outputs[l + 1], pb_layer_shape_values(pb_network_shape(network, l)), sizeof(float), "activations");
    for (int i = 0; i < n && !pb_failed(&status); i++) {
        run_image(network, images + (size_t)i * pb_layer_shape_values(pb_network_shape(network, -1)), outputs);
        for (int t = 0; t < network->tap_count; t++) {
            size_t count = pb_layer_shape_values(pb_network_shape(network, network->taps[t]));
            memcpy(taps[t] + (size_t)i * count, outputs[network->taps[t] + 1], count * sizeof(float));
        }
    }
    for (int l = -1; l < network->layer_count; l++)
        pb_release(&outputs[l + 1]);
    return status;
}
