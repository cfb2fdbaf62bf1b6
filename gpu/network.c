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

enum { PREFIX_MAX = 40 };

/* Where a layer comes from: what its tensors' names begin with and the step that made it. */
typedef struct origin {
    char prefix[PREFIX_MAX];
    const pb_step *step;
} origin;

/* A network under construction. fill gives a convolution its weights and bias, for which there is memory already; NULL: an
 * outline. */
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
    unsigned long first = (unsigned long)backbone->first_block, end_block = first + (unsigned long)backbone->block_count;
    *count = 0;
    while (*count < PB_TAPS_MAX && isdigit((unsigned char)*at)) {
        char *end;
        unsigned long block = strtoul(at, &end, 10);
        bool increases = *count == 0 || block > (unsigned long)blocks[*count - 1];
        if (block < first || block >= end_block || !increases)
            break;
        blocks[(*count)++] = (int)block;
        if (*end == '\0')
            return pb_ok();
        if (*end != ',')
            break;
        at = end + 1;
    }
    return pb_fail(PB_E_USAGE, "taps \"%s\": expected numbers of blocks, increasing, separated by commas, at most %d; %s has"
                   " blocks %lu to %lu", text, (int)PB_TAPS_MAX, name, first, end_block - 1);
}

static size_t weight_count(const pb_layer *layer) {
    return (size_t)layer->outputs * (size_t)(layer->inputs / layer->groups) * (size_t)layer->kernel * (size_t)layer->kernel;
}

static int step_outputs(const pb_block *block, const pb_step *step, int unit_inputs, int inputs) {
    switch (step->width) {
    case PB_WIDTH_EXPANDED:
        return unit_inputs * block->expansion;
    case PB_WIDTH_DEPTHWISE:
        return inputs;
    case PB_WIDTH_MIDDLE:
        return block->middle;
    case PB_WIDTH_OUTPUTS:
        break;
    }
    return block->outputs;
}

/* One of the repetitions of a block's steps. */
typedef struct block_unit {
    const pb_block *block;
    char prefix[PREFIX_MAX];
    int stride;
    int entry, entry_channels; /* the layer that it begins from, and what comes out of that */
} block_unit;

static pb_status give_weights(network_builder *builder, int index) {
    pb_layer *layer = &builder->network->layers[index];
    if (!builder->fill || layer->operation == PB_OPERATION_MAX_POOL)
        return pb_ok();
    PB_TRY(pb_allocate(&layer->weights, weight_count(layer), sizeof *layer->weights, layer->name));
    PB_TRY(pb_allocate(&layer->bias, (size_t)layer->outputs, sizeof *layer->bias, layer->name));
    return builder->fill(builder, index);
}

/* Adds the layer of a step of `unit` that reads layer `source`. */
static pb_status append_layer(network_builder *builder, const block_unit *unit, const pb_step *step, int source) {
    pb_network *network = builder->network;
    PB_ASSERT(network->layer_count < PB_LAYERS_MAX);
    int index = network->layer_count++, inputs = pb_network_shape(network, source).channels;
    bool has_kernel = step->extent == PB_EXTENT_KERNEL || step->extent == PB_EXTENT_BOTH;
    bool has_stride = step->extent == PB_EXTENT_STRIDE || step->extent == PB_EXTENT_BOTH;
    origin *from = &builder->origins[index];
    from->step = step;
    memcpy(from->prefix, unit->prefix, sizeof from->prefix);
    pb_layer *layer = &network->layers[index];
    *layer = (pb_layer){.operation = step->norm ? PB_OPERATION_CONVOLUTION : PB_OPERATION_MAX_POOL, .inputs = inputs,
                        .outputs = step_outputs(unit->block, step, unit->entry_channels, inputs), .source = source,
                        .residual = -1, .kernel = has_kernel ? unit->block->kernel : 1, .stride = has_stride ? unit->stride : 1,
                        .groups = step->width == PB_WIDTH_DEPTHWISE ? inputs : 1, .padding = builder->backbone->padding,
                        .activation = step->activation};
    int length = snprintf(layer->name, sizeof layer->name, "%s%s%s", unit->prefix, step->conv, step->norm ? ".weight" : "");
    PB_ASSERT(length > 0 && (size_t)length < sizeof layer->name);
    return give_weights(builder, index);
}

/* Adds the layers of a unit after the last layer there is. The shortcut comes before the last step, which adds it. */
static pb_status append_unit(network_builder *builder, const block_unit *unit) {
    const pb_block *block = unit->block;
    bool fits = unit->stride == 1 && unit->entry_channels == block->outputs, added = block->residual && (fits || block->shortcut);
    int source = unit->entry, shortcut = unit->entry;
    for (int s = 0; s < block->step_count; s++) {
        const pb_step *step = &block->steps[s];
        bool last = s == block->step_count - 1;
        if (step->width == PB_WIDTH_EXPANDED && block->expansion == 1)
            continue;
        if (last && added && !fits) {
            shortcut = builder->network->layer_count;
            PB_TRY(append_layer(builder, unit, block->shortcut, unit->entry));
        }
        int index = builder->network->layer_count;
        PB_TRY(append_layer(builder, unit, step, source));
        if (last && added)
            builder->network->layers[index].residual = shortcut;
        source = index;
    }
    return pb_ok();
}

