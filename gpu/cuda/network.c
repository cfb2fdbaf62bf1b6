/* A compiled network is a list of layers whose plans and memory never change, so that a run of it can be recorded (ahead.c).
 *
 * Order of reading: memory (what a network holds on the device, and which output lies where), plans (found in the cache or made;
 * layers with equal graphs share one), running, compiling, which puts the parts together.
 *
 * Compiling, in the order of `compile`: cuDNN and the device are opened; every layer becomes a graph with a plan, or a kernel of
 * ours (decision 0026); activations and one workspace are allocated; layers are connected to the memory that they read and write;
 * weights are converted and copied. The order matters for errors: a layer without a plan is told before memory is asked for.
 *
 * Running queues, for batch_max images whatever n is: bytes to the network's type, the layers in their order, taps to float for n
 * images. Nothing is allocated and nothing waited for, so a run can be captured (gpu/cuda/ahead.c). Outputs that share a slot are
 * safe because one stream does all layers in order.
 */
#include "gpu/cuda/network.h"

#include "base/log.h"
#include "base/memory.h"
#include "gpu/cuda/network_cache.h"
#include "gpu/cuda/network_edges.h"
#include "gpu/cuda/network_kernels.h"
#include "gpu/cuda/network_plan.h"
#include "gpu/cuda/network_weights.h"
#include "gpu/network_memory.h"

#include <stdio.h>
#include <string.h>

/* What the layers of 64 images want at most (fp32, ViT-L, 448 x 448), and little beside a GPU's memory. Larger batches have plans
 * that need less. */
static const int64_t WORKSPACE_MAX = INT64_C(1) << 30;

enum { KEY_TEXT = PB_GRAPH_TEXT + 8, NO_PLAN = -1 };

/* A layer is a graph with a plan, or a kernel of ours. memory: by role; only WEIGHTS and BIAS are freed with the layer. */
typedef struct cuda_layer {
    char name[64];                 /* for messages */
    int plan;                      /* in pb_compiled.plans; NO_PLAN: a kernel */
    pb_graph graph;                /* of a plan */
    pb_operation operation;        /* of a kernel, and what else it must know */
    pb_cuda_tokens tokens;
    int heads;
    float epsilon;
    void *memory[PB_GRAPH_ROLES];  /* weights and bias are the layer's own, the rest is borrowed */
} cuda_layer;

/* Layers with equal graphs share a plan. The key begins with the precision: fp32 and tf32 have the same graphs. A ResNet's
 * repeated blocks have one plan each kind. */
typedef struct cuda_plan {
    char key[KEY_TEXT];
    pb_plan plan;
} cuda_plan;

/* A compiled network. All device memory, and cuDNN's handle and objects, are its own; place's texts are borrowed. */
struct pb_compiled {
    pb_cuda_place place;
    const pb_cudnn *cudnn;
    cudnnHandle_t handle;
    pb_plan_device device;
    int batch_max, layer_count, tap_count, plan_count, slot_count;
    float mean[3], scale[3];
    float one;                         /* the scale of attention */
    bool attention_by_kernel;          /* it had no plan: not looked for again in the next block */
    size_t pixels;                     /* of an image */
    size_t tap_values[PB_TAPS_MAX];    /* of an image */
    size_t bytes;                      /* of device memory so far */
    void *input, *workspace, *taps[PB_TAPS_MAX], *slots[PB_LAYERS_MAX];
    cuda_layer layers[PB_LAYERS_MAX];
    cuda_plan plans[PB_LAYERS_MAX];
};

