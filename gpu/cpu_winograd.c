/* Which layers go by Winograd's F(2x2, 3x3), how they are cut into bands, and where the pixels of each tile lie. Arithmetic and
 * formulas: gpu/cpu_winograd.h; the transforms themselves are in gpu/cpu_kernels_body.h; why: decision 0020. Only pointers are
 * computed here: a pixel outside of the image becomes a pointer to zeros (or, when written, to spare memory), so that the
 * transforms have no edges. */
#include "gpu/cpu_winograd.h"

#include <math.h>

/* With fewer channels the transforms cost more than the products save; with fewer tiles, reading 16 / 9 times as many weights
 * does. The step fills the registers of every set of kernels. */
enum { CHANNELS_MIN = 64, CHANNELS_STEP = 16, TILES_MIN = 32 };

/* Tiles of a band: enough that reading the weights is little beside working with them, few enough for the caches.
 * Layers alone were fastest with 112 (128 channels at 56 pixels) and 196 (256 at 28); in whole ResNets 60 to 1,000 did not differ
 * beyond the noise. */
enum { BAND_TILES = 200 };

/* Floats from one position to the next: from one page to a later one, and 5 lines more. At multiples of 4 KiB the 16 streams of a
 * transform would share one set of the first cache (measured: eight times slower). */
enum { PAGE_FLOATS = 1024, SKEW_FLOATS = 80 };

/* A whole number of pages, then the skew. */
static size_t stride_of(int tiles, int channels) {
    size_t floats = (size_t)tiles * (size_t)channels;
    return (floats + PAGE_FLOATS - 1) / PAGE_FLOATS * PAGE_FLOATS + SKEW_FLOATS;
}

/* Bands are made equally high, so that the last is not a remainder that reads all weights for a few tiles. GELU is left to
 * oneDNN: the transform back ends with a minimum and a maximum, which is all that the other activations are. */
bool pb_winograd_plan(const pb_layer *layer, pb_layer_shape input, pb_layer_shape output, pb_winograd *plan) {
    int rows = (output.size.height + 1) / 2, columns = (output.size.width + 1) / 2;
    bool dense = layer->operation == PB_OPERATION_CONVOLUTION && layer->groups == 1 &&
                 layer->activation != PB_ACTIVATION_GELU;
    if (!dense || layer->kernel != 3 || layer->stride != 1 || layer->inputs < CHANNELS_MIN || layer->outputs < CHANNELS_MIN ||
        layer->inputs % CHANNELS_STEP != 0 || layer->outputs % CHANNELS_STEP != 0 || rows * columns < TILES_MIN)
        return false;
    int most = BAND_TILES / columns > 0 ? BAND_TILES / columns : 1, bands = (rows + most - 1) / most;
    *plan = (pb_winograd){.input = input, .output = output, .rows = rows,
                          .columns = columns, .band_rows = (rows + bands - 1) / bands};
    plan->above = pb_layer_pad_before(layer, input.size.height);
    plan->left = pb_layer_pad_before(layer, input.size.width);
    plan->tiles = plan->band_rows * columns;
    plan->value_stride = stride_of(plan->tiles, layer->inputs);
    plan->product_stride = stride_of(plan->tiles, layer->outputs);
    plan->lowest = layer->activation == PB_ACTIVATION_NONE ? -INFINITY : 0.0f;
    plan->highest = layer->activation == PB_ACTIVATION_RELU6 ? 6.0f : INFINITY;
    return true;
}

int pb_winograd_bands(const pb_winograd *plan) { return (plan->rows + plan->band_rows - 1) / plan->band_rows; }

/* Row p / 4 of G by its row p % 4, element by element: (G g G')[a][b] = sum over k, l of G[a][k] G[b][l] g[k][l]. */
void pb_winograd_weights(const pb_layer *layer, int position, float *out) {
    static const double G[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    const double *down = G[position / 4], *across = G[position % 4];
    size_t count = (size_t)layer->outputs * (size_t)layer->inputs;
    for (size_t i = 0; i < count; i++) {
        const float *kernel = layer->weights + i * 9;
        double sum = 0;
        for (int k = 0; k < 9; k++)
            sum += down[k / 3] * across[k % 3] * (double)kernel[k];
        out[i] = (float)sum;
    }
}

/* Where the channels of pixel (y, x) of an image begin; -1 outside. */
static ptrdiff_t place_of(pb_layer_shape shape, int y, int x) {
    bool inside = y >= 0 && y < shape.size.height && x >= 0 && x < shape.size.width;
    return inside ? ((ptrdiff_t)y * shape.size.width + x) * shape.channels : -1;
}

/* Tiles of `band` that there are. */
static int tiles_in(const pb_winograd *plan, int band) {
    int left = plan->rows - band * plan->band_rows;
    return plan->columns * (left < plan->band_rows ? left : plan->band_rows);
}

/* Tile t of the image has its upper left pixel at (row of tiles * 2 - above, column of tiles * 2 - left): tiles of 4 x 4 pixels
 * overlap by two. */
void pb_winograd_spread(const pb_winograd *plan, const pb_cpu_kernels *kernels, const float *image, int band,
                        const pb_winograd_memory *memory) {
    const int first = band * plan->tiles, count = tiles_in(plan, band), channels = plan->input.channels;
    for (int t = 0; t < count; t++) {
        int top = (first + t) / plan->columns * 2 - plan->above, left = (first + t) % plan->columns * 2 - plan->left;
        const float *pixels[16];
        for (int i = 0; i < 16; i++) {
            ptrdiff_t place = place_of(plan->input, top + i / 4, left + i % 4);
            pixels[i] = place < 0 ? memory->zeros : image + place;
        }
        kernels->winograd_spread(pixels, channels, memory->values + (size_t)t * (size_t)channels, plan->value_stride);
    }
}

/* Outputs beyond the last row or column, which an odd side has, go to the spare memory. No residual is one of zeros. */
void pb_winograd_collect(const pb_winograd *plan, const pb_cpu_kernels *kernels, const float *bias, const float *residual,
                         int band, const pb_winograd_memory *memory, float *image) {
    const int first = band * plan->tiles, count = tiles_in(plan, band), channels = plan->output.channels;
    for (int t = 0; t < count; t++) {
        int top = (first + t) / plan->columns * 2, left = (first + t) % plan->columns * 2;
        const float *residuals[4];
        float *pixels[4];
        for (int i = 0; i < 4; i++) {
            ptrdiff_t place = place_of(plan->output, top + i / 2, left + i % 2);
            pixels[i] = place < 0 ? memory->spare : image + place;
            residuals[i] = place < 0 || !residual ? memory->zeros : residual + place;
        }
        kernels->winograd_collect(memory->products + (size_t)t * (size_t)channels, plan->product_stride, bias, residuals,
                                  plan->lowest, plan->highest, channels, pixels);
    }
}
