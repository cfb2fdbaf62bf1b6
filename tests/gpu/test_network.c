#include "gpu/network.h"

#include "base/fault.h"
#include "base/memory.h"
#include "base/random.h"
#include "gpu/positions.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a store of tensors with chosen defects ---- */

enum { TENSORS_MAX = 400 };

typedef enum defect {
    DEFECT_NONE,
    DEFECT_MISSING,
    DEFECT_SURPLUS, /* there, though no network of this kind has it */
    DEFECT_SHAPE,
    DEFECT_RANK,
    DEFECT_NAN,
    DEFECT_NEGATIVE,
    DEFECT_HUGE
} defect;

/* Tensors are made when first asked for; their shapes come from the table below and their values from the place in the store. */
typedef struct store {
    const char *victim; /* the tensor with the defect */
    defect defect;
    int count;
    struct {
        char name[64];
        pb_tensor_view view;
        float *data;
    } tensors[TENSORS_MAX];
} store;

/* The shape of a layer's weights, by name, or of each of its vectors or those of its batch norm (rank 1, with a part of a name to
 * follow): of EfficientNet-Lite0 stem and blocks 0 to 2, of DINOv2's small transformer all up to the tap of block 0. */
static const struct {
    const char *name;
    int rank;
    int64_t shape[4];
} KNOWN[] = {
    {"_conv_stem.weight", 4, {32, 3, 3, 3}},
    {"_bn0.", 1, {32}},
    {"_blocks.0._depthwise_conv.weight", 4, {32, 1, 3, 3}},
    {"_blocks.0._bn1.", 1, {32}},
    {"_blocks.0._project_conv.weight", 4, {16, 32, 1, 1}},
    {"_blocks.0._bn2.", 1, {16}},
    {"_blocks.1._expand_conv.weight", 4, {96, 16, 1, 1}},
    {"_blocks.1._bn0.", 1, {96}},
    {"_blocks.1._depthwise_conv.weight", 4, {96, 1, 3, 3}},
    {"_blocks.1._bn1.", 1, {96}},
    {"_blocks.1._project_conv.weight", 4, {24, 96, 1, 1}},
    {"_blocks.1._bn2.", 1, {24}},
    {"_blocks.2._expand_conv.weight", 4, {144, 24, 1, 1}},
    {"_blocks.2._bn0.", 1, {144}},
    {"_blocks.2._depthwise_conv.weight", 4, {144, 1, 3, 3}},
    {"_blocks.2._bn1.", 1, {144}},
    {"_blocks.2._project_conv.weight", 4, {24, 144, 1, 1}},
    {"_blocks.2._bn2.", 1, {24}},
    {"patch_embed.proj.weight", 4, {384, 3, 14, 14}},
    {"patch_embed.proj.", 1, {384}},
    {"cls_token", 3, {1, 1, 384}},
    {"pos_embed", 3, {1, 1370, 384}},
    {"blocks.0.norm1.", 1, {384}},
    {"blocks.0.attn.qkv.weight", 2, {1152, 384}},
    {"blocks.0.attn.qkv.", 1, {1152}},
    {"blocks.0.attn.proj.weight", 2, {384, 384}},
    {"blocks.0.attn.proj.", 1, {384}},
    {"blocks.0.ls1.", 1, {384}},
    {"blocks.0.norm2.", 1, {384}},
    {"blocks.0.mlp.fc1.weight", 2, {1536, 384}},
    {"blocks.0.mlp.fc1.", 1, {1536}},
    {"blocks.0.mlp.fc2.weight", 2, {384, 1536}},
    {"blocks.0.mlp.fc2.", 1, {384}},
    {"blocks.0.ls2.", 1, {384}},
    {"norm.", 1, {384}},
};

enum { KNOWN_COUNT = sizeof KNOWN / sizeof *KNOWN, LAYERS_TO_BLOCK_2 = 9 };