/* Adds the layers of a block after the last layer there is. */
static pb_status append_block(network_builder *builder, const pb_block *block) {
    for (int u = 0; u == 0 || u < block->units; u++) {
        block_unit unit = {.block = block, .stride = u == 0 ? block->stride : 1, .entry = builder->network->layer_count - 1};
        unit.entry_channels = pb_network_shape(builder->network, unit.entry).channels;
        int length = block->units == 0 ? snprintf(unit.prefix, sizeof unit.prefix, "%s", block->prefix)
                                       : snprintf(unit.prefix, sizeof unit.prefix, "%s%d.", block->prefix, u);
        PB_ASSERT(length >= 0 && (size_t)length < sizeof unit.prefix);
        PB_TRY(append_unit(builder, &unit));
    }
    return pb_ok();
}

static pb_status build(network_builder *builder, const char *name, const char *taps, pb_size size) {
    int index, blocks[PB_TAPS_MAX], tap_count;
    PB_TRY(find_backbone(name, &index));
    const pb_backbone *backbone = backbones[index];
    PB_TRY(parse_taps(name, backbone, taps, blocks, &tap_count));
    if (size.width < PB_INPUT_LEAST || size.height < PB_INPUT_LEAST)
        return pb_fail(PB_E_USAGE, "an input of %d x %d pixels: expected at least %d x %d", size.width, size.height,
                       PB_INPUT_LEAST, PB_INPUT_LEAST);

    pb_network *network = builder->network;
    builder->backbone = backbone;
    network->backbone = backbone_names[index];
    network->size = size;
    memcpy(network->mean, backbone->mean, sizeof network->mean);
    memcpy(network->scale, backbone->scale, sizeof network->scale);
    PB_TRY(pb_allocate(&network->layers, PB_LAYERS_MAX, sizeof *network->layers, "layers of a network"));
    for (int b = 0; b < backbone->stem_count; b++)
        PB_TRY(append_block(builder, &backbone->stem[b]));
    for (int b = 0; network->tap_count < tap_count; b++) {
        PB_TRY(append_block(builder, &backbone->blocks[b]));
        if (backbone->first_block + b == blocks[network->tap_count])
            network->taps[network->tap_count++] = network->layer_count - 1;
    }
    return pb_ok();
}

static pb_status build_or_nothing(network_builder *builder, const char *name, const char *taps, pb_size size) {
    *builder->network = (pb_network){0};
    pb_status status = build(builder, name, taps, size);
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

/* A lookup's failure, with what was looked for. */
static pb_status missing(const pb_status *failure, int rank, const int64_t *shape) {
    char expected[SHAPE_TEXT_MAX];
    return pb_fail(failure->code, "%s; expected shape %s", failure->message, shape_text(rank, shape, expected));
}

/* Borrows a tensor after checking its shape and its values. */
static pb_status fetch(const network_builder *builder, const char *name, int rank, const int64_t *shape, const float **data) {
    pb_tensor_view view;
    pb_status looked_up = builder->lookup(builder->context, name, &view);
    if (pb_failed(&looked_up))
        return missing(&looked_up, rank, shape);
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
        snprintf(name, sizeof name, "%s%s.%s", from->prefix, from->step->norm, parts[p].suffix);
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

pb_status pb_network_load(const char *backbone, const char *taps, pb_size size, pb_tensor_lookup lookup, void *context,
                          pb_network *network_out) {
    network_builder builder = {.network = network_out, .fill = fill_folded, .lookup = lookup, .context = context};
    return build_or_nothing(&builder, backbone, taps, size);
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

pb_status pb_network_random(const char *backbone, const char *taps, pb_size size, uint64_t seed, pb_network *network_out) {
    network_builder builder = {.network = network_out, .fill = fill_random, .seed = seed};
    return build_or_nothing(&builder, backbone, taps, size);
}

pb_status pb_network_outline(const char *backbone, const char *taps, pb_size size, pb_network *network_out) {
    network_builder builder = {.network = network_out};
    return build_or_nothing(&builder, backbone, taps, size);
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
        return (pb_layer_shape){network->size, 3};
    const pb_layer *at = &network->layers[layer];
    pb_layer_shape shape = pb_network_shape(network, at->source);
    return (pb_layer_shape){pb_size_over(shape.size, at->stride), at->outputs};
}

int pb_layer_pad_before(const pb_layer *layer, int length) {
    if (layer->padding == PB_PADDING_SYMMETRIC)
        return (layer->kernel - 1) / 2;
    int total = ((length + layer->stride - 1) / layer->stride - 1) * layer->stride + layer->kernel - length;
    return total > 0 ? total / 2 : 0;
}

int pb_layer_pad_after(const pb_layer *layer, int length) {
    int last = (length + layer->stride - 1) / layer->stride - 1;
    int after = last * layer->stride + layer->kernel - length - pb_layer_pad_before(layer, length);
    return after > 0 ? after : 0;
}
