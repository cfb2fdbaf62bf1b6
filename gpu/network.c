/* From a table to layers: which there are, how they hang together, and their shapes. Weights: gpu/network_weights.c.
 *
 * A backbone's table (gpu/backbone_table.h) is a stem and blocks; a block is one unit or several in a row; a unit is its block's
 * steps in order; a step is a layer. Functions follow this from the bottom up: append_layer, append_unit, append_block,
 * append_tap, build. Layers are appended in the order in which they run: a layer reads only layers before it. Building ends with
 * the last tap's block, so a network has no layer that no tap needs.
 *
 * The same code makes a loaded network, a random one and an outline: they differ in what fills a layer (pb_network_builder.fill).
 * So tables for users, checks of sizes and the network that runs cannot disagree. On an error everything that was made is freed
 * and the network is empty.
 */
#include "gpu/network_builder.h"

#include "base/memory.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names and tables of PB_BACKBONES, in the same order. */
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

const char *const *pb_backbone_names(void) { return backbone_names; }

/* The index of a name in both lists. The message of a failure names them all. */
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

/* Reads "4,10" into block numbers. All that is wrong with such a text is one error, which says what is expected; numbers are
 * compared as unsigned long, so that a huge one is out of range and not cut. */
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

size_t pb_layer_weight_count(const pb_network *network, int index) {
    const pb_layer *layer = &network->layers[index];
    switch (layer->operation) {
    case PB_OPERATION_CONVOLUTION:
        return (size_t)layer->outputs * (size_t)(layer->inputs / layer->groups) * (size_t)layer->kernel * (size_t)layer->kernel;
    case PB_OPERATION_TOKENS:
        return pb_layer_shape_values(pb_network_shape(network, index));
    case PB_OPERATION_LAYER_NORM:
        return (size_t)layer->outputs;
    case PB_OPERATION_MAX_POOL:
    case PB_OPERATION_ATTENTION:
    case PB_OPERATION_PATCHES:
        break;
    }
    return 0;
}

/* Operations that have a bias in pb_layer. */
static bool has_bias(const pb_layer *layer) {
    return layer->operation == PB_OPERATION_CONVOLUTION || layer->operation == PB_OPERATION_LAYER_NORM;
}

/* Values of the tensors that layer `index` is made of: of a batch norm those that are learnt. Of TOKENS these are the class
 * token, its embedding, and the embeddings of the square that was trained with, whatever the input's size is. */
static int64_t parameters_of(const pb_network_builder *builder, int index) {
    const pb_layer *layer = &builder->network->layers[index];
    const pb_step *step = builder->origins[index].step;
    int64_t side = builder->backbone->positions.side, weights = (int64_t)pb_layer_weight_count(builder->network, index);
    if (layer->operation == PB_OPERATION_TOKENS)
        return (2 + side * side) * layer->outputs;
    int vectors = (has_bias(layer) ? 1 : 0) + (step->norm ? 1 : 0) + (step->scale ? 1 : 0);
    return weights + (int64_t)vectors * layer->outputs;
}

/* Output channels of a step. unit_inputs: of the unit; inputs: of the step. */
static int step_outputs(const pb_block *block, const pb_step *step, int unit_inputs, int inputs) {
    switch (step->width) {
    case PB_WIDTH_EXPANDED:
        return unit_inputs * block->expansion;
    case PB_WIDTH_DEPTHWISE:
        return inputs;
    case PB_WIDTH_MIDDLE:
        return block->middle;
    case PB_WIDTH_ATTENDED:
        return 3 * block->outputs;
    case PB_WIDTH_OUTPUTS:
        break;
    }
    return block->outputs;
}

/* One of the repetitions of a block's steps. */
typedef struct block_unit {
    const pb_block *block;
    char prefix[PB_PREFIX_MAX];
    int stride;
    int entry, entry_channels; /* the layer that it begins from, and what comes out of that */
} block_unit;

/* Memory, zeroed, and its filling. An outline, and an operation without weights, gets none. */
static pb_status give_weights(pb_network_builder *builder, int index) {
    pb_layer *layer = &builder->network->layers[index];
    size_t count = pb_layer_weight_count(builder->network, index);
    if (!builder->fill || count == 0)
        return pb_ok();
    PB_TRY(pb_allocate(&layer->weights, count, sizeof *layer->weights, layer->name));
    if (has_bias(layer))
        PB_TRY(pb_allocate(&layer->bias, (size_t)layer->outputs, sizeof *layer->bias, layer->name));
    return builder->fill(builder, index);
}

