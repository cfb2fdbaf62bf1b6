/* Layers to graphs. "building" draws a layer's operations and tensors, in the order in which cuDNN knows them fused
 * (network_graph.h); "text" writes a graph in one line, which is the key of its plan. Plain data: nothing here fails but for a
 * layer that has no graph. */
#include "gpu/cuda/network_graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- building ---- */

/* Adds a tensor; its index. */
static int add(pb_graph *graph, pb_graph_tensor tensor) {
    PB_ASSERT(graph->tensor_count < PB_GRAPH_TENSORS_MAX);
    graph->tensors[graph->tensor_count] = tensor;
    return graph->tensor_count++;
}

/* Adds a tensor whose channels lie together. */
static int add_tensor(pb_graph *graph, pb_graph_role role, pb_element element, int64_t n, int64_t c, int64_t h, int64_t w) {
    return add(graph, (pb_graph_tensor){role, element, {n, c, h, w}, {h * w * c, 1, w * c, c}});
}

/* Adds an operation, without a window and without an upper limit. */
static pb_graph_operation *add_operation(pb_graph *graph, pb_graph_verb verb, int x, int other, int y) {
    PB_ASSERT(graph->operation_count < PB_GRAPH_OPERATIONS_MAX);
    pb_graph_operation *operation = &graph->operations[graph->operation_count++];
    *operation = (pb_graph_operation){.verb = verb, .x = x, .other = other, .values = -1, .scale = -1, .y = y, .upper = INFINITY};
    return operation;
}

/* Gives an operation the window of a layer on an input of a size. The odd pixel of SAME is in `after`: cuDNN takes paddings that
 * differ. */
static void set_window(pb_graph_operation *operation, const pb_layer *layer, pb_size size) {
    const int lengths[2] = {size.height, size.width};
    for (int axis = 0; axis < 2; axis++) {
        operation->window[axis] = layer->kernel;
        operation->strides[axis] = layer->stride;
        operation->before[axis] = pb_layer_pad_before(layer, lengths[axis]);
        operation->after[axis] = pb_layer_pad_after(layer, lengths[axis]);
    }
}

/* What a layer's graph is built of. */
typedef struct draft {
    pb_graph *graph;
    const pb_layer *layer;
    pb_layer_shape output;
    int64_t batch;
    pb_element element; /* of what reaches memory, but for the bias */
    int left;           /* operations still to come; the last one's result is the output */
} draft;

/* The result of the next operation. All but the last are virtual floats: intermediate sums are never rounded to the memory's
 * type. */
static int add_result(draft *to) {
    const bool last = --to->left == 0;
    return add_tensor(to->graph, last ? PB_GRAPH_OUTPUT : PB_GRAPH_VIRTUAL, last ? to->element : PB_ELEMENT_FLOAT, to->batch,
                      to->output.channels, to->output.size.height, to->output.size.width);
}

/* x + other, as a new tensor. */
static int add_sum(draft *to, int x, int other) {
    const int y = add_result(to);
    add_operation(to->graph, PB_GRAPH_ADD, x, other, y);
    return y;
}

/* Convolution, [residual,] bias, [activation]: `left` counts them, so that the last one's result is the output. A bias of dims 1
 * x outputs x 1 x 1 is repeated over images and places. */
static void draw_convolution(draft *to, int source, int64_t inputs, pb_size size, pb_element bias) {
    const pb_layer *layer = to->layer;
    const bool active = layer->activation != PB_ACTIVATION_NONE;
    to->left = 2 + (layer->residual >= 0) + active;
    const int weights = add_tensor(to->graph, PB_GRAPH_WEIGHTS, to->element, layer->outputs, inputs / layer->groups,
                                   layer->kernel, layer->kernel);
    int y = add_result(to);
    set_window(add_operation(to->graph, PB_GRAPH_CONVOLUTION, source, weights, y), layer, size);
    if (layer->residual >= 0)
        y = add_sum(to, y, add_tensor(to->graph, PB_GRAPH_RESIDUAL, to->element, to->batch, to->output.channels,
                                      to->output.size.height, to->output.size.width));
    y = add_sum(to, y, add_tensor(to->graph, PB_GRAPH_BIAS, bias, 1, layer->outputs, 1, 1));
    if (active) {
        const int sum = y;
        y = add_result(to);
        const pb_graph_verb verb = layer->activation == PB_ACTIVATION_GELU ? PB_GRAPH_GELU : PB_GRAPH_RELU;
        pb_graph_operation *activation = add_operation(to->graph, verb, sum, -1, y);
        if (layer->activation == PB_ACTIVATION_RELU6)
            activation->upper = 6;
    }
}

