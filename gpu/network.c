#include "gpu/network.h"

#include "base/memory.h"
#include "base/random.h"
#include "gpu/backbone_table.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const backbone_names[] = {
#define BACKBONE_NAME(name) #name,
    PB_BACKBONES(BACKBONE_NAME)
#undef BACKBONE_NAME
        NULL};

static const pb_backbone *const backbones[] = {
#define BACKBONE_TABLE(name) &pb_backbone_##name,
    PB_BACKBONES(BACKBONE_TABLE)
#undef BACKBONE_TABLE
};

/* Where a layer comes from: the row and the step that made it. */
typedef struct origin {
    const pb_block *block;
    const pb_step *step;
} origin;

/* A network under construction. fill gives a layer its weights and bias, for which there is memory already. */
typedef struct network_builder {
    const pb_backbone *backbone;
    pb_network *network;
    origin origins[PB_LAYERS_MAX];
    pb_status (*fill)(const struct network_builder *builder, int layer);
    pb_tensor_lookup lookup;
    void *context; /* of lookup */
    uint64_t seed;
} network_builder;

const char *const *pb_backbone_names(void) { return backbone_names; }

static pb_status find_backbone(const char *name, int *index) {
    char known[256] = "";
    for (*index = 0; backbone_names[*index]; (*index)++) {
        if (strcmp(backbone_names[*index], name) == 0)
            return pb_ok();
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, " %s", backbone_names[*index]);
    }
    return pb_fail(PB_E_USAGE, "backbone %s: unknown; this build has:%s", name, known);
}

pb_status pb_backbone_defaults(const char *backbone, const char **taps_out, int *side_out) {
    int index;
    PB_TRY(find_backbone(backbone, &index));
    *taps_out = backbones[index]->taps;
    *side_out = backbones[index]->side;
    return pb_ok();
}

/* Reads "4,10" into block numbers. */
static pb_status parse_taps(const char *name, const pb_backbone *backbone, const char *text, int blocks[PB_TAPS_MAX],
                            int *count) {
    const char *at = text;
    *count = 0;
    while (*count < PB_TAPS_MAX && isdigit((unsigned char)*at)) {
        char *end;
        unsigned long block = strtoul(at, &end, 10);
        bool increases = *count == 0 || block > (unsigned long)blocks[*count - 1];
        if (block >= (unsigned long)backbone->block_count || !increases)
            break;
        blocks[(*count)++] = (int)block;
        if (*end == '\0')
            return pb_ok();
        if (*end != ',')
            break;
        at = end + 1;
    }
    return pb_fail(PB_E_USAGE, "taps \"%s\": expected numbers of blocks, increasing, separated by commas, at most %d; %s has"
                   " blocks 0 to %d", text, (int)PB_TAPS_MAX, name, backbone->block_count - 1);
}

static size_t weight_count(const pb_layer *layer) {
    return (size_t)layer->outputs * (size_t)(layer->inputs / layer->groups) * (size_t)layer->kernel * (size_t)layer->kernel;
}

static int step_outputs(const pb_block *block, const pb_step *step, int block_inputs, int inputs) {
    switch (step->width) {
    case PB_WIDTH_EXPANDED:
        return block_inputs * block->expansion;
    case PB_WIDTH_DEPTHWISE:
        return inputs;
    case PB_WIDTH_OUTPUTS:
        break;
    }
    return block->outputs;
}

static pb_status append_layer(network_builder *builder, const pb_block *block, const pb_step *step, int inputs, int outputs) {
    pb_network *network = builder->network;
    PB_ASSERT(network->layer_count < PB_LAYERS_MAX);
    int index = network->layer_count++;
    builder->origins[index] = (origin){block, step};
    pb_layer *layer = &network->layers[index];
    *layer = (pb_layer){.inputs = inputs, .outputs = outputs, .source = index - 1, .residual = -1,
                        .kernel = step->spatial ? block->kernel : 1, .stride = step->spatial ? block->stride : 1,
                        .groups = step->width == PB_WIDTH_DEPTHWISE ? inputs : 1, .activation = step->activation};
    int length = snprintf(layer->name, sizeof layer->name, "%s%s.weight", block->prefix, step->conv);
    PB_ASSERT(length > 0 && (size_t)length < sizeof layer->name);
    PB_TRY(pb_allocate(&layer->weights, weight_count(layer), sizeof *layer->weights, layer->name));
    PB_TRY(pb_allocate(&layer->bias, (size_t)outputs, sizeof *layer->bias, layer->name));
    return builder->fill(builder, index);
}