static int find_known(const char *name) {
    static const char *const PARTS[] = {"weight", "bias", "running_mean", "running_var", "gamma"};
    for (int k = 0; k < KNOWN_COUNT; k++)
        for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
            char full[64];
            snprintf(full, sizeof full, "%s%s", KNOWN[k].name, KNOWN[k].rank == 1 ? PARTS[p] : "");
            if (strcmp(full, name) == 0)
                return k;
        }
    return -1;
}

/* Values in (-1, 1), variances in (0, 2). */
static void make_tensor(store *s, const char *name, int known) {
    cr_assert_lt(s->count, TENSORS_MAX);
    int t = s->count++, rank = KNOWN[known].rank;
    size_t count = 1;
    for (int d = 0; d < rank; d++)
        count *= (size_t)KNOWN[known].shape[d];
    snprintf(s->tensors[t].name, sizeof s->tensors[t].name, "%s", name);
    test_must(pb_allocate(&s->tensors[t].data, count, sizeof(float), "a tensor"));
    for (size_t i = 0; i < count; i++)
        s->tensors[t].data[i] = pb_random_symmetric(3, PB_STREAM_TEST, (uint32_t)t, i) + (strstr(name, "running_var") ? 1 : 0);
    s->tensors[t].view = (pb_tensor_view){.data = s->tensors[t].data, .rank = rank};
    memcpy(s->tensors[t].view.shape, KNOWN[known].shape, sizeof KNOWN[known].shape);
}

static const pb_tensor_view *tensor(store *s, const char *name) {
    for (int t = 0; t < s->count; t++)
        if (strcmp(s->tensors[t].name, name) == 0)
            return &s->tensors[t].view;
    int known = find_known(name);
    cr_assert_geq(known, 0, "asked for %s, which no network of this kind has", name);
    make_tensor(s, name, known);
    return &s->tensors[s->count - 1].view;
}

static void damage(store *s, pb_tensor_view *view) {
    float *data = s->tensors[s->count - 1].data;
    switch (s->defect) {
    case DEFECT_NONE:
    case DEFECT_MISSING:
    case DEFECT_SURPLUS:
        break;
    case DEFECT_SHAPE:
        view->shape[view->rank - 1] += 2;
        break;
    case DEFECT_RANK:
        view->shape[view->rank++] = 1;
        break;
    case DEFECT_NAN:
        data[5] = NAN;
        break;
    case DEFECT_NEGATIVE:
        data[5] = -0.5f;
        break;
    case DEFECT_HUGE:
        for (int64_t i = 0; i < view->shape[0]; i++)
            data[i] = 3.4e38f;
        break;
    }
}

static pb_status look_up(void *context, const char *name, pb_tensor_view *view) {
    store *s = context;
    bool victim = s->victim && strcmp(s->victim, name) == 0;
    if (victim && s->defect == DEFECT_SURPLUS)
        return pb_ok();
    if ((victim && s->defect == DEFECT_MISSING) || strcmp(name, "register_tokens") == 0 || strcmp(name, "reg_token") == 0)
        return pb_fail(PB_E_INPUT, "store: no tensor %s", name);
    *view = *tensor(s, name);
    if (victim)
        damage(s, view);
    return pb_ok();
}

static void release_store(store *s) {
    for (int t = 0; t < s->count; t++)
        pb_release(&s->tensors[t].data);
    *s = (store){0};
}

/* ---- loading ---- */

/* Each channel of each layer, at a random input x: the batch norm of the convolution, unfolded and in double, is the folded
 * layer. The folded numbers were rounded once, so they differ by 2^-24 of the sum of the sizes of the terms; twice that is
 * allowed. */
