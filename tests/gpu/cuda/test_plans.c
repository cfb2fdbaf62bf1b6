/* Plans of every layer of every backbone, made by the real cuDNN for an H100 that is described, on a machine without a GPU.
 *
 * A layer without a plan fails the test, unless it stands in WITHOUT. Layers whose bias had to take the layer's own type are
 * counted: docs/decisions/0018-cudnn-graphs.md says which they are.
 *
 * One test a precision and size, so that none takes minutes: of 62 different layers, each plan of half precision compiles a
 * kernel. Plans go to a cache beside the test; a second run takes them from there. PB_PLANS_FOLDER in CMakeLists.txt.
 */
#include "base/memory.h"
#include "gpu/cuda/network_cache.h"
#include "gpu/cuda/network_plan.h"
#include "gpu/device.h"
#include "h100.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 64, DISTINCT_MAX = 100 };

/* At most so much, as gpu/cuda/network.c. */
static const int64_t WORKSPACE_MAX = INT64_C(1) << 30;

/* Layers that have no plan, as "precision backbone layer". There are none. */
static const char *const WITHOUT[] = {NULL};

/* What is counted of a precision and size. */
typedef struct tally {
    pb_precision precision;
    pb_plan_device device;
    pb_plan_cache cache;
    char seen[DISTINCT_MAX][PB_GRAPH_TEXT];
    int distinct, made, io_bias, without, not_listed;
} tally;

static bool is_listed(const tally *of, const pb_network *network, int layer) {
    char text[200];
    snprintf(text, sizeof text, "%s %s %s", pb_precision_name(of->precision), network->backbone, network->layers[layer].name);
    for (int w = 0; WITHOUT[w]; w++)
        if (strcmp(WITHOUT[w], text) == 0)
            return true;
    return false;
}

/* Makes a plan of a graph and puts it into the cache. *text_out: as it is there; released by pb_release. */
static pb_status make_plan(tally *of, const pb_graph *graph, const char *name, const char *key, char **text_out) {
    pb_plan plan;
    PB_TRY(pb_plan_make(&of->device, graph, of->precision, WORKSPACE_MAX, name, &plan));
    test_must(pb_plan_to_text(&of->device, &plan, text_out));
    test_must(pb_plan_cache_put(&of->cache, key, *text_out));
    pb_plan_free(&of->device, &plan);
    of->made++;
    return pb_ok();
}

/* Takes the text of a graph's plan from the cache or makes it; cuDNN must take it back. */
static pb_status find_plan(tally *of, const pb_graph *graph, const char *name) {
    char text[PB_GRAPH_TEXT], key[PB_GRAPH_TEXT + 8], *plan_text;
    pb_plan plan;
    pb_graph_text(graph, text);
    snprintf(key, sizeof key, "%s %s", pb_precision_name(of->precision), text);
    test_must(pb_plan_cache_get(&of->cache, key, &plan_text));
    if (!plan_text)
        PB_TRY(make_plan(of, graph, name, key, &plan_text));
    test_must(pb_plan_from_text(&of->device, plan_text, &plan));
    cr_assert(plan.workspace >= 0 && plan.workspace <= WORKSPACE_MAX);
    pb_release(&plan_text);
    pb_plan_free(&of->device, &plan);
    return pb_ok();
}

/* The plan of a layer, as the device looks for it. */
static void check_layer(tally *of, const pb_network *network, int layer) {
    const pb_element element = pb_precision_element(of->precision);
    const char *name = network->layers[layer].name;
    pb_graph graph;
    if (!pb_graph_exists(network, layer, of->precision))
        return;
    test_must(pb_graph_of_layer(network, layer, of->precision, PB_ELEMENT_FLOAT, BATCH, &graph));
    pb_graph_text(&graph, of->seen[of->distinct]);
    int same = 0;
    while (strcmp(of->seen[same], of->seen[of->distinct]) != 0)
        same++;
    if (same < of->distinct)
        return;
    cr_assert_lt(++of->distinct, DISTINCT_MAX);
    pb_status status = find_plan(of, &graph, name);
    if (status.code == PB_E_UNSUPPORTED && element != PB_ELEMENT_FLOAT) {
        test_must(pb_graph_of_layer(network, layer, of->precision, element, BATCH, &graph));
        status = find_plan(of, &graph, name);
        of->io_bias += !pb_failed(&status);
    }
    if (!pb_failed(&status))
        return;
    of->without++;
    of->not_listed += !is_listed(of, network, layer);
    fprintf(stderr, "%s: %s\n", network->backbone, status.message);
}

static bool is_transformer(const char *backbone) { return strncmp(backbone, "dinov2", 6) == 0; }

