/* Networks on the "cpu" device, by oneDNN.
 *
 * One image at a time: a network is compiled once, for a batch of one and one thread, and each thread runs whole images of its
 * own through it. So the result of an image cannot depend on the batch, on its place there or on the number of threads
 * (docs/ARCHITECTURE.md, invariant 4), and its activations, in memory that is used again as soon as a layer's output is no longer
 * needed, stay in the cache.
 * 3x3 convolutions of many channels go through gpu/cpu_winograd.h, for which oneDNN multiplies matrices. Everything is NHWC. On
 * AVX2 and AVX-512 oneDNN has generated code for all our convolutions in this layout (where the choice is left to it, AVX2 ends
 * in its reference code), and taps need no conversion: their layers write to the caller's memory.
 *
 * Order of reading. pb_compiled is the network: layers, read only, that all threads share. A cpu_worker is what a thread owns:
 * activations, scratch memory, and oneDNN's memory objects, which are pointers with a layout. Then "calls that another major
 * version spells differently": everything that touches oneDNN 2's descriptors, so that a change of version is a change of that
 * part. "compiling" makes both from a pb_network; "running" is one loop over the layers for each image.
 *
 * A layer is one of three: a primitive (convolution or pooling with everything behind it as post-ops), Winograd's transforms
 * around sixteen products (decision 0020), or an operation on tokens (gpu/cpu_network_tokens.c, decision 0017). Why one image at
 * a time: decision 0004.
 *
 * Errors. oneDNN's codes travel as dnnl_status_t up to where the name of a layer or network is known; `check` makes a pb_status
 * there: memory PB_E_SYSTEM, what oneDNN has not PB_E_UNSUPPORTED, the rest PB_E_INTERNAL, since all arguments are ours. Whatever
 * was made before an error is released by pb_cpu_compiled_free, as oneDNN's destroy functions take NULL.
 */
#include "gpu/cpu.h"
#include "gpu/cpu_network_tokens.h"

#include "base/memory.h"
#include "gpu/cpu_winograd.h"
#include "gpu/network_memory.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <string.h>

/* Channels repeat every 3 values and registers every 16: a stretch of 48 begins both anew, so that its loop has no remainders. */
enum { STRETCH = 48 };

/* One layer in oneDNN's form. All of it is made when the network is compiled and only read afterwards, so threads share it
 * without a lock. */
typedef struct cpu_layer {
    dnnl_primitive_t primitive;
    bool by_winograd;      /* the primitive is then the product of one position */
    pb_winograd winograd;
    dnnl_memory_t weights[PB_WINOGRAD_POSITIONS], bias; /* read only, shared by all threads; NULL for pooling; [0] without
                                                         * Winograd */
    bool by_tokens;        /* then the primitive and all these are NULL, and this is used */
    pb_cpu_token_layer tokens;
    pb_layer_shape input, output;
    int source, residual; /* as in pb_layer */
} cpu_layer;

/* What one thread needs for itself. Memory objects are views of the slots, one a layer; index 0 is the network's input. No thread
 * touches the worker of another. */
typedef struct cpu_worker {
    dnnl_stream_t stream;
    float *input, *scratchpad;
    float *slots[PB_LAYERS_MAX]; /* of pb_compiled.memory; a tap is in the caller's */
    dnnl_memory_t outputs[PB_LAYERS_MAX + 1], scratchpads[PB_LAYERS_MAX];
    pb_winograd_memory band;
    dnnl_memory_t values[PB_LAYERS_MAX], products[PB_LAYERS_MAX]; /* of one position of a band; NULL without Winograd */
} cpu_worker;

/* A network ready to run. workers: one for each thread that a batch can occupy, the smaller of the device's threads and
 * batch_max. mean and scale repeat the network's three values over a stretch. kernels are for the transforms of Winograd; oneDNN
 * chooses its own code. */
struct pb_compiled {
    dnnl_engine_t engine;
    int batch_max, layer_count, tap_count, worker_count;
    int taps[PB_TAPS_MAX];
    float mean[STRETCH], scale[STRETCH];
    pb_network_memory memory;
    pb_layer_shape input;
    const pb_cpu_kernels *kernels;
    cpu_layer layers[PB_LAYERS_MAX];
    cpu_worker *workers;
};