/* As pb_cuda_call, which needs a pb_device that is not known here. Told here, the error is not told again by the next launch. */
static pb_status check(const pb_compiled *compiled, cudaError_t error, const char *what) {
    if (error == cudaSuccess)
        return pb_ok();
    (void)cudaGetLastError();
    return pb_fail(PB_E_SYSTEM, "device %s: %s: %s (%s)", compiled->place.device, what, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

/* ---- memory ---- */

/* Device memory full of zeros: places that no image was given for are computed too, and have numbers to compute with. *pointer is
 * NULL on an error. For 0 bytes one is allocated, as NULL would look like a failure. */
static pb_status allocate(pb_compiled *compiled, size_t bytes, const char *what, void **pointer) {
    *pointer = NULL;
    cudaError_t error = cudaMalloc(pointer, bytes > 0 ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* as in check */
        return pb_fail(PB_E_SYSTEM,
                       "device %s: out of memory: a network for batches of %d images has %zu MiB and needs %zu MiB"
                       " more for %s; ask for a smaller batch",
                       compiled->place.device, compiled->batch_max, compiled->bytes >> 20, (bytes >> 20) + 1, what);
    }
    PB_TRY(check(compiled, error, what));
    compiled->bytes += bytes;
    return check(compiled, cudaMemsetAsync(*pointer, 0, bytes, compiled->place.stream), what);
}

/* Input, slots and taps, for batch_max images. Taps lie in the network's type here; widen_taps makes the caller's floats. */
static pb_status allocate_activations(pb_compiled *compiled, const pb_network *network, const pb_network_memory *memory) {
    const size_t each = pb_element_bytes(pb_precision_element(compiled->place.precision)), batch = (size_t)compiled->batch_max;
    const size_t channels = (size_t)pb_precision_input_channels(compiled->place.precision);
    PB_TRY(allocate(compiled, batch * compiled->pixels * channels * each, "images", &compiled->input));
    compiled->slot_count = memory->slot_count;
    for (int s = 0; s < memory->slot_count; s++)
        PB_TRY(allocate(compiled, batch * memory->slot_values[s] * each, "activations", &compiled->slots[s]));
    for (int t = 0; t < network->tap_count; t++) {
        compiled->tap_values[t] = pb_layer_shape_values(pb_network_shape(network, network->taps[t]));
        PB_TRY(allocate(compiled, batch * compiled->tap_values[t] * each, "taps", &compiled->taps[t]));
    }
    return pb_ok();
}

/* Where the output of a layer lies; -1: the images. A layer without a slot is a tap, so the search ends. */
static void *output_of(const pb_compiled *compiled, const pb_network *network, const pb_network_memory *memory, int layer) {
    if (layer < 0)
        return compiled->input;
    if (memory->slots[layer] != PB_SLOT_NONE)
        return compiled->slots[memory->slots[layer]];
    int tap = 0;
    while (network->taps[tap] != layer)
        tap++;
    return compiled->taps[tap];
}

/* Keys and values of a token lie behind its queries. Strides of their tensors are those of the whole token (network_graph.c), so
 * three pointers into one output do. */
static void connect_heads(pb_compiled *compiled, cuda_layer *layer) {
    const size_t each = pb_element_bytes(pb_precision_element(compiled->place.precision));
    char *queries = layer->memory[PB_GRAPH_SOURCE];
    layer->memory[PB_GRAPH_KEYS] = queries + (size_t)layer->tokens.channels * each;
    layer->memory[PB_GRAPH_VALUES] = queries + 2 * (size_t)layer->tokens.channels * each;
    layer->memory[PB_GRAPH_SCALE] = &compiled->one;
}

/* Borrowed pointers, into memory that is never moved. Residuals are a layer's output like any other. */
static void connect(pb_compiled *compiled, const pb_network *network, const pb_network_memory *memory) {
    for (int l = 0; l < network->layer_count; l++) {
        void **at = compiled->layers[l].memory;
        at[PB_GRAPH_SOURCE] = output_of(compiled, network, memory, network->layers[l].source);
        at[PB_GRAPH_OUTPUT] = output_of(compiled, network, memory, l);
        if (network->layers[l].residual >= 0)
            at[PB_GRAPH_RESIDUAL] = output_of(compiled, network, memory, network->layers[l].residual);
        if (network->layers[l].operation == PB_OPERATION_ATTENTION && compiled->layers[l].plan != NO_PLAN)
            connect_heads(compiled, &compiled->layers[l]);
    }
}

/* Copies one of a layer's tensors from host memory to memory of its own. Waits, since `host` is freed next. */
static pb_status place_values(pb_compiled *compiled, cuda_layer *layer, pb_graph_role role, const void *host, size_t bytes) {
    PB_TRY(allocate(compiled, bytes, "weights", &layer->memory[role]));
    PB_TRY(check(compiled,
                 cudaMemcpyAsync(layer->memory[role], host, bytes, cudaMemcpyHostToDevice, compiled->place.stream),
                 "copying weights"));
    return check(compiled, cudaStreamSynchronize(compiled->place.stream), "copying weights");
}

/* Likewise, as the layer's graph wants it. */
static pb_status place_tensor(pb_compiled *compiled, const pb_layer *from, cuda_layer *layer, pb_graph_role role) {
    const size_t bytes = pb_graph_bytes(&layer->graph, role);
    void *host;
    PB_TRY(pb_allocate(&host, bytes, 1, from->name));
    pb_status status = role == PB_GRAPH_WEIGHTS ? pb_graph_weights(from, &layer->graph, host)
                                                : pb_graph_bias(from, &layer->graph, host);
    if (!pb_failed(&status))
        status = place_values(compiled, layer, role, host, bytes);
    pb_release(&host);
    return status;
}

/* Kernels read floats. */
static pb_status place_layer(pb_compiled *compiled, const pb_layer *from, cuda_layer *layer) {
    const size_t row = (size_t)from->outputs * sizeof(float);
    switch (from->operation) {
    case PB_OPERATION_CONVOLUTION:
        PB_TRY(place_tensor(compiled, from, layer, PB_GRAPH_WEIGHTS));
        return place_tensor(compiled, from, layer, PB_GRAPH_BIAS);
    case PB_OPERATION_TOKENS:
        return place_values(compiled, layer, PB_GRAPH_WEIGHTS, from->weights, (size_t)layer->tokens.tokens * row);
    case PB_OPERATION_LAYER_NORM:
        PB_TRY(place_values(compiled, layer, PB_GRAPH_WEIGHTS, from->weights, row));
        return place_values(compiled, layer, PB_GRAPH_BIAS, from->bias, row);
    case PB_OPERATION_MAX_POOL:
    case PB_OPERATION_ATTENTION:
    case PB_OPERATION_PATCHES:
        break;
    }
    return pb_ok();
}

/* The network's own arrays are not needed afterwards. */
static pb_status place_weights(pb_compiled *compiled, const pb_network *network) {
    for (int l = 0; l < network->layer_count; l++)
        PB_TRY(place_layer(compiled, &network->layers[l], &compiled->layers[l]));
    return pb_ok();
}

/* ---- plans ---- */

/* The plan of a key in the cache. A plan that cuDNN does not take back is as one that is not there. An error is a lack of memory
 * only. */
static pb_status recall_plan(const pb_compiled *compiled, const pb_plan_cache *cache, const char *key, pb_plan *plan_out) {
    char *text;
    *plan_out = (pb_plan){0};
    PB_TRY(pb_plan_cache_get(cache, key, &text));
    pb_status status = text ? pb_plan_from_text(&compiled->device, text, plan_out) : pb_ok();
    pb_release(&text);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "plan_refused", "device=\"%s\" why=\"%s\"", compiled->place.device, status.message);
    return pb_ok();
}

/* Makes a plan and puts it into the cache. What is run is the plan as it comes back from its text, which is how cuDNN documents
 * plans made for a described device, so that a job with a cache and one without run the same. */
static pb_status make_plan(const pb_compiled *compiled, pb_plan_cache *cache, const pb_graph *graph, const char *name,
                           const char *key, pb_plan *plan_out) {
    char *text;
    pb_plan made;
    *plan_out = (pb_plan){0};
    PB_TRY(pb_plan_make(&compiled->device, graph, compiled->place.precision, WORKSPACE_MAX, name, &made));
    pb_status status = pb_plan_to_text(&compiled->device, &made, &text);
    pb_plan_free(&compiled->device, &made);
    if (!pb_failed(&status))
        status = pb_plan_cache_put(cache, key, text);
    if (!pb_failed(&status))
        status = pb_plan_from_text(&compiled->device, text, plan_out);
    pb_release(&text);
    return status;
}

/* Finds or makes the plan of a layer's graph. The next free place holds the key while it is looked for, so the loop ends there;
 * the place is taken only when the plan is made. */
static pb_status plan_graph(pb_compiled *compiled, pb_plan_cache *cache, const char *name, cuda_layer *layer) {
    cuda_plan *next = &compiled->plans[compiled->plan_count];
    char text[PB_GRAPH_TEXT];
    pb_graph_text(&layer->graph, text);
    snprintf(next->key, sizeof next->key, "%s %s", pb_precision_name(compiled->place.precision), text);
    layer->plan = 0;
    while (strcmp(compiled->plans[layer->plan].key, next->key) != 0)
        layer->plan++;
    if (layer->plan < compiled->plan_count)
        return pb_ok();
    PB_TRY(recall_plan(compiled, cache, next->key, &next->plan));
    if (!next->plan.plan)
        PB_TRY(make_plan(compiled, cache, &layer->graph, name, next->key, &next->plan));
    compiled->plan_count++;
    return pb_ok();
}

/* A bias in float, or, where cuDNN has no plan for that (depthwise in bf16), in the type of the layer. */
static pb_status plan_with_bias(pb_compiled *compiled, pb_plan_cache *cache, const pb_network *network, int l) {
    const pb_precision precision = compiled->place.precision;
    const pb_element element = pb_precision_element(precision);
    cuda_layer *layer = &compiled->layers[l];
    const char *name = network->layers[l].name;
    PB_TRY(pb_graph_of_layer(network, l, precision, PB_ELEMENT_FLOAT, compiled->batch_max, &layer->graph));
    pb_status status = plan_graph(compiled, cache, name, layer);
    if (status.code != PB_E_UNSUPPORTED || element == PB_ELEMENT_FLOAT || pb_graph_find(&layer->graph, PB_GRAPH_BIAS) < 0)
        return status;
    PB_TRY(pb_graph_of_layer(network, l, precision, element, compiled->batch_max, &layer->graph));
    return plan_graph(compiled, cache, name, layer);
}

/* Makes a layer a kernel of ours. */
static pb_status take_kernel(pb_compiled *compiled, const pb_layer *of, cuda_layer *layer) {
    layer->plan = NO_PLAN;
    if (of->operation == PB_OPERATION_ATTENTION && of->outputs / of->groups > PB_CUDA_HEAD_MAX)
        return pb_fail(PB_E_UNSUPPORTED, "layer %s: device %s has no attention for heads of %d channels in %s; %d at most",
                       of->name, compiled->place.device, of->outputs / of->groups, pb_precision_name(compiled->place.precision),
                       (int)PB_CUDA_HEAD_MAX);
    return pb_ok();
}

/* What messages say, what a kernel must know, and where a graph's keys and values lie. For TOKENS `tokens` counts the class token
 * that they begin with. What a graph does not need is filled in all the same. */
static void describe_layer(const pb_compiled *compiled, const pb_network *network, int l, cuda_layer *layer) {
    const pb_layer *of = &network->layers[l];
    const pb_layer_shape in = pb_network_shape(network, of->source);
    const bool begins = of->operation == PB_OPERATION_TOKENS;
    snprintf(layer->name, sizeof layer->name, "%s", of->name);
    layer->operation = of->operation;
    layer->tokens = (pb_cuda_tokens){.images = (size_t)compiled->batch_max, .tokens = (int)pb_size_area(in.size) + begins,
                                     .channels = of->outputs, .element = pb_precision_element(compiled->place.precision)};
    layer->heads = of->groups;
    layer->epsilon = (float)of->epsilon;
}

/* A graph, or a kernel where there is none. Attention that might be a graph, but has no plan, is a slow kernel: that is said. Not
 * looked for again in the next block: the heuristics would take as long to find nothing. */
static pb_status plan_layer(pb_compiled *compiled, pb_plan_cache *cache, const pb_network *network, int l) {
    const pb_layer *of = &network->layers[l];
    cuda_layer *layer = &compiled->layers[l];
    describe_layer(compiled, network, l, layer);
    const bool attention = of->operation == PB_OPERATION_ATTENTION;
    if (!pb_graph_exists(network, l, compiled->place.precision) || (attention && compiled->attention_by_kernel))
        return take_kernel(compiled, of, layer);
    pb_status status = plan_with_bias(compiled, cache, network, l);
    if (status.code != PB_E_UNSUPPORTED || !attention)
        return status;
    compiled->attention_by_kernel = true;
    pb_log(PB_LOG_WARN, "attention_without_plan", "device=\"%s\" why=\"%s\"", compiled->place.device, status.message);
    return take_kernel(compiled, of, layer);
}

static pb_status plan_layers(pb_compiled *compiled, const pb_network *network, pb_plan_cache *cache) {
    for (int l = 0; l < network->layer_count; l++)
        PB_TRY(plan_layer(compiled, cache, network, l));
    return pb_ok();
}

/* Plans of all layers, from the cache as far as it has them. What is new is saved even when a later layer has no plan. The
 * cache's maker is cuDNN's version and the device's model; its troubles are lines in the log, never errors. */
static pb_status plan_network(pb_compiled *compiled, const pb_network *network) {
    char version[PB_CUDNN_VERSION_TEXT], *maker;
    pb_plan_cache cache;
    pb_cudnn_version_text(compiled->cudnn, version);
    const size_t length = strlen(version) + strlen(compiled->device.model) + 3;
    PB_TRY(pb_allocate(&maker, length, 1, "a plan cache"));
    snprintf(maker, length, "%s; %s", version, compiled->device.model);
    pb_status status = pb_plan_cache_open(compiled->place.plans, maker, &cache);
    pb_release(&maker);
    if (pb_failed(&status))
        return status;
    if (cache.trouble[0])
        pb_log(PB_LOG_WARN, "plans_not_read", "path=\"%s\" why=\"%s\"", cache.path, cache.trouble);
    status = plan_layers(compiled, network, &cache);
    pb_status saved = pb_plan_cache_save(&cache);
    if (pb_failed(&saved))
        pb_log(PB_LOG_WARN, "plans_not_saved", "why=\"%s\"", saved.message);
    pb_plan_cache_close(&cache);
    return status;
}

/* ---- running ---- */

/* One launch of a layer that is a kernel of ours. */
static cudaError_t launch(const pb_compiled *compiled, const cuda_layer *layer) {
    const cudaStream_t stream = compiled->place.stream;
    const void *in = layer->memory[PB_GRAPH_SOURCE];
    void *out = layer->memory[PB_GRAPH_OUTPUT];
    switch (layer->operation) {
    case PB_OPERATION_TOKENS:
        return pb_cuda_network_tokens(stream, layer->tokens, in, layer->memory[PB_GRAPH_WEIGHTS], out);
    case PB_OPERATION_LAYER_NORM:
        return pb_cuda_network_norm(stream, layer->tokens, in, layer->memory[PB_GRAPH_WEIGHTS], layer->memory[PB_GRAPH_BIAS],
                                    layer->epsilon, out);
    case PB_OPERATION_ATTENTION:
        return pb_cuda_network_attention(stream, layer->tokens, layer->heads, in, out);
    case PB_OPERATION_PATCHES:
        return pb_cuda_network_patches(stream, layer->tokens, in, out);
    case PB_OPERATION_CONVOLUTION:
    case PB_OPERATION_MAX_POOL:
        break;
    }
    return cudaErrorNotSupported;
}

static pb_status queue_layer(pb_compiled *compiled, const cuda_layer *layer) {
    char where[400];
    if (layer->plan == NO_PLAN) {
        snprintf(where, sizeof where, "layer %s", layer->name);
        return check(compiled, launch(compiled, layer), where);
    }
    pb_status status = pb_plan_run(&compiled->device, compiled->handle, &compiled->plans[layer->plan].plan, &layer->graph,
                                   layer->memory, compiled->workspace);
    if (!pb_failed(&status))
        return status;
    snprintf(where, sizeof where, "device %.300s: layer %s", compiled->place.device, layer->name);
    return pb_prefix(status, where);
}

/* Queues all layers, on whatever the input holds. */
static pb_status queue_layers(pb_compiled *compiled) {
    for (int l = 0; l < compiled->layer_count; l++)
        PB_TRY(queue_layer(compiled, &compiled->layers[l]));
    return pb_ok();
}

/* For the n images that there are. */
static pb_status widen_taps(pb_compiled *compiled, int n, float *const *taps) {
    const pb_element element = pb_precision_element(compiled->place.precision);
    for (int t = 0; t < compiled->tap_count; t++)
        PB_TRY(check(compiled, pb_cuda_network_tap(compiled->place.stream, compiled->taps[t],
                                                   (size_t)n * compiled->tap_values[t], element, taps[t]), "taps"));
    return pb_ok();
}

/* Only n images are converted; the others' places hold what an earlier batch left, or zeros, and what the layers make of them is
 * not read. */
pb_status pb_cuda_network_run(pb_compiled *compiled, const uint8_t *images, int n, float *const *taps) {
    PB_ASSERT(n >= 0 && n <= compiled->batch_max);
    if (n == 0)
        return pb_ok();
    const pb_cuda_place *place = &compiled->place;
    PB_TRY(check(compiled, pb_cuda_network_input(place->stream, images, (size_t)n * compiled->pixels, compiled->mean,
                                                 compiled->scale, pb_precision_input_channels(place->precision),
                                                 pb_precision_element(place->precision), compiled->input), "images"));
    PB_TRY(queue_layers(compiled));
    return widen_taps(compiled, n, taps);
}

/* ---- compiling ---- */

/* What can be said before the first plan. The handle's stream is the device's, so that plans run in its order. */
static pb_status begin(pb_compiled *compiled, const pb_network *network) {
    compiled->layer_count = network->layer_count;
    compiled->tap_count = network->tap_count;
    compiled->pixels = pb_size_area(network->size);
    compiled->one = 1;
    memcpy(compiled->mean, network->mean, sizeof compiled->mean);
    memcpy(compiled->scale, network->scale, sizeof compiled->scale);
    PB_TRY(pb_cudnn_open(&compiled->cudnn));
    PB_TRY(pb_cudnn_check(compiled->cudnn, compiled->cudnn->cudnnCreate(&compiled->handle), "beginning"));
    PB_TRY(pb_cudnn_check(compiled->cudnn, compiled->cudnn->cudnnSetStream(compiled->handle, compiled->place.stream), "stream"));
    return pb_plan_device_open(compiled->cudnn, compiled->place.ordinal, &compiled->device);
}

/* One for all plans, which run one after the other. */
static pb_status allocate_workspace(pb_compiled *compiled) {
    int64_t most = 0;
    for (int p = 0; p < compiled->plan_count; p++)
        most = compiled->plans[p].plan.workspace > most ? compiled->plans[p].plan.workspace : most;
    return allocate(compiled, (size_t)most, "a workspace", &compiled->workspace);
}

/* Leaves whatever it has made in *compiled, for pb_cuda_network_free. */
static pb_status compile(pb_compiled *compiled, const pb_network *network) {
    pb_network_memory memory;
    pb_network_plan_memory(network, &memory);
    PB_TRY(begin(compiled, network));
    PB_TRY(plan_network(compiled, network));
    PB_TRY(allocate_activations(compiled, network, &memory));
    PB_TRY(allocate_workspace(compiled));
    connect(compiled, network, &memory);
    return place_weights(compiled, network);
}

pb_status pb_cuda_network_compile(const pb_cuda_place *place, const pb_network *network, int batch_max,
                                  pb_compiled **compiled_out) {
    PB_ASSERT(network->layer_count <= PB_LAYERS_MAX && network->tap_count <= PB_TAPS_MAX && batch_max >= 1);
    *compiled_out = NULL;
    pb_compiled *compiled;
    PB_TRY(pb_allocate(&compiled, 1, sizeof *compiled, "a compiled network"));
    compiled->place = *place;
    compiled->batch_max = batch_max;
    pb_status status = compile(compiled, network);
    if (pb_failed(&status)) {
        pb_cuda_network_free(compiled);
        return status;
    }
    *compiled_out = compiled;
    return status;
}

/* Also of a network that was compiled in part. cudaFree waits for what still uses the memory. */
void pb_cuda_network_free(pb_compiled *compiled) {
    if (!compiled)
        return;
    (void)cudaStreamSynchronize(compiled->place.stream);
    for (int l = 0; l < compiled->layer_count; l++) {
        (void)cudaFree(compiled->layers[l].memory[PB_GRAPH_WEIGHTS]);
        (void)cudaFree(compiled->layers[l].memory[PB_GRAPH_BIAS]);
    }
    for (int p = 0; p < compiled->plan_count; p++)
        pb_plan_free(&compiled->device, &compiled->plans[p].plan);
    for (int s = 0; s < compiled->slot_count; s++)
        (void)cudaFree(compiled->slots[s]);
    for (int t = 0; t < compiled->tap_count; t++)
        (void)cudaFree(compiled->taps[t]);
    (void)cudaFree(compiled->input);
    (void)cudaFree(compiled->workspace);
    pb_plan_device_close(&compiled->device);
    if (compiled->handle)
        (void)compiled->cudnn->cudnnDestroy(compiled->handle);
    pb_release(&compiled);
}

pb_status pb_cuda_network_library(char text[PB_CUDA_NETWORK_TEXT]) {
    const pb_cudnn *cudnn;
    text[0] = '\0';
    PB_TRY(pb_cudnn_open(&cudnn));
    _Static_assert((int)PB_CUDA_NETWORK_TEXT == (int)PB_CUDNN_VERSION_TEXT, "one text");
    pb_cudnn_version_text(cudnn, text);
    return pb_ok();
}
