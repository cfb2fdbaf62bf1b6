/* backbone_table.h: private to gpu/: how a backbone is written down.
 *
 * A backbone is a stem and numbered blocks. A block row has the prefix of its tensors' names and the numbers in which blocks
 * differ; what the blocks of a kind have in common, the convolutions one after the other with their names, stands once in a list
 * of steps. gpu/network.c makes layers and tensor names out of them, so that another family of networks is another table:
 * backbone_NAME.c, and a line in PB_BACKBONES.
 */
#ifndef PB_GPU_BACKBONE_TABLE_H
#define PB_GPU_BACKBONE_TABLE_H

#include "gpu/network.h"

/* How many output channels a step has. */
typedef enum pb_step_width {
    PB_WIDTH_EXPANDED,  /* the block's input channels times its expansion; with expansion 1 the step is left out */
    PB_WIDTH_DEPTHWISE, /* those of its input: one filter a channel */
    PB_WIDTH_OUTPUTS    /* the block's */
} pb_step_width;

/* One convolution and its batch norm. Tensor names are the block's prefix, then conv or norm, then ".weight" and so on. */
typedef struct pb_step {
    const char *conv, *norm;
    pb_step_width width;
    bool spatial;   /* has the block's kernel and stride; otherwise 1x1 with stride 1 */
    pb_activation activation;
} pb_step;

typedef struct pb_block {
    const char *prefix; /* of the names of its tensors */
    const pb_step *steps;
    int step_count;
    int expansion, kernel, stride, outputs;
    bool residual;      /* add the block's input to its last step, where stride and channels allow it */
} pb_block;

/* A whole backbone; everything in it is static. */
typedef struct pb_backbone {
    const char *taps;        /* what PatchCore uses, as text */
    int side;                /* pixels of the usual input */
    float mean[3], scale[3]; /* input value = (byte - mean) * scale */
    double norm_epsilon;     /* added to each variance */
    const pb_block *stem;    /* before block 0; cannot be tapped */
    const pb_block *blocks;
    int block_count;
} pb_backbone;

/* The one list of backbones: each is known to users by this name and defined as pb_backbone_NAME in its own file. */
#define PB_BACKBONES(X) X(efficientnet_lite0)

#define PB_BACKBONE_DECLARATION(name) extern const pb_backbone pb_backbone_##name;
PB_BACKBONES(PB_BACKBONE_DECLARATION)
#undef PB_BACKBONE_DECLARATION

#endif