static void check_folding(store *s, const pb_layer *layer, const char *norm) {
    const float *weights = tensor(s, layer->name)->data;
    const float *part[4];
    static const char *const PARTS[] = {"running_mean", "running_var", "weight", "bias"};
    for (int p = 0; p < 4; p++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", norm, PARTS[p]);
        part[p] = tensor(s, name)->data;
    }
    int fan = layer->inputs / layer->groups * layer->kernel * layer->kernel;
    for (int o = 0; o < layer->outputs; o++) {
        double plain = 0, folded = layer->bias[o], size = fabs(folded);
        for (int i = 0; i < fan; i++) {
            double x = pb_random_symmetric(4, PB_STREAM_TEST, (uint32_t)o, (uint64_t)i);
            plain += weights[o * fan + i] * x;
            folded += layer->weights[o * fan + i] * x;
            size += fabs(layer->weights[o * fan + i] * x);
        }
        double expected = (plain - part[0][o]) / sqrt(part[1][o] + 1e-3) * part[2][o] + part[3][o];
        cr_assert(fabs(folded - expected) <= 0x1p-23 * size, "%s channel %d: %.9g, expected %.9g", layer->name, o, folded,
                  expected);
    }
}

Test(network, batch_norm_is_folded_in) {
    static const char *const NORMS[] = {"_bn0.", "_blocks.0._bn1.", "_blocks.0._bn2.", "_blocks.1._bn0.", "_blocks.1._bn1.",
                                        "_blocks.1._bn2.", "_blocks.2._bn0.", "_blocks.2._bn1.", "_blocks.2._bn2."};
    store s = {0};
    pb_network network;
    test_must(pb_network_load("efficientnet_lite0", "1,2", test_square(64), look_up, &s, &network));
    cr_assert_eq(network.layer_count, LAYERS_TO_BLOCK_2);
    for (int l = 0; l < LAYERS_TO_BLOCK_2; l++)
        check_folding(&s, &network.layers[l], NORMS[l]);
    cr_assert_eq(network.tap_count, 2);
    cr_assert_eq(network.taps[0], 5);
    cr_assert_eq(network.taps[1], 8);
    cr_assert_eq(s.count, LAYERS_TO_BLOCK_2 * 5, "%d tensors were asked for", s.count);
    pb_network_free(&network);
    release_store(&s);
}

/* The same for a layer with a bias b of its own and, where there is one, a scale: scale * (w x + b), and the queries of an
 * attention (the first `queries` channels) by the root of their 64 channels. */
static void check_scaling(store *s, const pb_layer *layer, const char *name, const char *scale_name, int queries) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    cr_assert_str_eq(layer->name, full);
    const float *weights = tensor(s, full)->data, *scale = scale_name ? tensor(s, scale_name)->data : NULL;
    snprintf(full, sizeof full, "%s.bias", name);
    const float *bias = tensor(s, full)->data;
    int fan = layer->inputs * layer->kernel * layer->kernel;
    for (int o = 0; o < layer->outputs; o++) {
        double plain = bias[o], folded = layer->bias[o], size = fabs(folded);
        for (int i = 0; i < fan; i++) {
            double x = pb_random_symmetric(4, PB_STREAM_TEST, (uint32_t)o, (uint64_t)i);
            plain += weights[o * fan + i] * x;
            folded += layer->weights[o * fan + i] * x;
            size += fabs(layer->weights[o * fan + i] * x);
        }
        double expected = plain * (scale ? scale[o] : 1) / (o < queries ? 8 : 1);
        cr_assert(fabs(folded - expected) <= 0x1p-23 * size, "%s channel %d: %.9g, expected %.9g", name, o, folded, expected);
    }
}

