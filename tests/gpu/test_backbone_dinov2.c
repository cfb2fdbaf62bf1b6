/* The table against what is published: preprocessing, defaults, layers of a block, how blocks and taps hang together. All
 * weights, names and shapes are compared with the published ones in test_golden_dinov2.c. */
#include "gpu/network.h"

#include "networks.h"

#include <criterion/criterion.h>

Test(backbone_dinov2, input_is_normalised_as_imagenet) { test_normalised_as_imagenet("dinov2_vits14", "0"); }

Test(backbone_dinov2, defaults_are_those_of_anomalydino) {
    const char *taps;
    int side;
    test_must(pb_backbone_defaults("dinov2_vits14", &taps, &side));
    cr_assert_str_eq(taps, "11");
    cr_assert_eq(side, 448);
}

/* A layer as it should be; the rest of pb_layer is the same for all. */
typedef struct expected_layer {
    const char *name;
    pb_operation operation;
    int inputs, outputs, groups, source, residual, width, height;
} expected_layer;

static void check_layer(const pb_network *network, int l, expected_layer expected) {
    const pb_layer *layer = &network->layers[l];
    bool is_stem = l == 0, is_gelu = layer->outputs == 4 * 384;
    cr_assert_str_eq(layer->name, expected.name);
    cr_assert_eq(layer->operation, expected.operation, "%s", layer->name);
    cr_assert(layer->inputs == expected.inputs && layer->outputs == expected.outputs, "%s", layer->name);
    cr_assert_eq(layer->groups, expected.groups, "%s: %d groups", layer->name, layer->groups);
    cr_assert(layer->source == expected.source && layer->residual == expected.residual, "%s: source %d, residual %d", layer->name,
              layer->source, layer->residual);
    cr_assert(layer->kernel == (is_stem ? 14 : 1) && layer->stride == (is_stem ? 14 : 1), "%s", layer->name);
    cr_assert_eq(layer->activation, is_gelu ? PB_ACTIVATION_GELU : PB_ACTIVATION_NONE, "%s", layer->name);
    cr_assert_eq(layer->epsilon, expected.operation == PB_OPERATION_LAYER_NORM ? 1e-6 : 0);
    pb_layer_shape shape = pb_network_shape(network, l);
    cr_assert(pb_size_equal(shape.size, (pb_size){expected.width, expected.height}), "%s: %d x %d", layer->name, shape.size.width,
              shape.size.height);
    cr_assert_eq(shape.channels, expected.outputs);
    cr_assert(!layer->weights && !layer->bias);
}

/* An image of 6 x 4 patches. The head of a tap hangs beside the blocks, not between them. */
Test(backbone_dinov2, blocks_and_taps) {
    enum { C = 384 };
    static const expected_layer LAYERS[] = {
        {"patch_embed.proj.weight", PB_OPERATION_CONVOLUTION, 3, C, 1, -1, -1, 6, 4},
        {"pos_embed", PB_OPERATION_TOKENS, C, C, 1, 0, -1, 25, 1},
        {"blocks.0.norm1.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 1, -1, 25, 1},
        {"blocks.0.attn.qkv.weight", PB_OPERATION_CONVOLUTION, C, 3 * C, 1, 2, -1, 25, 1},
        {"blocks.0.attn", PB_OPERATION_ATTENTION, 3 * C, C, 6, 3, -1, 25, 1},
        {"blocks.0.attn.proj.weight", PB_OPERATION_CONVOLUTION, C, C, 1, 4, 1, 25, 1},
        {"blocks.0.norm2.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 5, -1, 25, 1},
        {"blocks.0.mlp.fc1.weight", PB_OPERATION_CONVOLUTION, C, 4 * C, 1, 6, -1, 25, 1},
        {"blocks.0.mlp.fc2.weight", PB_OPERATION_CONVOLUTION, 4 * C, C, 1, 7, 5, 25, 1},
        {"patches", PB_OPERATION_PATCHES, C, C, 1, 8, -1, 6, 4},
        {"norm.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 9, -1, 6, 4},
        {"blocks.1.norm1.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 8, -1, 25, 1},
        {"blocks.1.attn.qkv.weight", PB_OPERATION_CONVOLUTION, C, 3 * C, 1, 11, -1, 25, 1},
        {"blocks.1.attn", PB_OPERATION_ATTENTION, 3 * C, C, 6, 12, -1, 25, 1},
        {"blocks.1.attn.proj.weight", PB_OPERATION_CONVOLUTION, C, C, 1, 13, 8, 25, 1},
        {"blocks.1.norm2.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 14, -1, 25, 1},
        {"blocks.1.mlp.fc1.weight", PB_OPERATION_CONVOLUTION, C, 4 * C, 1, 15, -1, 25, 1},
        {"blocks.1.mlp.fc2.weight", PB_OPERATION_CONVOLUTION, 4 * C, C, 1, 16, 14, 25, 1},
        {"patches", PB_OPERATION_PATCHES, C, C, 1, 17, -1, 6, 4},
        {"norm.weight", PB_OPERATION_LAYER_NORM, C, C, 1, 18, -1, 6, 4},
    };
    pb_network network;
    test_must(pb_network_outline("dinov2_vits14", "0,1", (pb_size){84, 56}, &network));
    cr_assert_eq(network.layer_count, (int)(sizeof LAYERS / sizeof *LAYERS));
    for (int l = 0; l < network.layer_count; l++)
        check_layer(&network, l, LAYERS[l]);
    cr_assert(network.tap_count == 2 && network.taps[0] == 10 && network.taps[1] == 19);
    pb_network_free(&network);
}

Test(backbone_dinov2, heads_have_64_channels) {
    static const char *const NAMES[] = {"dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14"};
    for (int n = 0; n < 3; n++) {
        pb_network network;
        test_must(pb_network_outline(NAMES[n], "0", test_square(42), &network));
        cr_assert_eq(network.layers[4].groups * 64, network.layers[4].outputs);
        pb_network_free(&network);
    }
}
