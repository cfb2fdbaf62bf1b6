/* cpu_network_tokens.h: private to gpu/: what a vision transformer needs beside convolutions, for gpu/cpu_network.c.
 *
 * A pb_cpu_token_layer is read only once it is compiled, and may be run by several threads, each with a stream and a scratchpad
 * of its own. Not collective. Errors are oneDNN's codes, which gpu/cpu_network.c puts into words: out of memory, or
 * dnnl_unimplemented where oneDNN lacks something. All memory is host memory; layouts are those of pb_layer and pb_layer_shape
 * with a height of 1: [tokens][channels] float.
 */
#ifndef PB_GPU_CPU_NETWORK_TOKENS_H
#define PB_GPU_CPU_NETWORK_TOKENS_H

#include "gpu/network.h"

#include <oneapi/dnnl/dnnl.h>

/* A layer of operation TOKENS, LAYER_NORM, ATTENTION or PATCHES. inputs and outputs count channels, places counts what the input
 * has: tokens, or for TOKENS the patches that become them. */
typedef struct pb_cpu_token_layer {
    pb_operation operation;
    size_t places, inputs, outputs; /* places: of the input */
    size_t heads, rows;             /* of an attention; rows: queries at a time */
    dnnl_memory_t weights, bias;    /* as in pb_layer; NULL where there are none */
    dnnl_primitive_t primitive;     /* layer norm; softmax of `rows` rows; NULL for the others */
    size_t scores, scratch;         /* bytes of scratchpad: for scores of an attention, a whole number of cache lines; in all */
} pb_cpu_token_layer;

/* True for these operations. The others, convolution and max pooling, are gpu/cpu_network.c's own. */
bool pb_cpu_token_operation(pb_operation operation);

/* Compiles a layer that reads an output of shape `input`. *compiled must be released by pb_cpu_tokens_free, also after an
 * error. The layer may be freed afterwards. Errors: dnnl_unimplemented for an operation that is none of these. */
dnnl_status_t pb_cpu_tokens_compile(dnnl_engine_t engine, const pb_layer *layer, pb_layer_shape input,
                                    pb_cpu_token_layer *compiled);
void pb_cpu_tokens_free(pb_cpu_token_layer *compiled);

/* Runs it: input and output in the layouts of pb_layer; scratchpad: compiled->scratch bytes, aligned to PB_ALIGNMENT. input is
 * not changed and may not overlap output; oneDNN's interface only takes no const. */
dnnl_status_t pb_cpu_tokens_run(const pb_cpu_token_layer *compiled, dnnl_engine_t engine, dnnl_stream_t stream, float *input,
                                float *output, void *scratchpad);

#endif
