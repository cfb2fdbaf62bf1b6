/* network.h: backbones as data, and the folded network a device runs.
 *
 * A backbone is a static list of layers with the names of their tensors. Loading it fetches those tensors from whoever has
 * them (a safetensors file, the random floor), folds each batch norm into its convolution, in double precision, and gives a
 * pb_network: plain arrays in host memory, which a device copies into its own form. Nothing here computes features.
 *
 * The tokens of a vision transformer are an output of height 1: token t stands at column t, its values are the channels. A linear
 * layer is then a convolution of one place. What a transformer scales after a linear layer or before the softmax is folded into
 * weights, likewise in double.
 */
#ifndef PB_GPU_NETWORK_H
#define PB_GPU_NETWORK_H

#include "base/size.h"
#include "base/status.h"
#include "base/tensor.h"

#include <stddef.h>
#include <stdint.h>

/* Most layers of a network, blocks of a backbone, and taps. Asserted where networks are built, but for taps, which are a user's:
 * those are an error. The longest at present are DINOv2's ViT-L, 170 layers and 2 a tap, in 24 blocks. */
enum { PB_LAYERS_MAX = 256, PB_BLOCKS_MAX = 32, PB_TAPS_MAX = 8 };

/* NONE: x. RELU: max(x, 0). RELU6: min(max(x, 0), 6). GELU: x (1 + erf(x / sqrt(2))) / 2. */
typedef enum pb_activation { PB_ACTIVATION_NONE, PB_ACTIVATION_RELU, PB_ACTIVATION_RELU6, PB_ACTIVATION_GELU } pb_activation;

/* What a layer does with its input x; y is its output.
 *   CONVOLUTION  y = activation(conv(x, weights) + bias [+ output of layer `residual`]). Square kernel, square stride, zeros over
 *                the edge. groups is 1 or, for a depthwise layer, inputs == outputs.
 *   MAX_POOL     the largest value under the kernel, a channel alone: inputs == outputs == groups; what lies over the edge does
 *                not count
 *   TOKENS       the places of x, row by row, as tokens 1, 2, ... after the class token 0: y[0] = weights[0],
 *                y[t] = x[place t - 1] + weights[t]; inputs == outputs
 *   LAYER_NORM   each place alone: y = (x - m) / sqrt(v + epsilon) * weights + bias, m and v being the mean and the mean squared
 *                deviation of its channels; inputs == outputs
 *   ATTENTION    groups is the number of heads, d = outputs / groups channels each; inputs == 3 * outputs: the queries of all
 *                heads, then their keys, then their values. For each head: y[t] = sum over u of softmax over u (q[t] . k[u]) v[u]
 *   PATCHES      the other way from TOKENS: all tokens but the class token, in the places where they were; inputs == outputs
 * Kernel and stride are 1 but for the first two; residual and activation are those of convolutions. */
typedef enum pb_operation {
    PB_OPERATION_CONVOLUTION,
    PB_OPERATION_MAX_POOL,
    PB_OPERATION_TOKENS,
    PB_OPERATION_LAYER_NORM,
    PB_OPERATION_ATTENTION,
    PB_OPERATION_PATCHES
} pb_operation;

/* How far a kernel reaches over the edge, along either axis. Either way a length of `in` pixels becomes ceil(in / stride).
 *   SAME       as TensorFlow pads: total = max((ceil(in / stride) - 1) * stride + kernel - in, 0), floor(total / 2) before, the
 *              rest (the odd pixel) after
 *   SYMMETRIC  as PyTorch's networks pad: (kernel - 1) / 2 before and after; the kernel is odd */
typedef enum pb_padding { PB_PADDING_SAME, PB_PADDING_SYMMETRIC } pb_padding;

/* One operation, with whatever is linear after it (or, for queries, before the softmax) folded in. */
typedef struct pb_layer {
    char name[64];            /* of its weights, for messages */
    pb_operation operation;
    int inputs, outputs;      /* channels */
    int kernel, stride, groups;
    pb_padding padding;
    pb_activation activation;
    double epsilon;           /* of LAYER_NORM */
    int source;               /* layer whose output is the input; -1: the image */
    int residual;             /* layer whose output is added before the activation; -1: none */
    int64_t parameters;       /* values of its tensors, as they are before anything is folded */
    float *weights;           /* CONVOLUTION [outputs][inputs / groups][kernel][kernel], TOKENS [1 + places][outputs], LAYER_NORM
                               * [outputs]; owned by the network; NULL for the others and in an outline */
    float *bias;              /* CONVOLUTION and LAYER_NORM [outputs]; likewise */
} pb_layer;

/* A network cut after its last tap. Created by pb_network_load, released by pb_network_free. All arrays are host memory of its
 * own; backbone is a static text. Layers stand in the order in which they run: source and residual of a layer are smaller numbers
 * than its own, or -1. */
