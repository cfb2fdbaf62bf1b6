/* The table against what is published: ImageNet preprocessing, shapes of the taps, layers of a unit. All weights, names and
 * shapes are compared with torchvision's in test_golden_resnet.c. */
#include "gpu/network.h"

#include "networks.h"

#include <criterion/criterion.h>

Test(backbone_resnet, input_is_normalised_as_imagenet) { test_normalised_as_imagenet("wide_resnet50_2", "1"); }

Test(backbone_resnet, defaults_are_those_of_patchcore) {
    const char *taps;
    int side;
    test_must(pb_backbone_defaults("wide_resnet50_2", &taps, &side));
    cr_assert_str_eq(taps, "2,3");
    cr_assert_eq(side, 224);
}

static void check_layer(const pb_network *network, int l, const char *name, int source, int residual, int kernel, int stride) {
    const pb_layer *layer = &network->layers[l];
    cr_assert_str_eq(layer->name, name);
    cr_assert(layer->source == source && layer->residual == residual, "%s: source %d, residual %d", name, layer->source,
              layer->residual);
    cr_assert(layer->kernel == kernel && layer->stride == stride && layer->padding == PB_PADDING_SYMMETRIC, "%s", name);
    cr_assert_null(layer->weights);
    cr_assert_null(layer->bias);
}

/* A basic unit without and with a shortcut. */
Test(backbone_resnet, basic_units) {
    pb_network network;
    test_must(pb_network_outline("resnet18", "2", test_square(64), &network));
    check_layer(&network, 0, "conv1.weight", -1, -1, 7, 2);
    check_layer(&network, 1, "maxpool", 0, -1, 3, 2);
    cr_assert_eq(network.layers[1].operation, PB_OPERATION_MAX_POOL);
    check_layer(&network, 2, "layer1.0.conv1.weight", 1, -1, 3, 1);
    check_layer(&network, 3, "layer1.0.conv2.weight", 2, 1, 3, 1);
    check_layer(&network, 6, "layer2.0.conv1.weight", 5, -1, 3, 2);
    check_layer(&network, 7, "layer2.0.downsample.0.weight", 5, -1, 1, 2);
    check_layer(&network, 8, "layer2.0.conv2.weight", 6, 7, 3, 1);
    check_layer(&network, 9, "layer2.1.conv1.weight", 8, -1, 3, 1);
    check_layer(&network, 10, "layer2.1.conv2.weight", 9, 8, 3, 1);
    cr_assert_eq(network.layer_count, 11);
    cr_assert_eq(network.taps[0], 10);
    pb_network_free(&network);
}

/* The first layer's stride is 1 and it has a shortcut all the same, for its channels; activations follow the sum. */
Test(backbone_resnet, bottleneck_units) {
    pb_network network;
    test_must(pb_network_outline("resnet50", "2", test_square(64), &network));
    check_layer(&network, 2, "layer1.0.conv1.weight", 1, -1, 1, 1);
    check_layer(&network, 3, "layer1.0.conv2.weight", 2, -1, 3, 1);
    check_layer(&network, 4, "layer1.0.downsample.0.weight", 1, -1, 1, 1);
    check_layer(&network, 5, "layer1.0.conv3.weight", 3, 4, 1, 1);
    cr_assert_eq(network.layers[4].activation, PB_ACTIVATION_NONE);
    cr_assert_eq(network.layers[5].activation, PB_ACTIVATION_RELU);
    check_layer(&network, 12, "layer2.0.conv1.weight", 11, -1, 1, 1);
    check_layer(&network, 13, "layer2.0.conv2.weight", 12, -1, 3, 2);
    check_layer(&network, 14, "layer2.0.downsample.0.weight", 11, -1, 1, 2);
    pb_network_free(&network);
}