/* One operation; no activation, no residual (trouble_of). */
static void draw_pool(draft *to, int source, pb_size size) {
    to->left = 1;
    const int y = add_result(to);
    set_window(add_operation(to->graph, PB_GRAPH_MAX_POOL, source, -1, y), to->layer, size);
}

/* A part of what attention reads: the heads of a token side by side, tokens `stride` apart. */
static int add_heads(draft *to, pb_graph_role role, int64_t stride) {
    const int64_t heads = to->layer->groups, depth = to->output.channels / heads, tokens = to->output.size.width;
    return add(to->graph,
               (pb_graph_tensor){role, to->element, {to->batch, heads, tokens, depth}, {tokens * stride, depth, stride, 1}});
}

/* The scale is 1: it is in the weights of the queries. It is said all the same, because what none means is not documented. */
static void draw_attention(draft *to) {
    const int64_t channels = to->output.channels;
    const int queries = add_heads(to, PB_GRAPH_SOURCE, 3 * channels), keys = add_heads(to, PB_GRAPH_KEYS, 3 * channels);
    const int values = add_heads(to, PB_GRAPH_VALUES, 3 * channels), y = add_heads(to, PB_GRAPH_OUTPUT, channels);
    pb_graph_operation *attention = add_operation(to->graph, PB_GRAPH_ATTENTION, queries, keys, y);
    attention->values = values;
    attention->scale = add(to->graph, (pb_graph_tensor){PB_GRAPH_SCALE, PB_ELEMENT_FLOAT, {1, 1, 1, 1}, {1, 1, 1, 1}});
}

bool pb_graph_exists(const pb_network *network, int layer, pb_precision precision) {
    const pb_layer *of = &network->layers[layer];
    const size_t head = (size_t)(of->outputs / of->groups) * pb_element_bytes(pb_precision_element(precision));
    switch (of->operation) {
    case PB_OPERATION_CONVOLUTION:
    case PB_OPERATION_MAX_POOL:
        return true;
    case PB_OPERATION_ATTENTION:
        return precision != PB_PRECISION_FP32 && head % 16 == 0;
    case PB_OPERATION_TOKENS:
    case PB_OPERATION_LAYER_NORM:
    case PB_OPERATION_PATCHES:
        break;
    }
    return false;
}

/* Why a layer has no graph; NULL when it has one. */
static const char *trouble_of(const pb_network *network, int layer_index, pb_precision precision) {
    const pb_layer *layer = &network->layers[layer_index];
    const bool pool = layer->operation == PB_OPERATION_MAX_POOL;
    if (!pb_graph_exists(network, layer_index, precision))
        return "a kernel of ours";
    if (pool && (layer->activation != PB_ACTIVATION_NONE || layer->residual >= 0))
        return "max pooling with an activation or a residual";
    if (layer->source < 0 && layer->groups > 1)
        return "the image's channels are padded, so that a layer on them cannot have groups";
    return NULL;
}

/* The image's channels are padded to 16 bytes (pb_precision_input_channels), and so are the weights' (network_weights.c): zeros
 * add nothing. */