typedef struct pb_network {
    const char *backbone;     /* static name */
    pb_size size;             /* pixels; the input is RGB, 8 bits */
    float mean[3], scale[3];  /* input value = (byte - mean) * scale, per channel */
    int layer_count;
    pb_layer *layers;
    int tap_count;
    int taps[PB_TAPS_MAX];    /* layer whose output is tap t, in the order asked for */
} pb_network;

/* Shape of the output of one layer: places, and values a place. In memory: [height][width][channels]. */
typedef struct pb_layer_shape {
    pb_size size;
    int channels;
} pb_layer_shape;

/* Values of one image. */
static inline size_t pb_layer_shape_values(pb_layer_shape shape) {
    return pb_size_area(shape.size) * (size_t)shape.channels;
}

/* Names of the backbones of this build, NULL after the last. Static. */
const char *const *pb_backbone_names(void);

/* The taps of `backbone` that are usual ("4,10") and the side of its usual input in pixels; both from its table, the text static.
 * Not collective. Errors: PB_E_USAGE for an unknown backbone, with the known ones. */
PB_CHECKED pb_status pb_backbone_defaults(const char *backbone, const char **taps_out, int *side_out);

/* Least side of an input in pixels: the largest stride of a tap. */
enum { PB_INPUT_LEAST = 32 };

/* Builds the network of `backbone` for the taps in `taps` ("4,10": numbers of blocks, increasing), with tensors from lookup. The
 * blocks of a ResNet are its layers 1 to 4. A tap of DINOv2 is the patch tokens after that block and the network's final norm.
 * size: of the input in pixels, each side at least PB_INPUT_LEAST and, for DINOv2, a multiple of 14. Position embeddings are
 * interpolated to it (gpu/positions.h).
 * Out: *network, owned by the caller. Errors: PB_E_USAGE for an unknown backbone or tap or a size that does not suit it (the
 * nearest that do are named); PB_E_INPUT for a missing tensor, a wrong shape (found and expected are named), a value that is not
 * finite, or a tensor that only a network of another kind has; PB_E_SYSTEM when memory is out.
 * *network is then empty. Not collective. lookup is called from this thread, for each tensor by its own name and, where that is
 * missing, by the one that another program gives it (gpu/backbone_table.h); what it lends is borrowed during the call. Memory:
 * the folded weights, 4 bytes each. */
PB_CHECKED pb_status pb_network_load(const char *backbone, const char *taps, pb_size size, pb_tensor_lookup lookup, void *context,
                                     pb_network *network_out);

/* As pb_network_load, with seeded random weights: uniform with He's variance 2 / fan-in, biases 0, norms and scales the identity,
 * position embeddings with the deviation 0.02 that training begins with, class token 0. The floor that real weights must beat:
 * what architecture and preprocessing alone achieve. Number i of a layer's weights depends on the seed, the layer and i alone, so
 * it is the same on every rank and machine. */
PB_CHECKED pb_status pb_network_random(const char *backbone, const char *taps, pb_size size, uint64_t seed,
                                       pb_network *network_out);

/* As pb_network_load without weights and biases, which are NULL: for whoever asks only about shapes. Cheap: one array of
 * layers. */
PB_CHECKED pb_status pb_network_outline(const char *backbone, const char *taps, pb_size size, pb_network *network_out);

/* What can be asked of a backbone. One entry a block that may be tapped. */
typedef struct pb_backbone_tap {
    int block;            /* its number in a list of taps */
    int stride, channels; /* pixels of the input from one place of the output to the next; values a place */
} pb_backbone_tap;

/* What `patchbank backbones` prints. */
typedef struct pb_backbone_info {
    const char *taps;     /* the default; static */
    int side;             /* likewise, pixels */
    int64_t parameters;   /* values of all tensors up to the last block, but for running means and variances */
    int tap_count;
    pb_backbone_tap all[PB_BLOCKS_MAX];
} pb_backbone_info;

/* Errors: PB_E_USAGE for an unknown backbone, PB_E_SYSTEM when memory is out. Read off outlines at the usual size. Not
 * collective. */
PB_CHECKED pb_status pb_backbone_describe(const char *backbone, pb_backbone_info *info_out);

/* Frees everything; an empty network is fine. */
void pb_network_free(pb_network *network);

/* Output shape of layer `layer` (-1: the image, 3 channels). Follows sources back to the image at every call; asserts that the
 * layer is one of the network. */
pb_layer_shape pb_network_shape(const pb_network *network, int layer);

/* Pixels by which the kernel of `layer` reaches over the left edge of an input `length` pixels wide, or the upper edge of one so
 * high. Asks only about padding, kernel and stride, so a layer need not be in a network. */
int pb_layer_pad_before(const pb_layer *layer, int length);

/* Likewise over the right or the lower edge: of the kernel's last place; 0 where that does not reach the edge. */
int pb_layer_pad_after(const pb_layer *layer, int length);

#endif