/* Layers of a transformer up to the tap of block 0: stem 0, tokens 1, block 2 to 8, patches 9, final norm 10. */
Test(network, scales_of_a_transformer_are_folded_in) {
    store s = {0};
    pb_network network;
    test_must(pb_network_load("dinov2_vits14", "0", (pb_size){70, 42}, look_up, &s, &network));
    cr_assert_eq(network.layer_count, 11);
    cr_assert(network.tap_count == 1 && network.taps[0] == 10);
    check_scaling(&s, &network.layers[0], "patch_embed.proj", NULL, 0);
    check_scaling(&s, &network.layers[3], "blocks.0.attn.qkv", NULL, 384);
    check_scaling(&s, &network.layers[5], "blocks.0.attn.proj", "blocks.0.ls1.gamma", 0);
    check_scaling(&s, &network.layers[7], "blocks.0.mlp.fc1", NULL, 0);
    check_scaling(&s, &network.layers[8], "blocks.0.mlp.fc2", "blocks.0.ls2.gamma", 0);
    static const struct {
        int layer;
        const char *weight, *bias;
    } NORMS[] = {{2, "blocks.0.norm1.weight", "blocks.0.norm1.bias"},
                 {6, "blocks.0.norm2.weight", "blocks.0.norm2.bias"},
                 {10, "norm.weight", "norm.bias"}};
    for (int n = 0; n < 3; n++) {
        const pb_layer *layer = &network.layers[NORMS[n].layer];
        cr_assert_arr_eq(layer->weights, tensor(&s, NORMS[n].weight)->data, 384 * sizeof(float));
        cr_assert_arr_eq(layer->bias, tensor(&s, NORMS[n].bias)->data, 384 * sizeof(float));
    }
    cr_assert_eq(s.count, 20, "%d tensors were asked for", s.count);
    pb_network_free(&network);
    release_store(&s);
}

/* Of 37 x 37 places the embeddings are as they are, and the class token has its own. */
Test(network, class_token_and_positions_are_folded_together) {
    store s = {0};
    pb_network network;
    test_must(pb_network_load("dinov2_vits14", "0", test_square(37 * 14), look_up, &s, &network));
    const float *weights = network.layers[1].weights, *table = tensor(&s, "pos_embed")->data;
    const float *class_token = tensor(&s, "cls_token")->data;
    for (size_t c = 0; c < 384; c++)
        cr_assert_eq(weights[c], class_token[c] + table[c]);
    cr_assert_arr_eq(weights + 384, table + 384, (size_t)37 * 37 * 384 * sizeof(float));
    pb_network_free(&network);
    release_store(&s);
}

static void expect_failure(pb_status status, const pb_network *network, pb_code code, const char *const words[3]) {
    cr_assert_eq(status.code, code, "%s", status.message);
    for (int w = 0; w < 3 && words[w]; w++)
        cr_assert_not_null(strstr(status.message, words[w]), "\"%s\" is not in \"%s\"", words[w], status.message);
    cr_assert_null(network->layers);
    cr_assert_eq(network->layer_count, 0);
    cr_assert_eq(network->tap_count, 0);
}

Test(network, bad_tensors_are_named) {
    static const struct {
        const char *victim;
        defect defect;
        const char *words[3];
    } CASES[] = {
        {"_conv_stem.weight", DEFECT_MISSING, {"no tensor _conv_stem.weight", "expected shape [32, 3, 3, 3]"}},
        {"_blocks.2._bn2.running_var", DEFECT_MISSING, {"no tensor _blocks.2._bn2.running_var", "expected shape [24]"}},
        {"_blocks.1._expand_conv.weight", DEFECT_SHAPE,
         {"_blocks.1._expand_conv.weight", "found shape [96, 16, 1, 3]", "expected [96, 16, 1, 1]"}},
        {"_blocks.1._bn0.bias", DEFECT_SHAPE, {"_blocks.1._bn0.bias", "found shape [98]", "expected [96]"}},
        {"_blocks.1._bn0.bias", DEFECT_RANK, {"_blocks.1._bn0.bias", "found shape [96, 1]", "expected [96]"}},
        {"_blocks.0._depthwise_conv.weight", DEFECT_NAN, {"_blocks.0._depthwise_conv.weight", "value 5 is not finite"}},
        {"_bn0.running_mean", DEFECT_NAN, {"_bn0.running_mean", "value 5 is not finite"}},
        {"_blocks.0._bn1.running_var", DEFECT_NEGATIVE, {"_blocks.0._depthwise_conv.weight", "channel 5", "variance -0.5"}},
        {"_bn0.weight", DEFECT_HUGE, {"_conv_stem.weight", "channel", "not finite with its batch norm _bn0"}},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        store s = {.victim = CASES[c].victim, .defect = CASES[c].defect};
        pb_network network;
        pb_status status = pb_network_load("efficientnet_lite0", "2", test_square(64), look_up, &s, &network);
        expect_failure(status, &network, PB_E_INPUT, CASES[c].words);
        release_store(&s);
    }
}

