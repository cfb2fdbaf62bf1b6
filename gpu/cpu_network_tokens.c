/* The operations of vision transformers on the "cpu" device, but for linear layers, which are convolutions of one place.
 *
 * oneDNN has the layer norm, the softmax and the products of matrices. Its matmul primitive wants each head's queries, keys and
 * values dense, while ours stand side by side in the output of one linear layer; its sgemm takes them where they are, by leading
 * dimensions. Scores are made for a block of queries at a time, so that they stay in the cache however many tokens there are.
 *
 * What is compiled once: the weights' copies, and for norms and attention one primitive (layer norm, softmax) for a fixed number
 * of rows. What is made anew for each run: memory objects, because threads share the layer. Tokens and patches need no library;
 * they move rows.
 *
 * The scratchpad of an attention is scores [rows][tokens] first, then what the softmax's primitive wants; that of a norm is the
 * primitive's alone. Nothing is allocated while running, but for oneDNN's small objects.
 */
#include "gpu/cpu_network_tokens.h"

#include "base/memory.h"

#include <string.h>

/* Queries at a time: with 1,025 tokens (an image of 448 x 448) their scores are 0.5 MiB. They are written by one product, read by
 * the softmax and again by the next product. */
enum { ROWS_MAX = 128 };

bool pb_cpu_token_operation(pb_operation operation) {
    return operation != PB_OPERATION_CONVOLUTION && operation != PB_OPERATION_MAX_POOL;
}

/* Dense rows of floats. */
static dnnl_status_t describe_rows(dnnl_memory_desc_t *desc, size_t rows, size_t columns) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    return dnnl_memory_desc_init_by_tag(desc, 2, dims, dnnl_f32, dnnl_ab);
}

/* Makes the primitive, with the caller's scratchpad and strict float32 as in gpu/cpu_network.c. */
static dnnl_status_t make_primitive(dnnl_engine_t engine, const_dnnl_op_desc_t operation, pb_cpu_token_layer *compiled) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_fpmath_mode(attributes, dnnl_fpmath_mode_strict);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&desc, operation, attributes, engine, NULL);
    if (status == dnnl_success) {
        const dnnl_memory_desc_t *scratchpad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        compiled->scratch = compiled->scores + dnnl_memory_desc_get_size(scratchpad);
        status = dnnl_primitive_create(&compiled->primitive, desc);
    }
    dnnl_primitive_desc_destroy(desc);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* A copy in oneDNN's memory of a list of floats; the network may be freed after compiling. */
static dnnl_status_t copy_vector(dnnl_engine_t engine, const float *values, size_t count, dnnl_memory_t *copy) {
    const dnnl_dims_t dims = {(dnnl_dim_t)count};
    dnnl_memory_desc_t desc;
    void *to;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc, 1, dims, dnnl_f32, dnnl_x);
    if (status == dnnl_success)
        status = dnnl_memory_create(copy, &desc, engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(*copy, &to);
    if (status == dnnl_success)
        memcpy(to, values, count * sizeof *values);
    return status;
}

/* Norms over the last dimension of [places][channels]: mean and deviation are computed by the primitive from the input (no
 * statistics are given), scale and shift are ours. */
static dnnl_status_t compile_layer_norm(dnnl_engine_t engine, const pb_layer *layer, pb_cpu_token_layer *compiled) {
    dnnl_memory_desc_t rows;
    dnnl_layer_normalization_desc_t operation;
    dnnl_status_t status = describe_rows(&rows, compiled->places, compiled->outputs);
    if (status == dnnl_success)
        status = dnnl_layer_normalization_forward_desc_init(&operation, dnnl_forward_inference, &rows, NULL,
                                                            (float)layer->epsilon, dnnl_use_scale | dnnl_use_shift);
    if (status == dnnl_success)
        status = make_primitive(engine, &operation, compiled);
    if (status == dnnl_success)
        status = copy_vector(engine, layer->weights, compiled->outputs, &compiled->weights);
    return status == dnnl_success ? copy_vector(engine, layer->bias, compiled->outputs, &compiled->bias) : status;
}

/* Blocks of equally many queries; the last one begins earlier if need be and does some again, which gives the same numbers. So
 * one softmax of a fixed number of rows serves all blocks, and the scores take rows * tokens floats and not tokens^2. */
