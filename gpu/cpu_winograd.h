/* cpu_winograd.h: private to gpu/: 3x3 convolutions with 2.25 times fewer multiplications, for gpu/cpu_network.c.
 *
 * S. Winograd's F(2x2, 3x3), as in A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, 4.1:
 * a tile d of 4 x 4 inputs and a kernel g of 3 x 3 give 2 x 2 outputs
 *   y = A' [(G g G') * (B' d B)] A     * element by element; ' transposed
 *        1  0 -1  0        1    0    0
 *   B' = 0  1  1  0   G = 1/2  1/2  1/2   A' = 1  1  1  0
 *        0 -1  1  0       1/2 -1/2  1/2        0  1 -1 -1
 *        0  1  0 -1        0    0    1
 * and the sum over input channels is taken between the brackets, so that each of the 16 places ("positions") of a tile is one
 * product of matrices, [tiles][inputs] with [inputs][outputs]: 16 multiplications for 4 outputs instead of 36. The transforms
 * only add. tests/gpu/networks.c derives a bound of the rounding errors.
 *
 * The work goes band by band: a few rows of tiles, whose values and products stay in the cache. How an image is divided depends
 * on the layer alone, and the transforms give the same bits by every set of kernels.
 */
#ifndef PB_GPU_CPU_WINOGRAD_H
#define PB_GPU_CPU_WINOGRAD_H

#include "gpu/cpu_kernels.h"
#include "gpu/network.h"

enum { PB_WINOGRAD_POSITIONS = 16 };

/* How one layer is done. The values of a band are [PB_WINOGRAD_POSITIONS][tiles][inputs] float, its products
 * [PB_WINOGRAD_POSITIONS][tiles][outputs], with value_stride and product_stride floats from a position to the next. */
typedef struct pb_winograd {
    pb_layer_shape input, output;
    int above, left;   /* pixels of the first tile over the edge */
    int rows, columns; /* of tiles */
    int band_rows;     /* rows of tiles in a band; the last band may have fewer, and leaves the rest as it was */
    int tiles;         /* of a band */
    size_t value_stride, product_stride;
    float lowest, highest; /* what the activation limits outputs to */
} pb_winograd;

/* Memory for one band. zeros is for pixels outside the image, spare for outputs there. A thread's own; nothing is kept from band
 * to band. */
typedef struct pb_winograd_memory {
    float *values, *products;
    float *zeros; /* [max(inputs, outputs)] zeros, read only */
    float *spare; /* [outputs] */
} pb_winograd_memory;

/* Whether a layer is worth doing so, and how: 3x3, stride 1, all channels with all, enough of them and of tiles. *plan is left
 * alone when it is not. Plain data: nothing to free. */
bool pb_winograd_plan(const pb_layer *layer, pb_layer_shape input, pb_layer_shape output, pb_winograd *plan);

/* Bands of an image. */
int pb_winograd_bands(const pb_winograd *plan);

/* G g G' of one position for all channels: out [outputs][inputs]; in double, rounded once. layer->weights:
 * [outputs][inputs][3][3]. */
void pb_winograd_weights(const pb_layer *layer, int position, float *out);

/* B' d B of the tiles of `band`. image: [height][width][inputs]. Writes memory->values of the tiles that there are. */
void pb_winograd_spread(const pb_winograd *plan, const pb_cpu_kernels *kernels, const float *image, int band,
                        const pb_winograd_memory *memory);

/* A' m A of the products of the tiles of `band`, + bias [+ residual], then the activation. residual, image:
 * [height][width][outputs]; residual NULL: none. */
void pb_winograd_collect(const pb_winograd *plan, const pb_cpu_kernels *kernels, const float *bias, const float *residual,
                         int band, const pb_winograd_memory *memory, float *image);

#endif