Test(network, bad_tensors_of_a_transformer_are_named) {
    static const struct {
        const char *victim;
        defect defect;
        const char *words[3];
    } CASES[] = {
        {"patch_embed.proj.bias", DEFECT_MISSING, {"no tensor patch_embed.proj.bias", "expected shape [384]"}},
        {"patch_embed.proj.weight", DEFECT_SHAPE, {"found shape [384, 3, 14, 16]", "expected [384, 3, 14, 14]"}},
        {"cls_token", DEFECT_MISSING, {"no tensor cls_token", "expected shape [1, 1, 384]"}},
        {"pos_embed", DEFECT_SHAPE, {"pos_embed", "found shape [1, 1370, 386]", "expected [1, 1370, 384]"}},
        {"pos_embed", DEFECT_NAN, {"pos_embed", "value 5 is not finite"}},
        {"register_tokens", DEFECT_SURPLUS, {"register_tokens", "dinov2_vits14 has none", "another network"}},
        {"reg_token", DEFECT_SURPLUS, {"reg_token", "dinov2_vits14 has none", "another network"}},
        {"blocks.0.norm1.bias", DEFECT_MISSING, {"no tensor blocks.0.norm1.bias", "expected shape [384]"}},
        {"blocks.0.norm2.weight", DEFECT_SHAPE, {"blocks.0.norm2.weight", "found shape [386]", "expected [384]"}},
        {"blocks.0.attn.qkv.weight", DEFECT_RANK, {"found shape [1152, 384, 1]", "expected [1152, 384]"}},
        {"blocks.0.attn.qkv.bias", DEFECT_SHAPE, {"blocks.0.attn.qkv.bias", "found shape [1154]", "expected [1152]"}},
        {"blocks.0.ls1.gamma", DEFECT_MISSING, {"no tensor blocks.0.ls1.gamma", "expected shape [384]"}},
        {"blocks.0.ls2.gamma", DEFECT_NAN, {"blocks.0.ls2.gamma", "value 5 is not finite"}},
        {"blocks.0.mlp.fc2.bias", DEFECT_MISSING, {"no tensor blocks.0.mlp.fc2.bias", "expected shape [384]"}},
        {"norm.weight", DEFECT_MISSING, {"no tensor norm.weight", "expected shape [384]"}},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        store s = {.victim = CASES[c].victim, .defect = CASES[c].defect};
        pb_network network;
        pb_status status = pb_network_load("dinov2_vits14", "0", test_square(42), look_up, &s, &network);
        expect_failure(status, &network, PB_E_INPUT, CASES[c].words);
        release_store(&s);
    }
}

/* What is finite by itself and not with its scale. */
Test(network, scales_that_overflow_are_named) {
    store s = {.victim = "blocks.0.ls1.gamma", .defect = DEFECT_HUGE};
    pb_network network;
    float *weights = (float *)(uintptr_t)tensor(&s, "blocks.0.attn.proj.weight")->data;
    weights[384 * 7] = 8;
    pb_status status = pb_network_load("dinov2_vits14", "0", test_square(42), look_up, &s, &network);
    static const char *const WORDS[3] = {"blocks.0.attn.proj.weight", "channel 7", "scale ls1.gamma"};
    expect_failure(status, &network, PB_E_INPUT, WORDS);
    release_store(&s);
}

