/* backbone_table.h: private to gpu/: how a backbone is written down.
 *
 * A backbone is a stem and numbered blocks. A block row has the prefix of its tensors' names and the numbers in which blocks
 * differ; what the blocks of a kind have in common, the operations one after the other with their names, stands once in a list
 * of steps. A row may stand for several units in a row, as ResNet's layers do. gpu/network.c makes layers and tensor names out of
 * them, so that another family of networks is another table: backbone_FAMILY.c, and a line in PB_BACKBONES. Static data only; not
 * collective.
 */
#ifndef PB_GPU_BACKBONE_TABLE_H
#define PB_GPU_BACKBONE_TABLE_H

#include "gpu/network.h"

/* How many output channels a step has. */
typedef enum pb_step_width {
    PB_WIDTH_EXPANDED,  /* the block's input channels times its expansion; with expansion 1 the step is left out */
    PB_WIDTH_DEPTHWISE, /* those of its input: one filter a channel */
    PB_WIDTH_MIDDLE,    /* the block's `middle` */
    PB_WIDTH_OUTPUTS,   /* the block's */
    PB_WIDTH_ATTENDED   /* three times the block's: queries, keys and values of an attention of its `heads`; the queries are to be
                         * divided by the square root of a head's channels */
} pb_step_width;

/* Which of the block's kernel and stride a step has; 1 stands for the other. */
typedef enum pb_step_extent {
    PB_EXTENT_POINT,
    PB_EXTENT_KERNEL,
    PB_EXTENT_STRIDE,
    PB_EXTENT_BOTH
} pb_step_extent;

/* One operation. Tensor names are the prefix, then name or norm, then ".weight" and so on; the name of an operation without
 * weights is for messages. A convolution has a batch norm or else its own bias; without a batch norm and of one place it is a
 * linear layer, whose weights are a matrix [outputs][inputs]. */
typedef struct pb_step {
    const char *name, *norm; /* norm: the batch norm of a convolution; NULL: none */
    pb_step_width width;
    pb_step_extent extent;
    pb_activation activation;
    pb_operation operation;
    const char *scale;       /* tensor [outputs] by which the outputs of a linear layer are multiplied; NULL: none */
    bool joins;              /* add the unit's input, or the sum of the step before it that joins; the next one adds this sum */
} pb_step;

/* A convolution, its batch norm and its activation. */
#define PB_STEP_CONVOLUTION(name_, norm_, width_, extent_, activation_) \
    {.name = name_, .norm = norm_, .width = width_, .extent = extent_, .activation = activation_}

typedef struct pb_block {
    const char *prefix; /* of the names of its tensors */
    const pb_step *steps;
    int step_count;
    int expansion, kernel, stride, outputs;
    bool residual;      /* the last step of a unit joins, where stride and channels allow it */
    int middle;         /* channels of the steps of PB_WIDTH_MIDDLE */
    int heads;          /* of its attention */
    int units;          /* so many times the steps, with "0.", "1.", ... after the prefix and the stride in the first alone; 0:
                         * once, without a number */
    const pb_step *shortcut; /* what the input goes through before it is added where stride or channels differ; NULL: not added */
} pb_block;

/* Position embeddings of a vision transformer, the tensor of its step of PB_OPERATION_TOKENS. */
typedef struct pb_positions {
    int side;                   /* places of the square that they were trained for */
    const char *class_token;    /* the tensor */
    const char *const *refused; /* tensors that only a network of another kind has, which would pass for this; ends with NULL */
} pb_positions;

enum { PB_TENSOR_NAME_MAX = 96 };

/* A whole backbone; everything in it is static. */
typedef struct pb_backbone {
    const char *taps;        /* what is usual, as text */
    int side;                /* pixels of the usual input */
    float mean[3], scale[3]; /* input value = (byte - mean) * scale */
    double norm_epsilon;     /* added to each variance */
    pb_padding padding;      /* of every layer */
    int multiple;            /* of which each side of the input is one; 0: any will do */
    pb_positions positions;  /* where there is a step of PB_OPERATION_TOKENS */
    const pb_block *head;    /* what the output of a block goes through to be a tap; NULL: nothing */
    const pb_block *stem;    /* before the blocks; cannot be tapped */
    int stem_count;
    const pb_block *blocks;
    int block_count;
    int first_block;         /* number of the first, which is how taps count */
    /* What another well-known program calls tensor `name`; NULL: nothing else. */
    void (*other_name)(const char *name, char other[PB_TENSOR_NAME_MAX]);
} pb_backbone;

/* The one list of backbones: each is known to users by this name and defined as pb_backbone_NAME in its family's file. Their
 * order is the order in which they are shown. */
#define PB_BACKBONES(X)   \
    X(efficientnet_lite0) \
    X(resnet18)           \
    X(resnet34)           \
    X(resnet50)           \
    X(resnet101)          \
    X(wide_resnet50_2)    \
    X(wide_resnet101_2)   \
    X(dinov2_vits14)      \
    X(dinov2_vitb14)      \
    X(dinov2_vitl14)

#define PB_BACKBONE_DECLARATION(name) extern const pb_backbone pb_backbone_##name;
PB_BACKBONES(PB_BACKBONE_DECLARATION)
#undef PB_BACKBONE_DECLARATION

#endif