/* Adds the layers of a block after the last layer there is. */
static pb_status append_block(network_builder *builder, const pb_block *block) {
    pb_network *network = builder->network;
    int entry = network->layer_count - 1;
    int entry_channels = pb_network_shape(network, entry).channels, channels = entry_channels;
    for (int s = 0; s < block->step_count; s++) {
        const pb_step *step = &block->steps[s];
        if (step->width == PB_WIDTH_EXPANDED && block->expansion == 1)
            continue;
        int outputs = step_outputs(block, step, entry_channels, channels);
        PB_TRY(append_layer(builder, block, step, channels, outputs));
        channels = outputs;
    }
    if (block->residual && block->stride == 1 && entry_channels == block->outputs)
        network->layers[network->layer_count - 1].residual = entry;
    return pb_ok();
}

static pb_status build(network_builder *builder, const char *name, const char *taps, int side) {
    int index, blocks[PB_TAPS_MAX], tap_count;
    PB_TRY(find_backbone(name, &index));
    const pb_backbone *backbone = backbones[index];
    PB_TRY(parse_taps(name, backbone, taps, blocks, &tap_count));
    if (side <= 0 || side % 32 != 0)
        return pb_fail(PB_E_USAGE, "input side %d: expected a positive multiple of 32 pixels", side);

    pb_network *network = builder->network;
    builder->backbone = backbone;
    network->backbone = backbone_names[index];
    network->side = side;
    memcpy(network->mean, backbone->mean, sizeof network->mean);
    memcpy(network->scale, backbone->scale, sizeof network->scale);
    PB_TRY(pb_allocate(&network->layers, PB_LAYERS_MAX, sizeof *network->layers, "layers of a network"));
    PB_TRY(append_block(builder, backbone->stem));
    for (int b = 0; network->tap_count < tap_count; b++) {
        PB_TRY(append_block(builder, &backbone->blocks[b]));
        if (b == blocks[network->tap_count])
            network->taps[network->tap_count++] = network->layer_count - 1;
    }
    return pb_ok();
}

static pb_status build_or_nothing(network_builder *builder, const char *name, const char *taps, int side) {
    *builder->network = (pb_network){0};
    pb_status status = build(builder, name, taps, side);
    if (pb_failed(&status))
        pb_network_free(builder->network);
    return status;
}

/* ---- weights from tensors ---- */

enum { SHAPE_TEXT_MAX = 200 };

static const char *shape_text(int rank, const int64_t *shape, char text[SHAPE_TEXT_MAX]) {
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_MAX, "[");
    for (int d = 0; d < rank; d++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT_MAX - used, d ? ", %lld" : "%lld", (long long)shape[d]);
    snprintf(text + used, SHAPE_TEXT_MAX - used, "]");
    return text;
}

/* Borrows a tensor after checking its shape and its values. */
static pb_status fetch(const network_builder *builder, const char *name, int rank, const int64_t *shape, const float **data) {
    pb_tensor_view view;
    PB_TRY(builder->lookup(builder->context, name, &view));
    PB_ASSERT(view.rank >= 0 && view.rank <= PB_TENSOR_RANK_MAX);
    if (view.rank != rank || memcmp(view.shape, shape, (size_t)rank * sizeof *shape) != 0) {
        char found[SHAPE_TEXT_MAX], expected[SHAPE_TEXT_MAX];
        return pb_fail(PB_E_INPUT, "tensor %s: found shape %s, expected %s", name, shape_text(view.rank, view.shape, found),
                       shape_text(rank, shape, expected));
    }
    size_t count = 1;
    for (int d = 0; d < rank; d++)
        count *= (size_t)shape[d];
    for (size_t i = 0; i < count; i++)
        if (!isfinite(view.data[i]))
            return pb_fail(PB_E_INPUT, "tensor %s: value %zu is not finite (%g)", name, i, (double)view.data[i]);
    *data = view.data;
    return pb_ok();
}