Test(network, bad_requests_are_usage_errors) {
    static const struct {
        const char *backbone, *taps;
        pb_size size;
        const char *words[3];
    } CASES[] = {
        {"resnet19", "2", {64, 64}, {"resnet19", "efficientnet_lite0", "wide_resnet101_2"}},
        {"", "2", {64, 64}, {"efficientnet_lite0"}},
        {"efficientnet_lite0", "", {64, 64}, {"taps \"\"", "0 to 15"}},
        {"efficientnet_lite0", "16", {64, 64}, {"taps \"16\"", "0 to 15"}},
        {"efficientnet_lite0", "99999999999999999999", {64, 64}, {"taps \"99999999999999999999\""}},
        {"efficientnet_lite0", "-1", {64, 64}, {"taps \"-1\""}},
        {"efficientnet_lite0", "4,4", {64, 64}, {"taps \"4,4\"", "increasing"}},
        {"efficientnet_lite0", "10,4", {64, 64}, {"taps \"10,4\"", "increasing"}},
        {"efficientnet_lite0", "4,", {64, 64}, {"taps \"4,\""}},
        {"efficientnet_lite0", ",4", {64, 64}, {"taps \",4\""}},
        {"efficientnet_lite0", "4 10", {64, 64}, {"taps \"4 10\""}},
        {"efficientnet_lite0", "4x", {64, 64}, {"taps \"4x\""}},
        {"efficientnet_lite0", "0,1,2,3,4,5,6,7,8", {64, 64}, {"at most 8"}},
        {"resnet18", "0", {64, 64}, {"taps \"0\"", "1 to 4"}},
        {"resnet18", "2,5", {64, 64}, {"taps \"2,5\"", "1 to 4"}},
        {"efficientnet_lite0", "4", {0, 64}, {"0 x 64 pixels", "at least 32 x 32"}},
        {"efficientnet_lite0", "4", {-32, -32}, {"-32 x -32 pixels", "at least 32 x 32"}},
        {"efficientnet_lite0", "4", {31, 32}, {"31 x 32 pixels", "at least 32 x 32"}},
        {"efficientnet_lite0", "4", {32, 31}, {"32 x 31 pixels", "at least 32 x 32"}},
        {"dinov2_vits14", "12", {224, 224}, {"taps \"12\"", "0 to 11"}},
        {"dinov2_vitl14", "24", {224, 224}, {"taps \"24\"", "0 to 23"}},
        {"dinov2_vits14", "11", {224, 230}, {"224 x 230 pixels", "multiples of 14", "224 x 224 and 224 x 238"}},
        {"dinov2_vits14", "11", {300, 224}, {"300 x 224 pixels", "multiples of 14", "294 x 224 and 308 x 224"}},
        {"dinov2_vits14", "11", {225, 33}, {"225 x 33 pixels", "multiples of 14", "224 x 42 and 238 x 42"}},
        {"dinov2_vits14", "11", {28, 28}, {"28 x 28 pixels", "at least 32 x 32"}},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_network network;
        pb_status status = pb_network_random(CASES[c].backbone, CASES[c].taps, CASES[c].size, 1, &network);
        expect_failure(status, &network, PB_E_USAGE, CASES[c].words);
    }
    const char *taps = "untouched";
    int side;
    pb_status status = pb_backbone_defaults("resnet19", &taps, &side);
    cr_assert_eq(status.code, PB_E_USAGE);
    cr_assert_not_null(strstr(status.message, "efficientnet_lite0"));
}

Test(network, names_end_with_null) {
    const char *const *names = pb_backbone_names();
    int count = 0;
    while (names[count])
        count++;
    cr_assert_str_eq(names[0], "efficientnet_lite0");
    cr_assert_str_eq(names[count - 1], "dinov2_vitl14");
    cr_assert_eq(count, 10);
}

Test(network, eight_taps_are_possible) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0,1,2,3,4,5,6,7", test_square(32), 1, &network));
    cr_assert_eq(network.tap_count, PB_TAPS_MAX);
    for (int t = 1; t < PB_TAPS_MAX; t++)
        cr_assert_eq(network.taps[t], network.taps[t - 1] + 3);
    pb_network_free(&network);
}