/* ---- the calls that another major version of oneDNN spells differently ---- */

#if DNNL_VERSION_MAJOR != 2
#error "written for oneDNN 2: version 3 made memory descriptors opaque and dropped operation descriptors"
#endif

/* An activation of one image: oneDNN names dimensions in the order N, C, H, W whatever the layout, which the tag gives. */
static dnnl_status_t describe_nhwc(dnnl_memory_desc_t *desc, pb_layer_shape shape) {
    const dnnl_dims_t dims = {1, shape.channels, shape.size.height, shape.size.width};
    return dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, dnnl_nhwc);
}

/* The layout of pb_layer.weights, or with `any` one that oneDNN is free to choose. Groups are a dimension of their own in oneDNN:
 * five dimensions with, four without. */
static dnnl_status_t describe_weights(dnnl_memory_desc_t *desc, const pb_layer *layer, bool any) {
    const dnnl_dims_t grouped = {layer->groups, layer->outputs / layer->groups, layer->inputs / layer->groups, layer->kernel,
                                 layer->kernel};
    bool groups = layer->groups > 1;
    return dnnl_memory_desc_init_by_tag(desc, groups ? 5 : 4, groups ? grouped : grouped + 1, dnnl_f32,
                                        any ? dnnl_format_tag_any : groups ? dnnl_goihw : dnnl_oihw);
}

static dnnl_status_t describe_bias(dnnl_memory_desc_t *desc, const pb_layer *layer) {
    const dnnl_dims_t dims = {layer->outputs};
    return dnnl_memory_desc_init_by_tag(desc, 1, dims, dnnl_f32, dnnl_x);
}

/* What happens to a sum before it is stored: + residual, then the activation. The residual is a binary operation and not oneDNN's
 * "sum", which would overwrite it where it stands: it may be a tap. */
static dnnl_status_t append_post_ops(dnnl_post_ops_t post_ops, const pb_layer *layer, const dnnl_memory_desc_t *output) {
    dnnl_status_t status = dnnl_success;
    if (layer->residual >= 0)
        status = dnnl_post_ops_append_binary(post_ops, dnnl_binary_add, output);
    if (status == dnnl_success && layer->activation == PB_ACTIVATION_RELU)
        status = dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success && layer->activation == PB_ACTIVATION_RELU6)
        status = dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_bounded_relu, 6.0f, 0.0f);
    if (status == dnnl_success && layer->activation == PB_ACTIVATION_GELU)
        status = dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_gelu_erf, 0.0f, 0.0f);
    return status;
}

/* The scratchpad is the caller's: oneDNN's own would be shared by threads that run the same primitive. Float32 is meant strictly,
 * whatever ONEDNN_DEFAULT_FPMATH_MODE says in the environment. */
static dnnl_status_t make_attributes(const pb_layer *layer, const dnnl_memory_desc_t *output, dnnl_primitive_attr_t *attributes) {
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(*attributes, dnnl_fpmath_mode_strict);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&post_ops);
    if (status == dnnl_success)
        status = append_post_ops(post_ops, layer, output);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attributes, post_ops);
    dnnl_post_ops_destroy(post_ops);
    return status;
}

/* Pixels by which the kernel reaches over the edge: above or left, and below or right. */
typedef struct edge_widths {
    dnnl_dims_t before, after;
} edge_widths;

/* oneDNN wants the padding in numbers for each side; gpu/network_shape.c has the two rules (SAME, SYMMETRIC) that give them. */
static edge_widths edges_of(const pb_layer *layer, pb_size in) {
    const int lengths[2] = {in.height, in.width};
    edge_widths edges = {0};
    for (int axis = 0; axis < 2; axis++) {
        edges.before[axis] = pb_layer_pad_before(layer, lengths[axis]);
        edges.after[axis] = pb_layer_pad_after(layer, lengths[axis]);
    }
    return edges;
}

/* A convolution as a primitive descriptor; the weights' layout is left to oneDNN, bias and post-ops are in it. *convolution is
 * the caller's to destroy. dnnl_convolution_direct, not "auto": auto may choose oneDNN's own Winograd, whose rounding nobody has
 * bounded here. A layer without a bias is a product of our Winograd's. */
