/* network_builder.h: private to gpu/: a network under construction, between its layers (network.c) and their weights
 * (network_weights.c). Lives as long as one call of pb_network_load, _random or _outline. Not collective. */
#ifndef PB_GPU_NETWORK_BUILDER_H
#define PB_GPU_NETWORK_BUILDER_H

#include "gpu/backbone_table.h"

enum { PB_PREFIX_MAX = 40 };

/* Where a layer comes from: what its tensors' names begin with, and the step and block that made it. Static but for the prefix:
 * steps and blocks are the tables'. */
typedef struct pb_layer_origin {
    char prefix[PB_PREFIX_MAX];
    const pb_step *step;
    const pb_block *block;
} pb_layer_origin;

/* fill gives a layer its weights and bias, for which there is memory already; NULL: an outline. network is the caller's; origins
 * belongs to its layers by number; lookup and context serve pb_network_fill_loaded, seed pb_network_fill_random. */
typedef struct pb_network_builder {
    const pb_backbone *backbone;
    pb_network *network;
    pb_layer_origin origins[PB_LAYERS_MAX];
    pb_status (*fill)(const struct pb_network_builder *builder, int layer);
    pb_tensor_lookup lookup;
    void *context; /* of lookup */
    uint64_t seed;
} pb_network_builder;

/* How many weights layer `layer` has; 0 for an operation without. Biases not counted. */
size_t pb_layer_weight_count(const pb_network *network, int layer);

/* The two ways to fill: tensors of builder->lookup, folded; numbers of builder->seed. Errors: as pb_network_load. */
PB_CHECKED pb_status pb_network_fill_loaded(const pb_network_builder *builder, int layer);
PB_CHECKED pb_status pb_network_fill_random(const pb_network_builder *builder, int layer);

#endif