pb_status pb_graph_of_layer(const pb_network *network, int layer, pb_precision precision, pb_element bias, int batch,
                            pb_graph *graph_out) {
    PB_ASSERT(layer >= 0 && layer < network->layer_count && batch >= 1);
    *graph_out = (pb_graph){0};
    const pb_layer *of = &network->layers[layer];
    const char *trouble = trouble_of(network, layer, precision);
    if (trouble)
        return pb_fail(PB_E_UNSUPPORTED, "layer %s: no graph for cuDNN: %s", of->name, trouble);
    const pb_size size = pb_network_shape(network, of->source).size;
    draft to = {.graph = graph_out, .layer = of, .output = pb_network_shape(network, layer), .batch = batch,
                .element = pb_precision_element(precision)};
    if (of->operation == PB_OPERATION_ATTENTION) {
        draw_attention(&to);
        return pb_ok();
    }
    const int64_t inputs = of->source < 0 ? pb_precision_input_channels(precision) : of->inputs;
    const int source = add_tensor(graph_out, PB_GRAPH_SOURCE, to.element, batch, inputs, size.height, size.width);
    if (of->operation == PB_OPERATION_MAX_POOL)
        draw_pool(&to, source, size);
    else
        draw_convolution(&to, source, inputs, size, bias);
    return pb_ok();
}

/* ---- text ---- */

typedef struct writer {
    char *text;
    size_t used;
} writer;

/* Asserts that the text fits: PB_GRAPH_TEXT is more than the longest graph's. */
__attribute__((format(printf, 2, 3))) static void put(writer *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(to->text + to->used, PB_GRAPH_TEXT - to->used, format, arguments);
    va_end(arguments);
    PB_ASSERT(length >= 0 && (size_t)length < PB_GRAPH_TEXT - to->used);
    to->used += (size_t)length;
}

static void put_numbers(writer *to, const int64_t *numbers, int count) {
    for (int i = 0; i < count; i++)
        put(to, "%s%" PRId64, i ? "," : "", numbers[i]);
}

/* verb(x[,other][,values,scale])[wWINDOW sSTRIDES pBEFORE qAFTER][<=upper]->y, without the blanks. */
static void put_operation(writer *to, const pb_graph_operation *operation) {
    static const char *const VERBS[] = {"conv", "add", "relu", "gelu", "maxpool", "attention"};
    put(to, "%s(%d", VERBS[operation->verb], operation->x);
    if (operation->other >= 0)
        put(to, ",%d", operation->other);
    if (operation->values >= 0)
        put(to, ",%d,%d", operation->values, operation->scale);
    put(to, ")");
    if (operation->window[0]) {
        put(to, "w");
        put_numbers(to, operation->window, 2);
        put(to, "s");
        put_numbers(to, operation->strides, 2);
        put(to, "p");
        put_numbers(to, operation->before, 2);
        put(to, "q");
        put_numbers(to, operation->after, 2);
    }
    if (isfinite(operation->upper))
        put(to, "<=%g", operation->upper);
    put(to, "->%d ", operation->y);
}

void pb_graph_text(const pb_graph *graph, char text[PB_GRAPH_TEXT]) {
    static const char ROLES[] = "vxwbrykus";
    static const char *const ELEMENTS[] = {
        [PB_ELEMENT_FLOAT] = "float", [PB_ELEMENT_HALF] = "half", [PB_ELEMENT_BFLOAT] = "bfloat"};
    writer to = {.text = text};
    text[0] = '\0';
    for (int o = 0; o < graph->operation_count; o++)
        put_operation(&to, &graph->operations[o]);
    for (int t = 0; t < graph->tensor_count; t++) {
        const pb_graph_tensor *tensor = &graph->tensors[t];
        put(&to, "%s%c%d:%s[", t ? " " : "", ROLES[tensor->role], t, ELEMENTS[tensor->element]);
        put_numbers(&to, tensor->dims, 4);
        put(&to, "/");
        put_numbers(&to, tensor->strides, 4);
        put(&to, "]");
    }
}

int pb_graph_find(const pb_graph *graph, pb_graph_role role) {
    for (int t = 0; t < graph->tensor_count; t++)
        if (graph->tensors[t].role == role)
            return t;
    return -1;
}
