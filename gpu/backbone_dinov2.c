/* DINOv2's vision transformers with patches of 14 pixels and without registers: a patch embedding, a class token, position
 * embeddings, and blocks of attention and a perceptron, each before its sum normed and after it scaled. Structure and names: M.
 * Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024, in the code that it was published with
 * (timm's vit_small_patch14_dinov2 and its larger ones have the same names); A. Dosovitskiy et al., "An Image is Worth 16x16
 * Words", ICLR 2021. A tap is a block's patch tokens under the network's final norm, as get_intermediate_layers gives them; tap
 * and side by default are those of S. Damm et al., "AnomalyDINO", WACV 2025, which compares each patch
 * alone (--patch-size 1) by direction (--distance cosine) and resizes the shorter side to 448.
 */
#include "gpu/backbone_table.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { PATCH = 14 };

/* The patch embedding, a convolution with kernel and stride of one patch, and the tokens. */
static const pb_step stem_steps[] = {
    {.name = "patch_embed.proj", .width = PB_WIDTH_OUTPUTS, .extent = PB_EXTENT_BOTH},
    {.name = "pos_embed", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_TOKENS},
};

/* x becomes x + ls1 * proj(attention(qkv(norm1(x)))), then that + ls2 * fc2(gelu(fc1(norm2(..)))); the last step joins by the
 * block's `residual`. */
static const pb_step block_steps[] = {
    {.name = "norm1", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_LAYER_NORM},
    {.name = "attn.qkv", .width = PB_WIDTH_ATTENDED},
    {.name = "attn", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_ATTENTION},
    {.name = "attn.proj", .width = PB_WIDTH_OUTPUTS, .scale = "ls1.gamma", .joins = true},
    {.name = "norm2", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_LAYER_NORM},
    {.name = "mlp.fc1", .width = PB_WIDTH_MIDDLE, .activation = PB_ACTIVATION_GELU},
    {.name = "mlp.fc2", .width = PB_WIDTH_OUTPUTS, .scale = "ls2.gamma"},
};

/* A tap: the patch tokens, then the final norm. Norms look at each token alone, so leaving out the class token first changes
 * nothing but the work. */
static const pb_step head_steps[] = {
    {.name = "patches", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_PATCHES},
    {.name = "norm", .width = PB_WIDTH_OUTPUTS, .operation = PB_OPERATION_LAYER_NORM},
};

/* Register tokens, as DINOv2's authors and as timm call them, would come between the class token and the patches. */
static const char *const refused[] = {"register_tokens", "reg_token", NULL};

#define BLOCK(number, width, heads_)                                                                                   \
    {.prefix = "blocks." #number ".", .steps = block_steps, .step_count = COUNT(block_steps), .kernel = 1, .stride = 1, \
     .outputs = width, .residual = true, .middle = 4 * (width), .heads = heads_}

#define BLOCKS_0_TO_11(width, heads)                                                                                    \
    BLOCK(0, width, heads), BLOCK(1, width, heads), BLOCK(2, width, heads), BLOCK(3, width, heads), BLOCK(4, width, heads), \
    BLOCK(5, width, heads), BLOCK(6, width, heads), BLOCK(7, width, heads), BLOCK(8, width, heads), BLOCK(9, width, heads), \
    BLOCK(10, width, heads), BLOCK(11, width, heads)

#define BLOCKS_12_TO_23(width, heads)                                                                                   \
    BLOCK(12, width, heads), BLOCK(13, width, heads), BLOCK(14, width, heads), BLOCK(15, width, heads),                 \
    BLOCK(16, width, heads), BLOCK(17, width, heads), BLOCK(18, width, heads), BLOCK(19, width, heads),                 \
    BLOCK(20, width, heads), BLOCK(21, width, heads), BLOCK(22, width, heads), BLOCK(23, width, heads)

/* Mean and deviation are those of ImageNet, as for ResNets; 448 pixels are 32 patches. */
#define TRANSFORMER(name, width, taps_, ...)                                                                           \
    static const pb_block name##_stem[] = {{.prefix = "", .steps = stem_steps, .step_count = COUNT(stem_steps),         \
                                            .kernel = PATCH, .stride = PATCH, .outputs = width}};                       \
    static const pb_block name##_head = {.prefix = "", .steps = head_steps, .step_count = COUNT(head_steps), .kernel = 1, \
                                         .stride = 1, .outputs = width};                                               \
    static const pb_block name##_blocks[] = {__VA_ARGS__};                                                             \
    const pb_backbone pb_backbone_##name = {                                                                           \
        .taps = taps_,                                                                                                 \
        .side = 448,                                                                                                   \
        .mean = {123.675f, 116.28f, 103.53f},                                                                          \
        .scale = {1 / 58.395f, 1 / 57.12f, 1 / 57.375f},                                                               \
        .norm_epsilon = 1e-6,                                                                                          \
        .multiple = PATCH,                                                                                             \
        .positions = {.side = 37, .class_token = "cls_token", .refused = refused},                                     \
        .head = &name##_head,                                                                                          \
        .stem = name##_stem,                                                                                           \
        .stem_count = COUNT(name##_stem),                                                                              \
        .blocks = name##_blocks,                                                                                       \
        .block_count = COUNT(name##_blocks),                                                                           \
    }

TRANSFORMER(dinov2_vits14, 384, "11", BLOCKS_0_TO_11(384, 6));
TRANSFORMER(dinov2_vitb14, 768, "11", BLOCKS_0_TO_11(768, 12));
TRANSFORMER(dinov2_vitl14, 1024, "23", BLOCKS_0_TO_11(1024, 16), BLOCKS_12_TO_23(1024, 16));
