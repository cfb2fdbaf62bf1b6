/* What a backbone offers, read off its outline: tables and numbers for users cannot disagree with what is run.
 *
 * A block is described by the outline of the network that is cut behind it: its stride is the input's side over the output's, its
 * channels those of the tap.
 */
#include "gpu/network.h"

#include "gpu/backbone_table.h"

#include <stdio.h>
#include <string.h>

/* The table of a name that is known; NULL for others. */
static const pb_backbone *table_of(const char *name) {
#define RETURN_TABLE(backbone)         \
    if (strcmp(name, #backbone) == 0)  \
        return &pb_backbone_##backbone;
    PB_BACKBONES(RETURN_TABLE)
#undef RETURN_TABLE
    return NULL;
}

/* Before folding, so the numbers are those that papers give, less a classifier. */
static int64_t parameters_of(const pb_network *network) {
    int64_t count = 0;
    for (int l = 0; l < network->layer_count; l++)
        count += network->layers[l].parameters;
    return count;
}

/* Adds block `block` to the info. The last one asked for has all the parameters. */
static pb_status describe_block(const char *name, int block, pb_backbone_info *info) {
    char taps[16];
    snprintf(taps, sizeof taps, "%d", block);
    pb_network outline;
    PB_TRY(pb_network_outline(name, taps, (pb_size){info->side, info->side}, &outline));
    pb_layer_shape shape = pb_network_shape(&outline, outline.taps[0]);
    info->all[info->tap_count++] = (pb_backbone_tap){.block = block, .stride = info->side / shape.size.width,
                                                     .channels = shape.channels};
    info->parameters = parameters_of(&outline);
    pb_network_free(&outline);
    return pb_ok();
}

pb_status pb_backbone_describe(const char *backbone, pb_backbone_info *info_out) {
    *info_out = (pb_backbone_info){0};
    PB_TRY(pb_backbone_defaults(backbone, &info_out->taps, &info_out->side));
    const pb_backbone *table = table_of(backbone);
    PB_ASSERT(table && table->block_count <= PB_BLOCKS_MAX);
    for (int b = 0; b < table->block_count; b++)
        PB_TRY(describe_block(backbone, table->first_block + b, info_out));
    return pb_ok();
}