static dnnl_status_t compile_attention(dnnl_engine_t engine, const pb_layer *layer, pb_cpu_token_layer *compiled) {
    size_t tokens = compiled->places, blocks = (tokens + ROWS_MAX - 1) / ROWS_MAX;
    compiled->heads = (size_t)layer->groups;
    compiled->rows = (tokens + blocks - 1) / blocks;
    compiled->scores = (compiled->rows * tokens * sizeof(float) + PB_ALIGNMENT - 1) / PB_ALIGNMENT * PB_ALIGNMENT;
    dnnl_memory_desc_t scores;
    dnnl_softmax_desc_t operation;
    dnnl_status_t status = describe_rows(&scores, compiled->rows, tokens);
    if (status == dnnl_success)
        status = dnnl_softmax_forward_desc_init(&operation, dnnl_forward_inference, &scores, 1);
    return status == dnnl_success ? make_primitive(engine, &operation, compiled) : status;
}

dnnl_status_t pb_cpu_tokens_compile(dnnl_engine_t engine, const pb_layer *layer, pb_layer_shape input,
                                    pb_cpu_token_layer *compiled) {
    *compiled = (pb_cpu_token_layer){.operation = layer->operation, .places = pb_size_area(input.size),
                                     .inputs = (size_t)layer->inputs, .outputs = (size_t)layer->outputs};
    switch (layer->operation) {
    case PB_OPERATION_TOKENS:
        return copy_vector(engine, layer->weights, (1 + compiled->places) * compiled->outputs, &compiled->weights);
    case PB_OPERATION_LAYER_NORM:
        return compile_layer_norm(engine, layer, compiled);
    case PB_OPERATION_ATTENTION:
        return compile_attention(engine, layer, compiled);
    case PB_OPERATION_PATCHES:
        return dnnl_success;
    case PB_OPERATION_CONVOLUTION:
    case PB_OPERATION_MAX_POOL:
        break;
    }
    return dnnl_unimplemented;
}

/* oneDNN's destroy functions take NULL, so a layer whose compiling failed, or that never began, may come here. */
void pb_cpu_tokens_free(pb_cpu_token_layer *compiled) {
    dnnl_primitive_destroy(compiled->primitive);
    dnnl_memory_destroy(compiled->weights);
    dnnl_memory_destroy(compiled->bias);
}

/* ---- running ---- */

static dnnl_status_t view_of(dnnl_engine_t engine, size_t rows, size_t columns, float *values, dnnl_memory_t *view) {
    dnnl_memory_desc_t desc;
    dnnl_status_t status = describe_rows(&desc, rows, columns);
    return status == dnnl_success ? dnnl_memory_create(view, &desc, engine, values) : status;
}

/* A scratchpad as oneDNN describes it: so many bytes. */
static dnnl_status_t view_bytes(dnnl_engine_t engine, size_t bytes, void *memory, dnnl_memory_t *view) {
    const dnnl_dims_t dims = {(dnnl_dim_t)bytes};
    dnnl_memory_desc_t desc;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc, 1, dims, dnnl_u8, dnnl_x);
    return status == dnnl_success ? dnnl_memory_create(view, &desc, engine, memory) : status;
}

/* Runs the primitive on [rows][columns]; to may be from. Views are made for each run: they cost nothing beside it, and threads
 * share the layer. */
static dnnl_status_t run_primitive(const pb_cpu_token_layer *compiled, dnnl_engine_t engine, dnnl_stream_t stream, size_t rows,
                                   size_t columns, float *from, float *to, void *scratchpad) {
    dnnl_memory_t source = NULL, result = NULL, scratch = NULL;
    dnnl_status_t status = view_of(engine, rows, columns, from, &source);
    if (status == dnnl_success)
        status = view_of(engine, rows, columns, to, &result);
    if (status == dnnl_success)
        status = view_bytes(engine, compiled->scratch - compiled->scores, scratchpad, &scratch);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, source},
                                             {DNNL_ARG_DST, result},
                                             {DNNL_ARG_SCRATCHPAD, scratch},
                                             {DNNL_ARG_SCALE, compiled->weights},
                                             {DNNL_ARG_SHIFT, compiled->bias}};
        status = dnnl_primitive_execute(compiled->primitive, stream, compiled->bias ? 5 : 3, arguments);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    dnnl_memory_destroy(scratch);
    dnnl_memory_destroy(result);
    dnnl_memory_destroy(source);
    return status;
}