/* Of convolutional networks or of transformers, so many different layers. */
static void check_backbones(pb_precision precision, pb_size size, bool transformers, int distinct, int io_bias) {
    static tally of;
    const pb_cudnn *cudnn;
    const char *const *names = pb_backbone_names();
    char version[PB_CUDNN_VERSION_TEXT], maker[2000];
    of = (tally){.precision = precision};
    test_must(pb_cudnn_open(&cudnn));
    test_must(pb_plan_device_describe(cudnn, H100, &of.device));
    pb_cudnn_version_text(cudnn, version);
    snprintf(maker, sizeof maker, "%s %s %dx%d %s", version, pb_precision_name(precision), size.width, size.height, H100);
    test_must(pb_plan_cache_open(PB_PLANS_FOLDER, maker, &of.cache));
    for (int b = 0; names[b]; b++) {
        const char *taps;
        int side;
        pb_network network;
        if (is_transformer(names[b]) != transformers)
            continue;
        test_must(pb_backbone_defaults(names[b], &taps, &side));
        test_must(pb_network_outline(names[b], taps, size, &network));
        for (int l = 0; l < network.layer_count; l++)
            check_layer(&of, &network, l);
        pb_network_free(&network);
    }
    test_must(pb_plan_cache_save(&of.cache));
    printf(
        "%s, %s, %d x %d, batch %d: %d different layers, %d plans made, %d with a bias of the layer's type, %d without a plan\n",
        version, pb_precision_name(precision), size.width, size.height, BATCH, of.distinct, of.made, of.io_bias, of.without);
    cr_assert_eq(of.not_listed, 0, "%d layers without a plan are not in the list", of.not_listed);
    cr_assert_eq(of.io_bias, io_bias);
    cr_assert_eq(of.distinct, distinct);
    pb_plan_cache_close(&of.cache);
    pb_plan_device_close(&of.device);
}

/* Of one node: the cache that they share is worth something only if cuDNN takes a plan back for another GPU. */
Test(plans, serve_all_gpus_of_a_model) {
    const pb_cudnn *cudnn;
    pb_plan_device first, second;
    pb_plan made, again;
    pb_network network;
    pb_graph graph;
    char description[sizeof H100 + 16], *text;
    const char *id = strstr(H100, "\"cudaDeviceId\":0"), *pci = strstr(H100, "\"pciDeviceId\":0");
    cr_assert(id && pci);
    snprintf(description, sizeof description, "%.*s\"cudaDeviceId\":3%.*s\"pciDeviceId\":65%s", (int)(id - H100), H100,
             (int)(pci - id - 16), id + 16, pci + 15);
    test_must(pb_cudnn_open(&cudnn));
    test_must(pb_plan_device_describe(cudnn, H100, &first));
    test_must(pb_plan_device_describe(cudnn, description, &second));
    cr_assert_str_neq(first.description, second.description);
    cr_assert_str_eq(first.model, second.model);
    test_must(pb_network_outline("resnet18", "1", (pb_size){224, 224}, &network));
    test_must(pb_graph_of_layer(&network, 0, PB_PRECISION_FP32, PB_ELEMENT_FLOAT, BATCH, &graph));
    test_must(pb_plan_make(&first, &graph, PB_PRECISION_FP32, WORKSPACE_MAX, "stem", &made));
    test_must(pb_plan_to_text(&first, &made, &text));
    test_must(pb_plan_from_text(&second, text, &again));
    cr_assert_eq(again.workspace, made.workspace);
    pb_plan_free(&second, &again);
    pb_plan_free(&first, &made);
    pb_release(&text);
    pb_network_free(&network);
    pb_plan_device_close(&second);
    pb_plan_device_close(&first);
}

static const pb_size SQUARE = {224, 224}, RECTANGLE = {320, 224}, DEFAULT = {448, 448};

Test(plans, fp32_square) { check_backbones(PB_PRECISION_FP32, SQUARE, false, 62, 0); }
Test(plans, fp32_rectangle) { check_backbones(PB_PRECISION_FP32, RECTANGLE, false, 62, 0); }
Test(plans, tf32_square) { check_backbones(PB_PRECISION_TF32, SQUARE, false, 62, 0); }
Test(plans, tf32_rectangle) { check_backbones(PB_PRECISION_TF32, RECTANGLE, false, 62, 0); }
Test(plans, fp16_square) { check_backbones(PB_PRECISION_FP16, SQUARE, false, 62, 0); }
Test(plans, fp16_rectangle) { check_backbones(PB_PRECISION_FP16, RECTANGLE, false, 62, 0); }
Test(plans, bf16_square) { check_backbones(PB_PRECISION_BF16, SQUARE, false, 62, 9); }
Test(plans, bf16_rectangle) { check_backbones(PB_PRECISION_BF16, RECTANGLE, false, 62, 9); }

/* Patch embedding, three linear layers and one with GELU of each of the three; attention in all but fp32. */
Test(plans, fp32_tokens) { check_backbones(PB_PRECISION_FP32, DEFAULT, true, 15, 0); }
Test(plans, tf32_tokens) { check_backbones(PB_PRECISION_TF32, DEFAULT, true, 18, 0); }
Test(plans, fp16_tokens) { check_backbones(PB_PRECISION_FP16, DEFAULT, true, 18, 0); }
Test(plans, bf16_tokens) { check_backbones(PB_PRECISION_BF16, DEFAULT, true, 18, 0); }
