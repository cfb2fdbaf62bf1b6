/* The table against the published structure, written out a second time in another form: a line a block. */
#include "gpu/network.h"

#include "networks.h"

#include "gpu/backbone_table.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Of block b: channels in, in the middle and out; kernel; stride; side of the output for 224 pixels; if it has a residual. */
static const struct {
    int inputs, middle, outputs, kernel, stride, side;
    bool residual;
} PUBLISHED[] = {
    {32, 32, 16, 3, 1, 112, false},  {16, 96, 24, 3, 2, 56, false},    {24, 144, 24, 3, 1, 56, true},
    {24, 144, 40, 5, 2, 28, false},  {40, 240, 40, 5, 1, 28, true},    {40, 240, 80, 3, 2, 14, false},
    {80, 480, 80, 3, 1, 14, true},   {80, 480, 80, 3, 1, 14, true},    {80, 480, 112, 5, 1, 14, false},
    {112, 672, 112, 5, 1, 14, true}, {112, 672, 112, 5, 1, 14, true},  {112, 672, 192, 5, 2, 7, false},
    {192, 1152, 192, 5, 1, 7, true}, {192, 1152, 192, 5, 1, 7, true},  {192, 1152, 192, 5, 1, 7, true},
    {192, 1152, 320, 3, 1, 7, false}};

enum { BLOCKS = sizeof PUBLISHED / sizeof *PUBLISHED };

static void check_layer(const pb_network *network, int l, const char *name, pb_layer expected, int side) {
    const pb_layer *layer = &network->layers[l];
    cr_assert_str_eq(layer->name, name);
    cr_assert_eq(layer->inputs, expected.inputs, "%s: %d inputs", name, layer->inputs);
    cr_assert_eq(layer->outputs, expected.outputs, "%s: %d outputs", name, layer->outputs);
    cr_assert_eq(layer->kernel, expected.kernel, "%s: kernel %d", name, layer->kernel);
    cr_assert_eq(layer->stride, expected.stride, "%s: stride %d", name, layer->stride);
    cr_assert_eq(layer->groups, expected.groups, "%s: %d groups", name, layer->groups);
    cr_assert_eq(layer->activation, expected.activation, "%s: activation %d", name, (int)layer->activation);
    cr_assert_eq(layer->source, l - 1, "%s: source %d", name, layer->source);
    cr_assert_eq(layer->residual, expected.residual, "%s: residual %d", name, layer->residual);
    pb_layer_shape shape = pb_network_shape(network, l);
    cr_assert(pb_size_equal(shape.size, test_square(side)), "%s: %d x %d", name, shape.size.width, shape.size.height);
    cr_assert_eq(shape.channels, expected.outputs);
}

static void check_block(const pb_network *network, int b, int *l) {
    char name[64];
    int entry = *l - 1, before = PUBLISHED[b].stride * PUBLISHED[b].side, middle = PUBLISHED[b].middle;
    if (PUBLISHED[b].middle != PUBLISHED[b].inputs) {
        snprintf(name, sizeof name, "_blocks.%d._expand_conv.weight", b);
        check_layer(network, (*l)++, name, (pb_layer){.inputs = PUBLISHED[b].inputs, .outputs = middle, .kernel = 1, .stride = 1,
                    .groups = 1, .activation = PB_ACTIVATION_RELU6, .residual = -1}, before);
    }
    snprintf(name, sizeof name, "_blocks.%d._depthwise_conv.weight", b);
    check_layer(network, (*l)++, name, (pb_layer){.inputs = middle, .outputs = middle, .kernel = PUBLISHED[b].kernel,
                .stride = PUBLISHED[b].stride, .groups = middle, .activation = PB_ACTIVATION_RELU6, .residual = -1},
                PUBLISHED[b].side);
    snprintf(name, sizeof name, "_blocks.%d._project_conv.weight", b);
    check_layer(network, (*l)++, name, (pb_layer){.inputs = middle, .outputs = PUBLISHED[b].outputs, .kernel = 1, .stride = 1,
                .groups = 1, .activation = PB_ACTIVATION_NONE, .residual = PUBLISHED[b].residual ? entry : -1},
                PUBLISHED[b].side);
}

Test(backbone_efficientnet_lite0, layers_are_the_published_ones) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0,3,15", test_square(224), 1, &network));
    check_layer(&network, 0, "_conv_stem.weight", (pb_layer){.inputs = 3, .outputs = 32, .kernel = 3, .stride = 2, .groups = 1,
                .activation = PB_ACTIVATION_RELU6, .residual = -1}, 112);
    int l = 1, taps[BLOCKS];
    for (int b = 0; b < BLOCKS; b++) {
        check_block(&network, b, &l);
        taps[b] = l - 1;
    }
    cr_assert_eq(network.layer_count, l);
    cr_assert_eq(network.tap_count, 3);
    cr_assert_eq(network.taps[0], taps[0]);
    cr_assert_eq(network.taps[1], taps[3]);
    cr_assert_eq(network.taps[2], taps[15]);
    pb_network_free(&network);
}

Test(backbone_efficientnet_lite0, input_is_byte_less_127_over_128) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0", test_square(224), 1, &network));
    cr_assert_str_eq(network.backbone, "efficientnet_lite0");
    for (int c = 0; c < 3; c++) {
        cr_assert_eq(network.mean[c], 127.0f);
        cr_assert_eq(network.scale[c], 0.0078125f);
    }
    pb_network_free(&network);
}

Test(backbone_efficientnet_lite0, defaults_are_those_of_patchcore) {
    const char *taps;
    int side;
    test_must(pb_backbone_defaults("efficientnet_lite0", &taps, &side));
    cr_assert_str_eq(taps, "4,10");
    cr_assert_eq(side, 224);
}

/* timm numbers blocks within stages. */
Test(backbone_efficientnet_lite0, other_names_are_timms) {
    static const char *const BLOCKS_OF_TIMM[BLOCKS] = {"0.0", "1.0", "1.1", "2.0", "2.1", "3.0", "3.1", "3.2",
                                                       "4.0", "4.1", "4.2", "5.0", "5.1", "5.2", "5.3", "6.0"};
    static const char *const PARTS[][2] = {
        {"_expand_conv.weight", "conv_pw.weight"},    {"_bn0.bias", "bn1.bias"},
        {"_depthwise_conv.weight", "conv_dw.weight"}, {"_bn1.running_mean", "bn2.running_mean"},
        {"_project_conv.weight", "conv_pwl.weight"},  {"_bn2.weight", "bn3.weight"}};
    char ours[PB_TENSOR_NAME_MAX], found[PB_TENSOR_NAME_MAX], expected[PB_TENSOR_NAME_MAX];
    for (int b = 1; b < BLOCKS; b++)
        for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
            snprintf(ours, sizeof ours, "_blocks.%d.%s", b, PARTS[p][0]);
            snprintf(expected, sizeof expected, "blocks.%s.%s", BLOCKS_OF_TIMM[b], PARTS[p][1]);
            pb_backbone_efficientnet_lite0.other_name(ours, found);
            cr_assert_str_eq(found, expected);
        }
    pb_backbone_efficientnet_lite0.other_name("_blocks.0._project_conv.weight", found);
    cr_assert_str_eq(found, "blocks.0.0.conv_pw.weight"); /* which elsewhere is the expansion */
    pb_backbone_efficientnet_lite0.other_name("_bn0.running_var", found);
    cr_assert_str_eq(found, "bn1.running_var");
    pb_backbone_efficientnet_lite0.other_name("_conv_stem.weight", found);
    cr_assert_str_eq(found, "conv_stem.weight");
}