/* In a layer of attention groups are its heads. */
static int groups_of(const block_unit *unit, const pb_step *step, int inputs) {
    if (step->operation == PB_OPERATION_ATTENTION)
        return unit->block->heads;
    return step->width == PB_WIDTH_DEPTHWISE ? inputs : 1;
}

/* Adds the layer of a step of `unit` that reads layer `source`. The layer is in the network before its weights are there, so that
 * pb_network_free finds them after an error. */
static pb_status append_layer(pb_network_builder *builder, const block_unit *unit, const pb_step *step, int source) {
    pb_network *network = builder->network;
    PB_ASSERT(network->layer_count < PB_LAYERS_MAX);
    int index = network->layer_count++, inputs = pb_network_shape(network, source).channels;
    bool has_kernel = step->extent == PB_EXTENT_KERNEL || step->extent == PB_EXTENT_BOTH;
    bool has_stride = step->extent == PB_EXTENT_STRIDE || step->extent == PB_EXTENT_BOTH;
    pb_layer_origin *from = &builder->origins[index];
    *from = (pb_layer_origin){.step = step, .block = unit->block};
    memcpy(from->prefix, unit->prefix, sizeof from->prefix);
    pb_layer *layer = &network->layers[index];
    *layer = (pb_layer){.operation = step->operation, .inputs = inputs,
                        .outputs = step_outputs(unit->block, step, unit->entry_channels, inputs), .source = source,
                        .residual = -1, .kernel = has_kernel ? unit->block->kernel : 1, .stride = has_stride ? unit->stride : 1,
                        .groups = groups_of(unit, step, inputs), .padding = builder->backbone->padding,
                        .activation = step->activation};
    if (step->operation == PB_OPERATION_LAYER_NORM)
        layer->epsilon = builder->backbone->norm_epsilon;
    layer->parameters = parameters_of(builder, index);
    int length = snprintf(layer->name, sizeof layer->name, "%s%s%s", unit->prefix, step->name, has_bias(layer) ? ".weight" : "");
    PB_ASSERT(length > 0 && (size_t)length < sizeof layer->name);
    return give_weights(builder, index);
}

/* Adds the layers of a unit after the last layer there is. The shortcut comes before the last step, which adds it. A unit's input
 * is added to its last step where the table says so and shapes agree (`fits`), or through a shortcut. `joined` moves with each
 * step that joins: in a transformer the second sum adds the first. */
static pb_status append_unit(pb_network_builder *builder, const block_unit *unit) {
    const pb_block *block = unit->block;
    bool fits = unit->stride == 1 && unit->entry_channels == block->outputs, added = block->residual && (fits || block->shortcut);
    int source = unit->entry, joined = unit->entry; /* joined: what the next step that joins adds */
    for (int s = 0; s < block->step_count; s++) {
        const pb_step *step = &block->steps[s];
        bool last = s == block->step_count - 1, joins = last ? added : step->joins;
        if (step->width == PB_WIDTH_EXPANDED && block->expansion == 1)
            continue;
        if (last && added && !fits) {
            joined = builder->network->layer_count;
            PB_TRY(append_layer(builder, unit, block->shortcut, unit->entry));
        }
        int index = builder->network->layer_count;
        PB_TRY(append_layer(builder, unit, step, source));
        if (joins) {
            builder->network->layers[index].residual = joined;
            joined = index;
        }
        source = index;
    }
    return pb_ok();
}

/* Adds the layers of a block that reads layer *at, which becomes the block's last layer. Only the first of several units has the
 * block's stride and may change the number of channels. */
static pb_status append_block(pb_network_builder *builder, const pb_block *block, int *at) {
    for (int u = 0; u == 0 || u < block->units; u++) {
        block_unit unit = {.block = block, .stride = u == 0 ? block->stride : 1, .entry = *at};
        unit.entry_channels = pb_network_shape(builder->network, unit.entry).channels;
        int length = block->units == 0 ? snprintf(unit.prefix, sizeof unit.prefix, "%s", block->prefix)
                                       : snprintf(unit.prefix, sizeof unit.prefix, "%s%d.", block->prefix, u);
        PB_ASSERT(length >= 0 && (size_t)length < sizeof unit.prefix);
        PB_TRY(append_unit(builder, &unit));
        *at = builder->network->layer_count - 1;
    }
    return pb_ok();
}