static dnnl_status_t make_convolution(dnnl_engine_t engine, const pb_layer *layer, pb_layer_shape input, pb_layer_shape output,
                                      dnnl_primitive_desc_t *convolution) {
    const dnnl_dims_t strides = {layer->stride, layer->stride};
    const edge_widths edges = edges_of(layer, input.size);
    dnnl_memory_desc_t from, weights, bias, to;
    dnnl_convolution_desc_t operation;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = describe_nhwc(&from, input);
    if (status == dnnl_success)
        status = describe_weights(&weights, layer, true);
    if (status == dnnl_success)
        status = describe_bias(&bias, layer);
    if (status == dnnl_success)
        status = describe_nhwc(&to, output);
    if (status == dnnl_success)
        status = make_attributes(layer, &to, &attributes);
    if (status == dnnl_success)
        status = dnnl_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct, &from, &weights,
                                                    layer->bias ? &bias : NULL, &to, strides, edges.before, edges.after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(convolution, &operation, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Max pooling. oneDNN leaves out what lies over the edge, as pb_operation says. Its forward_inference needs no workspace for the
 * places of the maxima. */
static dnnl_status_t make_pooling(dnnl_engine_t engine, const pb_layer *layer, pb_layer_shape input, pb_layer_shape output,
                                  dnnl_primitive_desc_t *pooling) {
    const dnnl_dims_t strides = {layer->stride, layer->stride}, kernel = {layer->kernel, layer->kernel};
    const edge_widths edges = edges_of(layer, input.size);
    dnnl_memory_desc_t from, to;
    dnnl_pooling_desc_t operation;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = describe_nhwc(&from, input);
    if (status == dnnl_success)
        status = describe_nhwc(&to, output);
    if (status == dnnl_success)
        status = make_attributes(layer, &to, &attributes);
    if (status == dnnl_success)
        status = dnnl_pooling_forward_desc_init(&operation, dnnl_forward_inference, dnnl_pooling_max, &from, &to, strides, kernel,
                                                edges.before, edges.after);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(pooling, &operation, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Puts weights [outputs][inputs / groups][kernel][kernel] into the layout that `convolution` wants. Done once for each layer: the
 * memory in *weights is oneDNN's own and belongs to the caller. Waits, so that layer->weights may be freed afterwards. */
static dnnl_status_t convert_weights(dnnl_engine_t engine, dnnl_stream_t stream, const pb_layer *layer,
                                     const_dnnl_primitive_desc_t convolution, dnnl_memory_t *weights) {
    dnnl_memory_desc_t plain;
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t conversion = NULL;
    dnnl_primitive_t primitive = NULL;
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(convolution, dnnl_query_weights_md, 0);
    dnnl_status_t status = describe_weights(&plain, layer, false);
    if (status == dnnl_success)
        status = dnnl_memory_create(&from, &plain, engine, layer->weights);
    if (status == dnnl_success)
        status = dnnl_memory_create(weights, wanted, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&conversion, &plain, engine, wanted, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, conversion);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, *weights}};
        status = dnnl_primitive_execute(primitive, stream, 2, arguments);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(conversion);
    dnnl_memory_destroy(from);
    return status;
}

/* *bias becomes a copy, because the network may be freed after compiling. */
static dnnl_status_t copy_bias(dnnl_engine_t engine, const pb_layer *layer, dnnl_memory_t *bias) {
    dnnl_memory_desc_t desc;
    void *values;
    dnnl_status_t status = describe_bias(&desc, layer);
    if (status == dnnl_success)
        status = dnnl_memory_create(bias, &desc, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(*bias, &values);
    if (status == dnnl_success)
        memcpy(values, layer->bias, (size_t)layer->outputs * sizeof(float));
    return status;
}

/* A memory object on memory of ours; NULL values are allowed where a pointer is set before each use, as for taps. */
static dnnl_status_t view_of(dnnl_engine_t engine, pb_layer_shape shape, float *values, dnnl_memory_t *view) {
    dnnl_memory_desc_t desc;
    dnnl_status_t status = describe_nhwc(&desc, shape);
    return status == dnnl_success ? dnnl_memory_create(view, &desc, engine, values) : status;
}

/* What a primitive wants for intermediate values. Belongs to the primitive. Asking a primitive that exists cannot fail. */
static const dnnl_memory_desc_t *scratchpad_of(const cpu_layer *layer) {
    const_dnnl_primitive_desc_t desc;
    dnnl_primitive_get_primitive_desc(layer->primitive, &desc);
    return dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
}

static size_t scratchpad_bytes(const cpu_layer *layer) {
    return layer->by_tokens ? layer->tokens.scratch : dnnl_memory_desc_get_size(scratchpad_of(layer));
}

/* ---- compiling ---- */

/* The one place where a code of oneDNN becomes a status; `name` is the layer's, the network's or the device's. */
static pb_status check(dnnl_status_t status, const char *what, const char *name) {
    if (status == dnnl_success)
        return pb_ok();
    pb_code code = status == dnnl_out_of_memory ? PB_E_SYSTEM : status == dnnl_unimplemented ? PB_E_UNSUPPORTED : PB_E_INTERNAL;
    return pb_fail(code, "%s: oneDNN: %s: %s", name, what, dnnl_status2str(status));
}

/* The product of one position of a band is a 1x1 convolution of an image as high as the band has tiles. One primitive serves all
 * sixteen positions, with other weights each. weights: room for [outputs][inputs], used again for each position. */
static dnnl_status_t compile_products(pb_compiled *compiled, dnnl_stream_t stream, const pb_layer *from, float *weights,
                                      cpu_layer *layer) {
    const pb_layer product = {.inputs = from->inputs, .outputs = from->outputs, .kernel = 1, .stride = 1, .groups = 1,
                              .source = -1, .residual = -1, .weights = weights};
    const pb_size tiles = {.width = 1, .height = layer->winograd.tiles};
    dnnl_primitive_desc_t primitive = NULL;
    dnnl_status_t status = make_convolution(compiled->engine, &product, (pb_layer_shape){tiles, from->inputs},
                                            (pb_layer_shape){tiles, from->outputs}, &primitive);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&layer->primitive, primitive);
    for (int p = 0; p < PB_WINOGRAD_POSITIONS && status == dnnl_success; p++) {
        pb_winograd_weights(from, p, weights);
        status = convert_weights(compiled->engine, stream, &product, primitive, &layer->weights[p]);
    }
    if (status == dnnl_success)
        status = copy_bias(compiled->engine, from, &layer->bias);
    dnnl_primitive_desc_destroy(primitive);
    return status;
}

/* As compile_layer, for a layer that pb_winograd_plan has taken. */
static pb_status compile_winograd(pb_compiled *compiled, dnnl_stream_t stream, const pb_layer *from, cpu_layer *layer) {
    float *weights;
    PB_TRY(pb_allocate(&weights, (size_t)from->inputs * (size_t)from->outputs, sizeof *weights, from->name));
    dnnl_status_t status = compile_products(compiled, stream, from, weights, layer);
    pb_release(&weights);
    return check(status, "products", from->name);
}

/* Puts layer `index` into oneDNN's form. The order of the questions is that of the three kinds of layers at the top: a 3x3
 * convolution large enough goes by Winograd, then tokens, and what is left is a primitive. stream: for moving weights. */
static pb_status compile_layer(pb_compiled *compiled, dnnl_stream_t stream, const pb_network *network, int index) {
    const pb_layer *from = &network->layers[index];
    cpu_layer *layer = &compiled->layers[index];
    layer->source = from->source;
    layer->residual = from->residual;
    layer->input = pb_network_shape(network, from->source);
    layer->output = pb_network_shape(network, index);
    layer->by_winograd = pb_winograd_plan(from, layer->input, layer->output, &layer->winograd);
    if (layer->by_winograd)
        return compile_winograd(compiled, stream, from, layer);
    layer->by_tokens = pb_cpu_token_operation(from->operation);
    if (layer->by_tokens)
        return check(pb_cpu_tokens_compile(compiled->engine, from, layer->input, &layer->tokens), "tokens", from->name);
    bool pool = from->operation == PB_OPERATION_MAX_POOL;
    dnnl_primitive_desc_t primitive = NULL;
    dnnl_status_t status = pool ? make_pooling(compiled->engine, from, layer->input, layer->output, &primitive)
                                : make_convolution(compiled->engine, from, layer->input, layer->output, &primitive);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&layer->primitive, primitive);
    if (status == dnnl_success && !pool)
        status = convert_weights(compiled->engine, stream, from, primitive, &layer->weights[0]);
    if (status == dnnl_success && !pool)
        status = copy_bias(compiled->engine, from, &layer->bias);
    dnnl_primitive_desc_destroy(primitive);
    return check(status, pool ? "pooling" : "convolution", from->name);
}

/* Engine and layers. The stream serves compiling only; running has one a worker. What was made before an error stays in
 * *compiled. */
static pb_status compile_layers(pb_compiled *compiled, const pb_network *network) {
    PB_TRY(check(dnnl_engine_create(&compiled->engine, dnnl_cpu, 0), "engine", network->backbone));
    dnnl_stream_t stream;
    PB_TRY(check(dnnl_stream_create(&stream, compiled->engine, dnnl_stream_default_flags), "stream", network->backbone));
    pb_status status = pb_ok();
    for (int l = 0; l < network->layer_count && !pb_failed(&status); l++)
        status = compile_layer(compiled, stream, network, l);
    dnnl_stream_destroy(stream);
    return status;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Memory for any band of any layer. Zero floats for a network without such layers; pb_allocate makes a valid pointer of that too.
 * Layers run one after the other, so they share it. */
static pb_status allocate_band(const pb_compiled *compiled, pb_winograd_memory *band) {
    size_t values = 0, products = 0, channels = 0;
    for (int l = 0; l < compiled->layer_count; l++) {
        const cpu_layer *layer = &compiled->layers[l];
        if (!layer->by_winograd)
            continue;
        values = larger(values, PB_WINOGRAD_POSITIONS * layer->winograd.value_stride);
        products = larger(products, PB_WINOGRAD_POSITIONS * layer->winograd.product_stride);
        channels = larger(channels, larger((size_t)layer->input.channels, (size_t)layer->output.channels));
    }
    PB_TRY(pb_allocate(&band->values, values, sizeof(float), "values of a band"));
    PB_TRY(pb_allocate(&band->products, products, sizeof(float), "products of a band"));
    PB_TRY(pb_allocate(&band->zeros, channels, sizeof(float), "zeros of a band"));
    return pb_allocate(&band->spare, channels, sizeof(float), "spare outputs of a band");
}

/* A worker's own memory: one scratchpad as large as the hungriest layer wants, the input in floats, and the slots in which
 * outputs of layers take turns (gpu/network_memory.h). */
static pb_status allocate_worker(const pb_compiled *compiled, cpu_worker *worker) {
    size_t scratchpad = 0;
    for (int l = 0; l < compiled->layer_count; l++)
        scratchpad = larger(scratchpad, scratchpad_bytes(&compiled->layers[l]));
    PB_TRY(pb_allocate(&worker->scratchpad, scratchpad, 1, "a layer's scratchpad"));
    PB_TRY(pb_allocate(&worker->input, pb_layer_shape_values(compiled->input), sizeof(float), "an input"));
    for (int s = 0; s < compiled->memory.slot_count; s++)
        PB_TRY(pb_allocate(&worker->slots[s], compiled->memory.slot_values[s], sizeof(float), "activations"));
    return allocate_band(compiled, &worker->band);
}

/* Views of one position of a band, which run_winograd moves from position to position. */
static dnnl_status_t view_band(const pb_compiled *compiled, cpu_worker *worker, int index) {
    const cpu_layer *layer = &compiled->layers[index];
    if (!layer->by_winograd)
        return dnnl_success;
    const pb_size tiles = {.width = 1, .height = layer->winograd.tiles};
    dnnl_status_t status = view_of(compiled->engine, (pb_layer_shape){tiles, layer->input.channels}, worker->band.values,
                                   &worker->values[index]);
    if (status == dnnl_success)
        status = view_of(compiled->engine, (pb_layer_shape){tiles, layer->output.channels}, worker->band.products,
                         &worker->products[index]);
    return status;
}

/* Memory and memory objects of one worker. The objects are made here, once, and not for each image: only those of taps change
 * their pointer (run_image), and those of a band (multiply). */
static pb_status make_worker(const pb_compiled *compiled, const char *name, cpu_worker *worker) {
    PB_TRY(allocate_worker(compiled, worker));
    PB_TRY(check(dnnl_stream_create(&worker->stream, compiled->engine, dnnl_stream_default_flags), "stream", name));
    dnnl_status_t status = view_of(compiled->engine, compiled->input, worker->input, &worker->outputs[0]);
    for (int l = 0; l < compiled->layer_count && status == dnnl_success; l++) {
        const cpu_layer *layer = &compiled->layers[l];
        int slot = compiled->memory.slots[l];
        float *values = slot == PB_SLOT_NONE ? NULL : worker->slots[slot];
        status = view_of(compiled->engine, layer->output, values, &worker->outputs[l + 1]);
        if (status == dnnl_success && !layer->by_tokens)
            status = dnnl_memory_create(&worker->scratchpads[l], scratchpad_of(layer), compiled->engine, worker->scratchpad);
        if (status == dnnl_success)
            status = view_band(compiled, worker, l);
    }
    return check(status, "memory", name);
}

/* Runs where oneDNN sees one thread (see pb_cpu_compile): what it is compiled for must be what it runs with. */
static pb_status compile(const pb_network *network, pb_compiled *compiled) {
    for (int i = 0; i < STRETCH; i++) {
        compiled->mean[i] = network->mean[i % 3];
        compiled->scale[i] = network->scale[i % 3];
    }
    memcpy(compiled->taps, network->taps, sizeof compiled->taps);
    PB_TRY(compile_layers(compiled, network));
    pb_network_plan_memory(network, &compiled->memory);
    PB_TRY(pb_allocate(&compiled->workers, (size_t)compiled->worker_count, sizeof *compiled->workers, "workers"));
    for (int w = 0; w < compiled->worker_count; w++)
        PB_TRY(make_worker(compiled, network->backbone, &compiled->workers[w]));
    return pb_ok();
}

/* Contract: pb_device_compile. Everything that batches need is allocated here, so that running asks for no memory. The parallel
 * region of one thread is there for its end: omp_set_num_threads holds for the thread that calls it, and outside of a region it
 * would change what the caller's later loops get. */
pb_status pb_cpu_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                         pb_compiled **compiled_out) {
    PB_ASSERT(network->layer_count <= PB_LAYERS_MAX && network->tap_count <= PB_TAPS_MAX);
    *compiled_out = NULL;
    if (precision != PB_PRECISION_FP32)
        return pb_fail(PB_E_UNSUPPORTED, "device cpu: computes networks in fp32 only; features in %s (--precision, or the bank's)"
                       " need a GPU", pb_precision_name(precision));
    pb_compiled *compiled;
    PB_TRY(pb_allocate(&compiled, 1, sizeof *compiled, "a compiled network"));
    compiled->kernels = ((const pb_cpu_state *)device->state)->kernels;
    compiled->batch_max = batch_max;
    compiled->input = pb_network_shape(network, -1);
    compiled->layer_count = network->layer_count;
    compiled->tap_count = network->tap_count;
    compiled->worker_count = device->threads < batch_max ? device->threads : batch_max;
    pb_status status;
    /* oneDNN divides a primitive among the threads that OpenMP would give it. The setting ends with the parallel region. */
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        status = compile(network, compiled);
    }
    if (pb_failed(&status)) {
        pb_cpu_compiled_free(device, compiled);
        return status;
    }
    *compiled_out = compiled;
    return status;
}