typedef struct norm_tensors {
    const float *scale, *shift, *mean, *variance; /* [channels] */
} norm_tensors;

static pb_status fetch_norm(const network_builder *builder, const origin *from, int64_t channels, norm_tensors *norm) {
    const struct {
        const char *suffix;
        const float **data;
    } parts[] = {{"weight", &norm->scale}, {"bias", &norm->shift}, {"running_mean", &norm->mean},
                 {"running_var", &norm->variance}};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s.%s", from->block->prefix, from->step->norm, parts[p].suffix);
        PB_TRY(fetch(builder, name, 1, &channels, parts[p].data));
    }
    return pb_ok();
}

/* norm(conv(x, w)) = conv(x, w * factor) + (shift - mean * factor) with factor = scale / sqrt(variance + epsilon), in double and
 * rounded once. */
static pb_status fill_folded(const network_builder *builder, int index) {
    pb_layer *layer = &builder->network->layers[index];
    const int64_t shape[4] = {layer->outputs, layer->inputs / layer->groups, layer->kernel, layer->kernel};
    const float *weights = NULL;
    norm_tensors norm = {0};
    PB_TRY(fetch(builder, layer->name, 4, shape, &weights));
    PB_TRY(fetch_norm(builder, &builder->origins[index], layer->outputs, &norm));
    size_t each = weight_count(layer) / (size_t)layer->outputs;
    for (int o = 0; o < layer->outputs; o++) {
        double factor = norm.scale[o] / sqrt(norm.variance[o] + builder->backbone->norm_epsilon);
        layer->bias[o] = (float)(norm.shift[o] - norm.mean[o] * factor);
        bool finite = isfinite(layer->bias[o]);
        for (size_t i = (size_t)o * each; i < (size_t)(o + 1) * each; i++) {
            layer->weights[i] = (float)(weights[i] * factor);
            finite = finite && isfinite(layer->weights[i]);
        }
        if (!finite)
            return pb_fail(PB_E_INPUT, "tensor %s: channel %d is not finite with its batch norm %s folded in (variance %g)",
                           layer->name, o, builder->origins[index].step->norm, (double)norm.variance[o]);
    }
    return pb_ok();
}

pb_status pb_network_load(const char *backbone, const char *taps, int side, pb_tensor_lookup lookup, void *context,
                          pb_network *network_out) {
    network_builder builder = {.network = network_out, .fill = fill_folded, .lookup = lookup, .context = context};
    return build_or_nothing(&builder, backbone, taps, side);
}

/* ---- random weights ---- */

/* Uniform in (-a, a) has variance a^2 / 3; He's is 2 / fan-in. The layer's number is the substream. */
static pb_status fill_random(const network_builder *builder, int index) {
    pb_layer *layer = &builder->network->layers[index];
    size_t count = weight_count(layer);
    float reach = (float)sqrt(6.0 * layer->outputs / (double)count);
    for (size_t i = 0; i < count; i++)
        layer->weights[i] = reach * pb_random_symmetric(builder->seed, PB_STREAM_WEIGHTS, (uint32_t)index, i);
    return pb_ok();
}

pb_status pb_network_random(const char *backbone, const char *taps, int side, uint64_t seed, pb_network *network_out) {
    network_builder builder = {.network = network_out, .fill = fill_random, .seed = seed};
    return build_or_nothing(&builder, backbone, taps, side);
}

/* ---- */

void pb_network_free(pb_network *network) {
    for (int l = 0; l < network->layer_count; l++) {
        pb_release(&network->layers[l].weights);
        pb_release(&network->layers[l].bias);
    }
    pb_release(&network->layers);
    *network = (pb_network){0};
}

pb_layer_shape pb_network_shape(const pb_network *network, int layer) {
    PB_ASSERT(layer >= -1 && layer < network->layer_count);
    if (layer == -1)
        return (pb_layer_shape){network->side, 3};
    const pb_layer *at = &network->layers[layer];
    pb_layer_shape shape = pb_network_shape(network, at->source);
    return (pb_layer_shape){(shape.side + at->stride - 1) / at->stride, at->outputs};
}