/* A stride of 8 or 16 leaves as many places as begin in the image, along each axis by itself. */
Test(network, shapes_follow_the_size) {
    static const struct {
        pb_size image, four, ten;
    } CASES[] = {{{32, 32}, {4, 4}, {2, 2}},        {{224, 224}, {28, 28}, {14, 14}}, {{512, 32}, {64, 4}, {32, 2}},
                 {{33, 47}, {5, 6}, {3, 3}},        {{640, 480}, {80, 60}, {40, 30}}, {{100, 257}, {13, 33}, {7, 17}}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_network network;
        test_must(pb_network_random("efficientnet_lite0", "4,10", CASES[c].image, 1, &network));
        pb_layer_shape image = pb_network_shape(&network, -1), four = pb_network_shape(&network, network.taps[0]),
                       ten = pb_network_shape(&network, network.taps[1]);
        cr_assert(pb_size_equal(image.size, CASES[c].image) && image.channels == 3);
        cr_assert(pb_size_equal(four.size, CASES[c].four) && four.channels == 40);
        cr_assert(pb_size_equal(ten.size, CASES[c].ten) && ten.channels == 112);
        pb_network_free(&network);
    }
}

/* ---- random weights ---- */

/* Mean square of n uniform numbers of variance v: its standard deviation is v * sqrt(0.8 / n). Six of them are allowed, and never
 * more than the range gives. */
static void check_he(const pb_layer *layer) {
    size_t fan = (size_t)(layer->inputs / layer->groups * layer->kernel * layer->kernel), n = (size_t)layer->outputs * fan;
    double sum = 0, squares = 0, v = 2.0 / (double)fan, reach = sqrt(3 * v);
    for (size_t i = 0; i < n; i++) {
        double w = layer->weights[i];
        cr_assert(fabs(w) <= reach * (1 + 1e-6), "%s: %g", layer->name, w);
        sum += w;
        squares += w * w;
    }
    cr_assert(fabs(squares / (double)n - v) <= 6 * v * sqrt(0.8 / (double)n), "%s: mean square %g, expected %g", layer->name,
              squares / (double)n, v);
    cr_assert(fabs(sum / (double)n) <= 6 * sqrt(v / (double)n), "%s: mean %g", layer->name, sum / (double)n);
    for (int o = 0; o < layer->outputs; o++)
        cr_assert_eq(layer->bias[o], 0.0f);
}

Test(network, random_weights_have_hes_variance) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "15", test_square(32), 7, &network));
    for (int l = 0; l < network.layer_count; l++)
        check_he(&network.layers[l]);
    pb_network_free(&network);
}

Test(network, random_weights_depend_on_seed_and_layer_alone) {
    pb_network a, b, other;
    test_must(pb_network_random("efficientnet_lite0", "4", test_square(32), 7, &a));
    test_must(pb_network_random("efficientnet_lite0", "2,6", test_square(64), 7, &b));
    test_must(pb_network_random("efficientnet_lite0", "4", test_square(32), 8, &other));
    for (int l = 0; l < a.layer_count; l++) {
        size_t count = (size_t)a.layers[l].outputs * (size_t)(a.layers[l].inputs / a.layers[l].groups), same = 0;
        cr_assert_arr_eq(a.layers[l].weights, b.layers[l].weights, count * sizeof(float));
        for (size_t i = 0; i < count; i++)
            same += a.layers[l].weights[i] == other.layers[l].weights[i];
        cr_assert_leq(same, 2, "%zu of %zu weights are the same under another seed", same, count);
    }
    pb_network_free(&a);
    pb_network_free(&b);
    pb_network_free(&other);
}

/* He's variance but for the queries, which are divided by the root of 64; norms and scales are the identity; the class token is
 * small, and the position embeddings of another size are those of 37 x 37 places, interpolated. */