/* Takes a worker at any stage of being made: what is not there is NULL. */
static void free_worker(const pb_compiled *compiled, cpu_worker *worker) {
    for (int l = 0; l <= compiled->layer_count; l++)
        dnnl_memory_destroy(worker->outputs[l]);
    for (int l = 0; l < compiled->layer_count; l++) {
        dnnl_memory_destroy(worker->scratchpads[l]);
        dnnl_memory_destroy(worker->values[l]);
        dnnl_memory_destroy(worker->products[l]);
    }
    pb_release(&worker->band.values);
    pb_release(&worker->band.products);
    pb_release(&worker->band.zeros);
    pb_release(&worker->band.spare);
    for (int s = 0; s < compiled->memory.slot_count; s++)
        pb_release(&worker->slots[s]);
    pb_release(&worker->input);
    pb_release(&worker->scratchpad);
    dnnl_stream_destroy(worker->stream);
}

/* Also of a network that was compiled in part. */
void pb_cpu_compiled_free(pb_device *device, pb_compiled *compiled) {
    (void)device;
    for (int w = 0; compiled->workers && w < compiled->worker_count; w++)
        free_worker(compiled, &compiled->workers[w]);
    pb_release(&compiled->workers);
    for (int l = 0; l < compiled->layer_count; l++) {
        dnnl_primitive_destroy(compiled->layers[l].primitive);
        for (int p = 0; p < PB_WINOGRAD_POSITIONS; p++)
            dnnl_memory_destroy(compiled->layers[l].weights[p]);
        dnnl_memory_destroy(compiled->layers[l].bias);
        pb_cpu_tokens_free(&compiled->layers[l].tokens);
    }
    dnnl_engine_destroy(compiled->engine);
    pb_release(&compiled);
}

