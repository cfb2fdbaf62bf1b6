/* ResNet-18 to -101 and the wide ones: a 7x7 convolution, 3x3 max pooling, and four layers of basic or bottleneck units, whose
 * sum with their input goes through ReLU. Structure: K. He et al., "Deep Residual Learning", CVPR 2016, with the stride in the
 * 3x3 convolution of a bottleneck ("v1.5") as in torchvision, whose names (timm's are the same), epsilon and preprocessing these
 * are;
 * S. Zagoruyko, N. Komodakis, "Wide Residual Networks", BMVC 2016: twice the channels inside a unit. The taps are the outputs of
 * "layer1" to "layer4" by number. The classifier is left out.
 *
 * Order of reading: steps (a stem, two kinds of units, the shortcut), a row a layer (LAYER), a table a network (LAYERS).
 */
#include "gpu/backbone_table.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const pb_step stem_steps[] = {
    PB_STEP_CONVOLUTION("conv1", "bn1", PB_WIDTH_OUTPUTS, PB_EXTENT_BOTH, PB_ACTIVATION_RELU),
};

/* No weights; its name is for messages. */
static const pb_step pool_steps[] = {
    {.name = "maxpool", .width = PB_WIDTH_DEPTHWISE, .extent = PB_EXTENT_BOTH, .operation = PB_OPERATION_MAX_POOL},
};

static const pb_block stem[] = {
    {.prefix = "", .steps = stem_steps, .step_count = COUNT(stem_steps), .kernel = 7, .stride = 2, .outputs = 64},
    {.prefix = "", .steps = pool_steps, .step_count = COUNT(pool_steps), .kernel = 3, .stride = 2, .outputs = 64},
};

/* ResNet-18 and -34. The stride is in the first convolution. */
static const pb_step basic_steps[] = {
    PB_STEP_CONVOLUTION("conv1", "bn1", PB_WIDTH_OUTPUTS, PB_EXTENT_BOTH, PB_ACTIVATION_RELU),
    PB_STEP_CONVOLUTION("conv2", "bn2", PB_WIDTH_OUTPUTS, PB_EXTENT_KERNEL, PB_ACTIVATION_RELU),
};

/* The others: 1x1 down to the middle's channels, 3x3 there, 1x1 up. */
static const pb_step bottleneck_steps[] = {
    PB_STEP_CONVOLUTION("conv1", "bn1", PB_WIDTH_MIDDLE, PB_EXTENT_POINT, PB_ACTIVATION_RELU),
    PB_STEP_CONVOLUTION("conv2", "bn2", PB_WIDTH_MIDDLE, PB_EXTENT_BOTH, PB_ACTIVATION_RELU),
    PB_STEP_CONVOLUTION("conv3", "bn3", PB_WIDTH_OUTPUTS, PB_EXTENT_POINT, PB_ACTIVATION_RELU),
};

/* Where a unit changes stride or channels its input goes through a 1x1 convolution without activation. */
static const pb_step shortcut =
    PB_STEP_CONVOLUTION("downsample.0", "downsample.1", PB_WIDTH_OUTPUTS, PB_EXTENT_STRIDE, PB_ACTIVATION_NONE);

#define LAYER(number, steps_, units_, stride_, middle_, outputs_)                                                 \
    {.prefix = "layer" #number ".", .steps = steps_, .step_count = COUNT(steps_), .units = units_, .kernel = 3,   \
     .stride = stride_, .middle = middle_, .outputs = outputs_, .residual = true, .shortcut = &shortcut}

/* Mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225 of values from 0 to 1 are those of ImageNet; here times 255. Given:
 * units of each layer, channels of the first layer in the middle of a unit and at its end, which double from layer to layer. */
#define LAYERS(name, steps, units1, units2, units3, units4, middle, outputs)           \
    static const pb_block name##_layers[] = {                                          \
        LAYER(1, steps, units1, 1, middle, outputs),                                   \
        LAYER(2, steps, units2, 2, 2 * (middle), 2 * (outputs)),                       \
        LAYER(3, steps, units3, 2, 4 * (middle), 4 * (outputs)),                       \
        LAYER(4, steps, units4, 2, 8 * (middle), 8 * (outputs)),                       \
    };                                                                                 \
    const pb_backbone pb_backbone_##name = {                                           \
        .taps = "2,3",                                                                 \
        .side = 224,                                                                   \
        .mean = {123.675f, 116.28f, 103.53f},                                          \
        .scale = {1 / 58.395f, 1 / 57.12f, 1 / 57.375f},                               \
        .norm_epsilon = 1e-5,                                                          \
        .padding = PB_PADDING_SYMMETRIC,                                               \
        .stem = stem,                                                                  \
        .stem_count = COUNT(stem),                                                     \
        .blocks = name##_layers,                                                       \
        .block_count = COUNT(name##_layers),                                           \
        .first_block = 1,                                                              \
    }

LAYERS(resnet18, basic_steps, 2, 2, 2, 2, 64, 64);
LAYERS(resnet34, basic_steps, 3, 4, 6, 3, 64, 64);
LAYERS(resnet50, bottleneck_steps, 3, 4, 6, 3, 64, 256);
LAYERS(resnet101, bottleneck_steps, 3, 4, 23, 3, 64, 256);
LAYERS(wide_resnet50_2, bottleneck_steps, 3, 4, 6, 3, 128, 256);
LAYERS(wide_resnet101_2, bottleneck_steps, 3, 4, 23, 3, 128, 256);
