/* Position embeddings by bicubic convolution, as PyTorch's interpolate does it (formula and source: gpu/positions.h). Along each
 * axis a place takes four neighbours with weights that sum to 1; a value of the result is the sum over 4 x 4. Computed once when
 * a network is loaded, so nothing here is fast: 16 products a value, in double. */
#include "gpu/positions.h"

#include <math.h>
#include <string.h>

enum { NEIGHBOURS = 4 };

/* What a place takes from the trained square along one axis. */
typedef struct place {
    int from[NEIGHBOURS];
    double weight[NEIGHBOURS];
} place;

/* Weight of a neighbour at a distance of 0 to 2 places: R. Keys, "Cubic convolution interpolation for digital image processing",
 * IEEE Transactions on Acoustics, Speech, and Signal Processing 29 (1981), with a as in PyTorch. Two cubics that meet at 1; a =
 * -0.75 is PyTorch's choice where Keys prefers -0.5. */
static double cubic(double distance) {
    const double a = -0.75, x = distance;
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

/* Where place i of n lies: two neighbours before, two after. Weights are those of the true distances; a neighbour outside of the
 * square is its edge. */
static place place_of(int i, int side, int n) {
    double at = (i + 0.5) * side / (n + 0.1) - 0.5;
    int first = (int)floor(at) - 1;
    place p;
    for (int k = 0; k < NEIGHBOURS; k++) {
        int from = first + k;
        p.weight[k] = cubic(fabs(at - from));
        p.from[k] = from < 0 ? 0 : from < side ? from : side - 1;
    }
    return p;
}

/* Channel c at one place of the result; the sum runs row by row. */
static double blend(const float *table, int side, int channels, const place *y, const place *x, int c) {
    double sum = 0;
    for (int j = 0; j < NEIGHBOURS; j++)
        for (int k = 0; k < NEIGHBOURS; k++)
            sum += y->weight[j] * x->weight[k] *
                   (double)table[((size_t)y->from[j] * (size_t)side + (size_t)x->from[k]) * (size_t)channels + (size_t)c];
    return sum;
}

void pb_positions_interpolate(const float *table, int side, int channels, pb_size size, float *out) {
    if (size.width == side && size.height == side) {
        memcpy(out, table, (size_t)side * (size_t)side * (size_t)channels * sizeof *out);
        return;
    }
    for (int row = 0; row < size.height; row++) {
        const place y = place_of(row, side, size.height);
        for (int column = 0; column < size.width; column++) {
            const place x = place_of(column, side, size.width);
            for (int c = 0; c < channels; c++)
                *out++ = (float)blend(table, side, channels, &y, &x, c);
        }
    }
}
