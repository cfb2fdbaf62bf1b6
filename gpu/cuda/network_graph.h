/* network_graph.h: private to gpu/cuda/: a layer of a network as a graph of operations, the form that cuDNN makes a plan of.
 *
 * Plain data, without cuDNN: what a graph means is decided here and checked here (tests/gpu/cuda interprets graphs and compares
 * with pb_ref_run), and network_plan.c only hands it on.
 *
 * A layer is one graph, so that its sum is stored once:
 *   convolution -> + residual -> + bias -> ReLU (or clamp to [0, 6]) or GELU
 * in this order, because it is the one that all of cuDNN's engines know (docs/decisions/0018-cudnn-graphs.md); the sums in
 * between are float whatever the type of the ends. A depthwise layer is a convolution whose weights have one input channel. A
 * linear layer is one of one place, on an image one row high. Max pooling is a graph of its one operation, and so is attention,
 * which reads queries, keys and values where the layer before left them. The other layers of a transformer have no graph: they
 * are kernels of ours (network_kernels.h), and so is attention in fp32 (docs/decisions/0026-vision-transformers-on-cuda.md).
 */
#ifndef PB_GPU_CUDA_NETWORK_GRAPH_H
#define PB_GPU_CUDA_NETWORK_GRAPH_H

#include "gpu/cuda/precision.h"
#include "gpu/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a tensor is in its layer. Virtual ones never reach memory. */
typedef enum pb_graph_role {
    PB_GRAPH_VIRTUAL,
    PB_GRAPH_SOURCE, /* of attention: its queries */
    PB_GRAPH_WEIGHTS,
    PB_GRAPH_BIAS,
    PB_GRAPH_RESIDUAL,
    PB_GRAPH_OUTPUT,
    PB_GRAPH_KEYS,
    PB_GRAPH_VALUES,
    PB_GRAPH_SCALE, /* one number in host memory, which is read when the graph is queued */
    PB_GRAPH_ROLES
} pb_graph_role;

/* dims: images, channels, height, width; of weights: outputs, inputs a group, rows, columns. Strides in elements, in this order;
 * channels lie together (NHWC). Of attention: images, heads, tokens, channels of a head. */
typedef struct pb_graph_tensor {
    pb_graph_role role;
    pb_element element;
    int64_t dims[4], strides[4];
} pb_graph_tensor;

typedef enum pb_graph_verb {
    PB_GRAPH_CONVOLUTION,
    PB_GRAPH_ADD,
    PB_GRAPH_RELU,
    PB_GRAPH_GELU,
    PB_GRAPH_MAX_POOL,
    PB_GRAPH_ATTENTION /* softmax over the keys of scale (queries . keys), times the values */
} pb_graph_verb;

/* y = verb(x, other); indices of tensors. other: the weights of a convolution, the second term of a sum (repeated along dims of
 * 1), the keys of attention; -1 for the rest. values, scale: of attention, -1 for the rest. */
typedef struct pb_graph_operation {
    pb_graph_verb verb;
    int x, other, values, scale, y;
    int64_t window[2], strides[2]; /* rows, columns; of convolution and pooling */
    int64_t before[2], after[2];   /* places over the edge: above and left, below and right */
    double upper;                  /* of ReLU: values above become this; INFINITY: none */
} pb_graph_operation;

enum { PB_GRAPH_TENSORS_MAX = 8, PB_GRAPH_OPERATIONS_MAX = 4 };

typedef struct pb_graph {
    int tensor_count, operation_count;
    pb_graph_tensor tensors[PB_GRAPH_TENSORS_MAX]; /* in memory: at most one of each role */
    pb_graph_operation operations[PB_GRAPH_OPERATIONS_MAX];
} pb_graph;

/* Whether layer `layer` is a graph; false: a kernel of ours. Attention is one where cuDNN has plans: not in fp32, for which it
 * would cut products to tf32, and with heads of whole 16 bytes. Even then a version of cuDNN or a device may have none. */
bool pb_graph_exists(const pb_network *network, int layer, pb_precision precision);

/* The graph of layer `layer` for a batch of `batch` images. bias: how the bias lies in memory; float, unless cuDNN has no plan
 * for that. The network may be an outline. Errors: PB_E_UNSUPPORTED, with the layer's name, for a layer that has no graph;
 * *graph is then undefined. Not collective, like everything here. */
PB_CHECKED pb_status pb_graph_of_layer(const pb_network *network, int layer, pb_precision precision, pb_element bias, int batch,
                                       pb_graph *graph_out);

enum { PB_GRAPH_TEXT = 640 };

/* All of a graph in one line, without names of layers: equal texts are equal graphs. The key of a plan. First the operations,
 * then the tensors: a letter for the role (vxwbrykus in the order above), the index, the type, dims / strides:
 * "x0:half[64,24,56,56/75264,1,1344,24]". */
void pb_graph_text(const pb_graph *graph, char text[PB_GRAPH_TEXT]);

/* Index of the tensor of a role, -1 when there is none. */
int pb_graph_find(const pb_graph *graph, pb_graph_role role);

#endif
