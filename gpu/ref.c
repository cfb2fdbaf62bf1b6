/* The plain twins of gpu/ref.h except pb_ref_run (ref_network.c). Slow on purpose: one loop nest each, to be compared by eye with
 * the contracts. */
#include "gpu/ref.h"

#include <math.h>

void pb_ref_project(const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out) {
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < out_dim; j++) {
            float sum = 0.0f;
            for (int k = 0; k < dim; k++)
                sum = fmaf(rows[i * (size_t)dim + (size_t)k], matrix[(size_t)k * (size_t)out_dim + (size_t)j], sum);
            out[i * (size_t)out_dim + (size_t)j] = sum;
        }
}

float pb_ref_distance2(const float *x, const float *centre, int dim) {
    float sum = 0.0f;
    for (int k = 0; k < dim; k++) {
        float difference = x[k] - centre[k];
        sum = fmaf(difference, difference, sum);
    }
    return sum;
}

uint64_t pb_ref_greedy_step(const float *points, size_t n, int dim, const float *centre, float *distance2) {
    PB_ASSERT(n < UINT32_MAX);
    uint64_t farthest = 0;
    for (size_t i = 0; i < n; i++) {
        float fresh = pb_ref_distance2(points + i * (size_t)dim, centre, dim);
        if (fresh < distance2[i])
            distance2[i] = fresh;
        uint64_t packed = pb_pack_farthest(distance2[i], (uint32_t)i);
        if (packed > farthest)
            farthest = packed;
    }
    return farthest;
}

void pb_ref_nearest(const float *points, size_t n, int dim, uint32_t first_index, const float *queries, size_t count,
                    uint64_t *nearest) {
    PB_ASSERT(n <= UINT32_MAX - first_index);
    for (size_t q = 0; q < count; q++)
        for (size_t i = 0; i < n; i++) {
            float distance2 = pb_ref_distance2(points + i * (size_t)dim, queries + q * (size_t)dim, dim);
            uint64_t packed = pb_pack_nearest(distance2, first_index + (uint32_t)i);
            if (packed < nearest[q])
                nearest[q] = packed;
        }
}

/* Mean over 3x3 of one value of a tap of one image. */
static float mean9(const float *tap, pb_layer_shape shape, int row, int column, int channel) {
    float sum = 0.0f;
    for (int y = row - 1; y <= row + 1; y++)
        for (int x = column - 1; x <= column + 1; x++) {
            bool inside = y >= 0 && y < shape.side && x >= 0 && x < shape.side;
            size_t pixel = inside ? (size_t)y * (size_t)shape.side + (size_t)x : 0;
            sum += inside ? tap[pixel * (size_t)shape.channels + (size_t)channel] : 0.0f;
        }
    return sum * (1.0f / 9);
}

/* Place i of `out` places in `in` places: between low and high, `fraction` of the way. */
typedef struct place {
    int low, high;
    float fraction;
} place;

static place place_of(int i, int in, int out) {
    int64_t numerator = (2 * (int64_t)i + 1) * in - out, denominator = 2 * (int64_t)out; /* (i + 0.5) * in / out - 0.5 */
    if (numerator < 0)
        numerator = 0;
    if (numerator > denominator * (in - 1))
        numerator = denominator * (in - 1);
    int low = (int)(numerator / denominator);
    return (place){low, low + 1 < in ? low + 1 : low, (float)(numerator % denominator) / (float)denominator};
}

static float between(float low, float high, float fraction) { return fmaf(fraction, high - low, low); }

/* One value of a feature. */
static float feature(const float *tap, pb_layer_shape shape, int grid, int row, int column, int channel) {
    if (shape.side == grid)
        return mean9(tap, shape, row, column, channel);
    place y = place_of(row, shape.side, grid), x = place_of(column, shape.side, grid);
    float low = between(mean9(tap, shape, y.low, x.low, channel), mean9(tap, shape, y.low, x.high, channel), x.fraction);
    float high = between(mean9(tap, shape, y.high, x.low, channel), mean9(tap, shape, y.high, x.high, channel), x.fraction);
    return between(low, high, y.fraction);
}

void pb_ref_patch_features(int tap_count, const pb_layer_shape *shapes, const float *const *taps, int n, float *features) {
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX);
    int grid = shapes[0].side;
    for (int image = 0; image < n; image++)
        for (int row = 0; row < grid; row++)
            for (int column = 0; column < grid; column++)
                for (int t = 0; t < tap_count; t++) {
                    size_t image_floats = (size_t)shapes[t].side * (size_t)shapes[t].side * (size_t)shapes[t].channels;
                    for (int c = 0; c < shapes[t].channels; c++)
                        *features++ = feature(taps[t] + (size_t)image * image_floats, shapes[t], grid, row, column, c);
                }
}

/* What value j of `to` is the mean of, when `from` values are pooled to so many. */
typedef struct bin {
    int64_t first, end;
} bin;

static bin bin_of(int64_t j, int64_t from, int64_t to) { return (bin){j * from / to, ((j + 1) * from + to - 1) / to}; }

/* Pooled value j of the patch (row, column) of a tap of one image. */
static float pooled(const pb_patchcore *how, const float *tap, pb_layer_shape shape, int row, int column, int j) {
    const int area = how->patch * how->patch, reach = how->patch / 2;
    bin range = bin_of(j, (int64_t)shape.channels * area, how->layer_dim);
    float sum = 0.0f;
    for (int64_t at = range.first; at < range.end; at++) {
        int y = row * how->stride - reach + (int)(at % area) / how->patch;
        int x = column * how->stride - reach + (int)(at % how->patch);
        bool inside = y >= 0 && y < shape.side && x >= 0 && x < shape.side;
        size_t pixel = inside ? (size_t)y * (size_t)shape.side + (size_t)x : 0;
        sum += inside ? tap[pixel * (size_t)shape.channels + (size_t)(at / area)] : 0.0f;
    }
    return sum * (1.0f / (float)(range.end - range.first));
}

/* The same at the place of the patch (row, column) of a grid of so many patches. */
static float aligned(const pb_patchcore *how, const float *tap, pb_layer_shape shape, int grid, int row, int column, int j) {
    int own = pb_patchcore_grid(how, shape.side);
    if (own == grid)
        return pooled(how, tap, shape, row, column, j);
    place y = place_of(row, own, grid), x = place_of(column, own, grid);
    float low = between(pooled(how, tap, shape, y.low, x.low, j), pooled(how, tap, shape, y.low, x.high, j), x.fraction);
    float high = between(pooled(how, tap, shape, y.high, x.low, j), pooled(how, tap, shape, y.high, x.high, j), x.fraction);
    return between(low, high, y.fraction);
}

void pb_ref_patchcore_features(const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes, const float *const *taps,
                               int n, float *features) {
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX);
    int grid = pb_patchcore_grid(how, shapes[0].side);
    for (int patch = 0; patch < n * grid * grid; patch++)
        for (int j = 0; j < how->feature_dim; j++, features++) {
            bin range = bin_of(j, (int64_t)tap_count * how->layer_dim, how->feature_dim);
            float sum = 0.0f;
            for (int64_t at = range.first; at < range.end; at++) {
                int t = (int)(at / how->layer_dim), image = patch / (grid * grid);
                size_t image_floats = (size_t)shapes[t].side * (size_t)shapes[t].side * (size_t)shapes[t].channels;
                sum += aligned(how, taps[t] + (size_t)image * image_floats, shapes[t], grid, patch / grid % grid, patch % grid,
                               (int)(at % how->layer_dim));
            }
            *features = sum * (1.0f / (float)(range.end - range.first));
        }
}