/* ---- running ---- */

/* Bytes to (byte - mean) * scale. In float, in this order, as gpu/ref_network.c: the same bits by any width of vectors. */
static void normalise(const pb_compiled *compiled, const uint8_t *image, size_t count, float *input) {
    size_t i = 0;
    for (; i + STRETCH <= count; i += STRETCH)
        for (size_t j = 0; j < STRETCH; j++)
            input[i + j] = ((float)image[i + j] - compiled->mean[j]) * compiled->scale[j];
    for (size_t j = 0; i + j < count; j++)
        input[i + j] = ((float)image[i + j] - compiled->mean[j]) * compiled->scale[j];
}

/* The products of all positions of a band. The last band may have fewer tiles: the primitive multiplies what the band before left
 * in the rest, and nobody reads that. */
static dnnl_status_t multiply(const cpu_layer *layer, const cpu_worker *worker, int index) {
    dnnl_status_t status = dnnl_success;
    for (size_t p = 0; p < PB_WINOGRAD_POSITIONS && status == dnnl_success; p++) {
        const dnnl_exec_arg_t arguments[] = {
            {DNNL_ARG_SRC, worker->values[index]},
            {DNNL_ARG_DST, worker->products[index]},
            {DNNL_ARG_SCRATCHPAD, worker->scratchpads[index]},
            {DNNL_ARG_WEIGHTS, layer->weights[p]},
        };
        status = dnnl_memory_set_data_handle(worker->values[index], worker->band.values + p * layer->winograd.value_stride);
        if (status == dnnl_success)
            status = dnnl_memory_set_data_handle(worker->products[index],
                                                 worker->band.products + p * layer->winograd.product_stride);
        if (status == dnnl_success)
            status = dnnl_primitive_execute(layer->primitive, worker->stream, 4, arguments);
    }
    return status == dnnl_success ? dnnl_stream_wait(worker->stream) : status;
}

