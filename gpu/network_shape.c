/* What follows from the layers of a network alone: shapes and paddings. A file of its own, because the plugin of CUDA devices has
 * a copy of it. Weights are not looked at, so an outline will do. */
#include "gpu/network.h"

/* The places whose tokens layer `layer` reads. The way back ends at the TOKENS that every PATCHES has before it in the table. */
static pb_size grid_of(const pb_network *network, int layer) {
    while (network->layers[layer].operation != PB_OPERATION_TOKENS)
        layer = network->layers[layer].source;
    return pb_network_shape(network, network->layers[layer].source).size;
}

/* Recursive along sources: as deep as the network is long, at most 256. ceil(in / stride) whatever the padding (pb_padding). */
pb_layer_shape pb_network_shape(const pb_network *network, int layer) {
    PB_ASSERT(layer >= -1 && layer < network->layer_count);
    if (layer == -1)
        return (pb_layer_shape){network->size, 3};
    const pb_layer *at = &network->layers[layer];
    pb_size size = pb_network_shape(network, at->source).size;
    switch (at->operation) {
    case PB_OPERATION_TOKENS:
        return (pb_layer_shape){{.width = 1 + size.width * size.height, .height = 1}, at->outputs};
    case PB_OPERATION_PATCHES:
        return (pb_layer_shape){grid_of(network, layer), at->outputs};
    case PB_OPERATION_CONVOLUTION:
    case PB_OPERATION_MAX_POOL:
    case PB_OPERATION_LAYER_NORM:
    case PB_OPERATION_ATTENTION:
        break;
    }
    return (pb_layer_shape){pb_size_over(size, at->stride), at->outputs};
}

/* SYMMETRIC reaches over by the same everywhere; SAME by what the stride leaves over, the odd pixel after. */
int pb_layer_pad_before(const pb_layer *layer, int length) {
    if (layer->padding == PB_PADDING_SYMMETRIC)
        return (layer->kernel - 1) / 2;
    int total = ((length + layer->stride - 1) / layer->stride - 1) * layer->stride + layer->kernel - length;
    return total > 0 ? total / 2 : 0;
}

/* How far the last place's kernel ends beyond the edge. */
int pb_layer_pad_after(const pb_layer *layer, int length) {
    int last = (length + layer->stride - 1) / layer->stride - 1;
    int after = last * layer->stride + layer->kernel - length - pb_layer_pad_before(layer, length);
    return after > 0 ? after : 0;
}