/* Queries first .. first + rows - 1 of the head whose channels begin at `channel`. input: [tokens][3 * outputs], of which a row
 * has the queries of all heads, then keys, then values (pb_operation ATTENTION); with rows `inputs` apart both products of a head
 * read where these lie. Softmax in place. The division by the square root of a head's channels is in the weights of the queries
 * (gpu/network_weights.c). oneDNN's sgemm is row-major. */
static dnnl_status_t attend(const pb_cpu_token_layer *compiled, dnnl_engine_t engine, dnnl_stream_t stream, size_t channel,
                            size_t first, float *input, float *output, float *scores) {
    dnnl_dim_t rows = (dnnl_dim_t)compiled->rows, tokens = (dnnl_dim_t)compiled->places, inputs = (dnnl_dim_t)compiled->inputs;
    dnnl_dim_t outputs = (dnnl_dim_t)compiled->outputs, dim = outputs / (dnnl_dim_t)compiled->heads;
    const float *queries = input + first * compiled->inputs + channel, *keys = input + compiled->outputs + channel;
    const float *values = keys + compiled->outputs;
    dnnl_status_t status = dnnl_sgemm('N', 'T', rows, tokens, dim, 1, queries, inputs, keys, inputs, 0, scores, tokens);
    if (status == dnnl_success)
        status = run_primitive(compiled, engine, stream, compiled->rows, compiled->places, scores, scores,
                               (char *)scores + compiled->scores);
    if (status == dnnl_success)
        status = dnnl_sgemm('N', 'N', rows, dim, tokens, 1, scores, tokens, values, inputs, 0,
                            output + first * compiled->outputs + channel, outputs);
    return status;
}

/* Head by head, block by block. The last block begins at `last`, so that it has as many queries as the primitive takes. */
static dnnl_status_t run_attention(const pb_cpu_token_layer *compiled, dnnl_engine_t engine, dnnl_stream_t stream, float *input,
                                   float *output, void *scratchpad) {
    size_t dim = compiled->outputs / compiled->heads, last = compiled->places - compiled->rows;
    dnnl_status_t status = dnnl_success;
    for (size_t channel = 0; channel < compiled->outputs && status == dnnl_success; channel += dim)
        for (size_t at = 0; at < compiled->places && status == dnnl_success; at += compiled->rows)
            status = attend(compiled, engine, stream, channel, at < last ? at : last, input, output, scratchpad);
    return status;
}

/* One row more than the input: the class token, which is weights alone, and the places with their embeddings added. An addition a
 * value, rounded once, as in gpu/ref_network.c, whose double sum of two floats rounds to the same. */
static dnnl_status_t run_tokens(const pb_cpu_token_layer *compiled, const float *input, float *output) {
    size_t channels = compiled->outputs, count = compiled->places * channels;
    void *handle;
    dnnl_status_t status = dnnl_memory_get_data_handle(compiled->weights, &handle);
    if (status != dnnl_success)
        return status;
    const float *weights = handle;
    memcpy(output, weights, channels * sizeof *output);
    for (size_t i = 0; i < count; i++)
        output[channels + i] = input[i] + weights[channels + i];
    return dnnl_success;
}

/* The wait at the beginning: what the layer before has queued must be in place, as this reads memory outside of the stream. */
dnnl_status_t pb_cpu_tokens_run(const pb_cpu_token_layer *compiled, dnnl_engine_t engine, dnnl_stream_t stream, float *input,
                                float *output, void *scratchpad) {
    size_t channels = compiled->outputs;
    dnnl_status_t status = dnnl_stream_wait(stream);
    if (status != dnnl_success)
        return status;
    switch (compiled->operation) {
    case PB_OPERATION_TOKENS:
        return run_tokens(compiled, input, output);
    case PB_OPERATION_LAYER_NORM:
        return run_primitive(compiled, engine, stream, compiled->places, channels, input, output, scratchpad);
    case PB_OPERATION_ATTENTION:
        return run_attention(compiled, engine, stream, input, output, scratchpad);
    case PB_OPERATION_PATCHES:
        memcpy(output, input + channels, (compiled->places - 1) * channels * sizeof *output);
        return dnnl_success;
    case PB_OPERATION_CONVOLUTION:
    case PB_OPERATION_MAX_POOL:
        break;
    }
    return dnnl_unimplemented;
}