/* A layer band by band: transform the inputs, multiply, transform back. input and output may be a slot or the memory of a tap, so
 * the pointers are asked for each time. */
static dnnl_status_t run_winograd(const pb_compiled *compiled, const cpu_worker *worker, int index) {
    const cpu_layer *layer = &compiled->layers[index];
    void *input, *output, *bias, *residual = NULL;
    dnnl_status_t status = dnnl_memory_get_data_handle(worker->outputs[layer->source + 1], &input);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(worker->outputs[index + 1], &output);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(layer->bias, &bias);
    if (status == dnnl_success && layer->residual >= 0)
        status = dnnl_memory_get_data_handle(worker->outputs[layer->residual + 1], &residual);
    for (int band = 0; band < pb_winograd_bands(&layer->winograd) && status == dnnl_success; band++) {
        pb_winograd_spread(&layer->winograd, compiled->kernels, input, band, &worker->band);
        status = multiply(layer, worker, index);
        if (status == dnnl_success)
            pb_winograd_collect(&layer->winograd, compiled->kernels, bias, residual, band, &worker->band, output);
    }
    return status;
}

/* Hands a layer on tokens the pointers behind its memory objects. */
static dnnl_status_t run_tokens(const pb_compiled *compiled, const cpu_worker *worker, int index) {
    const cpu_layer *layer = &compiled->layers[index];
    void *input, *output;
    dnnl_status_t status = dnnl_memory_get_data_handle(worker->outputs[layer->source + 1], &input);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(worker->outputs[index + 1], &output);
    return status == dnnl_success
               ? pb_cpu_tokens_run(&layer->tokens, compiled->engine, worker->stream, input, output, worker->scratchpad)
               : status;
}