/* Makes the output of layer `at`, the last of a block, a tap. A head (DINOv2's final norm) is appended for each tap and hangs
 * beside the blocks: the next block reads the block, not the head. */
static pb_status append_tap(pb_network_builder *builder, int at) {
    if (builder->backbone->head)
        PB_TRY(append_block(builder, builder->backbone->head, &at));
    builder->network->taps[builder->network->tap_count++] = at;
    return pb_ok();
}

static pb_status check_size(const char *name, int multiple, pb_size size) {
    if (size.width < PB_INPUT_LEAST || size.height < PB_INPUT_LEAST)
        return pb_fail(PB_E_USAGE, "an input of %d x %d pixels: expected at least %d x %d", size.width, size.height,
                       PB_INPUT_LEAST, PB_INPUT_LEAST);
    if (multiple == 0 || (size.width % multiple == 0 && size.height % multiple == 0))
        return pb_ok();
    /* What would do: for each side the multiple below, but not less than the least, and the one above. */
    int least = (PB_INPUT_LEAST + multiple - 1) / multiple * multiple, below[2], above[2];
    const int sides[2] = {size.width, size.height};
    for (int s = 0; s < 2; s++) {
        below[s] = sides[s] < least ? least : sides[s] / multiple * multiple;
        above[s] = (sides[s] + multiple - 1) / multiple * multiple;
    }
    return pb_fail(PB_E_USAGE, "an input of %d x %d pixels: %s takes multiples of %d; the nearest are %d x %d and %d x %d",
                   size.width, size.height, name, multiple, below[0], below[1], above[0], above[1]);
}

/* All checks come before the first allocation. parse_taps has seen to it that the loop over blocks ends: every tap is a block
 * that there is, in rising order. */
static pb_status build(pb_network_builder *builder, const char *name, const char *taps, pb_size size) {
    int index, blocks[PB_TAPS_MAX], tap_count, at = -1;
    PB_TRY(find_backbone(name, &index));
    const pb_backbone *backbone = backbones[index];
    PB_TRY(parse_taps(name, backbone, taps, blocks, &tap_count));
    PB_TRY(check_size(name, backbone->multiple, size));

    pb_network *network = builder->network;
    builder->backbone = backbone;
    network->backbone = backbone_names[index];
    network->size = size;
    memcpy(network->mean, backbone->mean, sizeof network->mean);
    memcpy(network->scale, backbone->scale, sizeof network->scale);
    PB_TRY(pb_allocate(&network->layers, PB_LAYERS_MAX, sizeof *network->layers, "layers of a network"));
    for (int b = 0; b < backbone->stem_count; b++)
        PB_TRY(append_block(builder, &backbone->stem[b], &at));
    for (int b = 0; network->tap_count < tap_count; b++) {
        PB_TRY(append_block(builder, &backbone->blocks[b], &at));
        if (backbone->first_block + b == blocks[network->tap_count])
            PB_TRY(append_tap(builder, at));
    }
    return pb_ok();
}

/* Whatever an error has left is freed; *builder->network is then empty. */
static pb_status build_or_nothing(pb_network_builder *builder, const char *name, const char *taps, pb_size size) {
    *builder->network = (pb_network){0};
    pb_status status = build(builder, name, taps, size);
    if (pb_failed(&status))
        pb_network_free(builder->network);
    return status;
}

pb_status pb_network_load(const char *backbone, const char *taps, pb_size size, pb_tensor_lookup lookup, void *context,
                          pb_network *network_out) {
    pb_network_builder builder = {.network = network_out, .fill = pb_network_fill_loaded, .lookup = lookup, .context = context};
    return build_or_nothing(&builder, backbone, taps, size);
}

pb_status pb_network_random(const char *backbone, const char *taps, pb_size size, uint64_t seed, pb_network *network_out) {
    pb_network_builder builder = {.network = network_out, .fill = pb_network_fill_random, .seed = seed};
    return build_or_nothing(&builder, backbone, taps, size);
}

pb_status pb_network_outline(const char *backbone, const char *taps, pb_size size, pb_network *network_out) {
    pb_network_builder builder = {.network = network_out};
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