Test(network, random_transformers) {
    pb_network network, square, again;
    test_must(pb_network_random("dinov2_vits14", "0", (pb_size){42, 56}, 7, &network));
    test_must(pb_network_random("dinov2_vits14", "0", test_square(37 * 14), 7, &square));
    test_must(pb_network_random("dinov2_vits14", "0,2", test_square(37 * 14), 7, &again));
    pb_layer *attended = &network.layers[3];
    for (size_t i = 0; i < 384 * 384; i++)
        attended->weights[i] *= 8;
    static const int LINEAR[] = {0, 3, 5, 7, 8}, NORMS[] = {2, 6, 10};
    for (int l = 0; l < 5; l++)
        check_he(&network.layers[LINEAR[l]]);
    for (int n = 0; n < 3; n++)
        for (int c = 0; c < 384; c++)
            cr_assert(network.layers[NORMS[n]].weights[c] == 1 && network.layers[NORMS[n]].bias[c] == 0);
    const float *tokens = network.layers[1].weights, *all = square.layers[1].weights;
    double squares = 0;
    for (size_t i = 0; i < (size_t)1370 * 384; i++)
        squares += (double)all[i] * (double)all[i];
    double deviation = sqrt(squares / (1370 * 384));
    cr_assert(fabs(deviation - 0.02) <= 1e-4, "deviation %g", deviation);
    float expected[4 * 3 * 384];
    pb_positions_interpolate(all + 384, 37, 384, (pb_size){3, 4}, expected);
    cr_assert_arr_eq(tokens, all, 384 * sizeof(float));
    cr_assert_arr_eq(tokens + 384, expected, sizeof expected);
    cr_assert_arr_eq(again.layers[1].weights, all, (size_t)1370 * 384 * sizeof(float));
    cr_assert_arr_eq(again.layers[5].weights, square.layers[5].weights, (size_t)384 * 384 * sizeof(float));
    pb_network_free(&again);
    pb_network_free(&square);
    pb_network_free(&network);
}

/* ---- memory ---- */

/* Every allocation is refused in turn: 1 for the list of layers, 2 a layer. */
Test(network, memory_that_is_refused_leaves_nothing) {
    static const char *const NO_WORDS[3] = {NULL};
    for (int hit = 1; hit <= 1 + 2 * LAYERS_TO_BLOCK_2; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_network network;
        pb_status status = pb_network_random("efficientnet_lite0", "2", test_square(32), 1, &network);
        expect_failure(status, &network, PB_E_SYSTEM, NO_WORDS);
    }
    pb_network network = {0};
    pb_network_free(&network);
}

/* 1 for the list of layers, 2 for each linear layer and norm, 1 for tokens and 2 more while they are made; then none is left. */
Test(network, memory_that_is_refused_to_a_transformer_leaves_nothing) {
    static const char *const NO_WORDS[3] = {NULL};
    enum { ALLOCATIONS = 1 + 2 * 8 + 3 };
    for (int hit = 1; hit <= ALLOCATIONS + 1; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_network network;
        pb_status status = pb_network_random("dinov2_vits14", "0", test_square(42), 1, &network);
        if (hit <= ALLOCATIONS)
            expect_failure(status, &network, PB_E_SYSTEM, NO_WORDS);
        else
            test_must(status);
        pb_network_free(&network);
    }
}

/* The kernel's last place ends where the padding does, for every length: the definition in gpu/network.h. */
Test(network, padding_before_and_after_holds_every_place) {
    static const int KERNELS[] = {1, 3, 5, 7};
    for (int c = 0; c < 4 * 2 * 2 * 40; c++) {
        pb_layer layer = {
            .kernel = KERNELS[c % 4], .stride = 1 + c / 4 % 2, .padding = c / 8 % 2 ? PB_PADDING_SAME : PB_PADDING_SYMMETRIC};
        const int length = 1 + c / 16, places = (length + layer.stride - 1) / layer.stride;
        const int before = pb_layer_pad_before(&layer, length), after = pb_layer_pad_after(&layer, length);
        const int reach = before + length + after - layer.kernel;
        cr_assert(before >= 0 && after >= 0 && reach >= 0 && reach / layer.stride + 1 == places, "kernel %d, stride %d, %d long",
                  layer.kernel, layer.stride, length);
        if (layer.padding == PB_PADDING_SAME && layer.kernel > layer.stride)
            cr_assert(after == before || after == before + 1, "the odd pixel is at the end");
    }
}