/* A layer without a residual has the image as its sixth argument, by number -1 + 1 = 0: it is there so that the list has one
 * form, and is not passed. */
static dnnl_status_t run_layer(const pb_compiled *compiled, const cpu_worker *worker, int index) {
    const cpu_layer *layer = &compiled->layers[index];
    if (layer->by_winograd)
        return run_winograd(compiled, worker, index);
    if (layer->by_tokens)
        return run_tokens(compiled, worker, index);
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, worker->outputs[layer->source + 1]},
        {DNNL_ARG_DST, worker->outputs[index + 1]},
        {DNNL_ARG_SCRATCHPAD, worker->scratchpads[index]},
        {DNNL_ARG_WEIGHTS, layer->weights[0]},
        {DNNL_ARG_BIAS, layer->bias},
        {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, worker->outputs[layer->residual + 1]},
    };
    int count = !layer->weights[0] ? 3 : layer->residual < 0 ? 5 : 6; /* as many as the primitive takes */
    return dnnl_primitive_execute(layer->primitive, worker->stream, count, arguments);
}

/* Image number i of the batch. Outputs of taps go straight to their place in the caller's memory; the worker's objects are
 * pointed there first. Layers run in their order on one stream, which is what the sharing of slots was planned for. */
static dnnl_status_t run_image(const pb_compiled *compiled, const cpu_worker *worker, const uint8_t *images, int i,
                               float *const *taps) {
    size_t values = pb_layer_shape_values(compiled->input);
    normalise(compiled, images + (size_t)i * values, values, worker->input);
    dnnl_status_t status = dnnl_success;
    for (int t = 0; t < compiled->tap_count && status == dnnl_success; t++) {
        float *output = taps[t] + (size_t)i * pb_layer_shape_values(compiled->layers[compiled->taps[t]].output);
        status = dnnl_memory_set_data_handle(worker->outputs[compiled->taps[t] + 1], output);
    }
    for (int l = 0; l < compiled->layer_count && status == dnnl_success; l++)
        status = run_layer(compiled, worker, l);
    return status == dnnl_success ? dnnl_stream_wait(worker->stream) : status;
}

/* Contract: pb_device_run. Threads take images one by one (dynamic): an image is milliseconds, and threads that were held up take
 * fewer. Which thread takes which image changes no bit, since all workers are alike. A failure does not stop the others; one of
 * the codes is reported. */
pb_status pb_cpu_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps) {
    (void)device;
    PB_ASSERT(n >= 0 && n <= compiled->batch_max);
    dnnl_status_t failure = dnnl_success;
    int threads = n < compiled->worker_count ? n : compiled->worker_count;
#pragma omp parallel num_threads(threads < 1 ? 1 : threads)
    {
        omp_set_num_threads(1); /* for oneDNN, as above */
        const cpu_worker *worker = &compiled->workers[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < n; i++) {
            dnnl_status_t status = run_image(compiled, worker, images, i, taps);
            if (status != dnnl_success) {
#pragma omp atomic write
                failure = status;
            }
        }
    }
    return check(failure, "running the network", "device cpu");
}

/* ---- */

/* Contract: gpu/cpu.h. oneDNN's effective instruction set is asked for, not the processor's: ONEDNN_MAX_CPU_ISA can lower it, and
 * then other code computes the features. */
void pb_cpu_network_library(char *text, size_t size) {
    const dnnl_version_t *version = dnnl_version();
    const char *isa = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa()), *prefix = "cpu_isa_";
    if (strncmp(isa, prefix, strlen(prefix)) == 0)
        isa += strlen(prefix);
    snprintf(text, size, "oneDNN %d.%d.%d %s", version->major, version->minor, version->patch, isa);
}
