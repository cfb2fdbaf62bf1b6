/* The plain twins of gpu/ref.h except pb_ref_run (ref_network.c). Slow on purpose: one loop nest each, to be compared by eye with
 * the contracts.
 *
 * Order of arithmetic: gpu/ref.h, word for word; a fused multiply-add is fmaf, and the file is compiled without contraction.
 * Values that others keep (a pooled row, a smoothed column) are made again for each use, so that no loop depends on another: cost
 * does not matter here.
 */
#include "gpu/ref.h"

#include <math.h>

/* out[i][j] is one chain over k. */
void pb_ref_project(const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out) {
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < out_dim; j++) {
            float sum = 0.0f;
            for (int k = 0; k < dim; k++)
                sum = fmaf(rows[i * (size_t)dim + (size_t)k], matrix[(size_t)k * (size_t)out_dim + (size_t)j], sum);
            out[i * (size_t)out_dim + (size_t)j] = sum;
        }
}

/* The one definition of distance^2; t is rounded before it is squared. */
float pb_ref_distance2(const float *x, const float *centre, int dim) {
    float sum = 0.0f;
    for (int k = 0; k < dim; k++) {
        float difference = x[k] - centre[k];
        sum = fmaf(difference, difference, sum);
    }
    return sum;
}

/* Indices from 0. A distance that is not less stays, so equal ones and NaNs change nothing. */
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

/* nearest: in and out, as on a device. */
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

/* One value of a tap of one image, 0 outside. */
static float value_at(const float *tap, pb_layer_shape shape, int y, int x, int channel) {
    if (y < 0 || y >= shape.size.height || x < 0 || x >= shape.size.width)
        return 0.0f;
    return tap[((size_t)y * (size_t)shape.size.width + (size_t)x) * (size_t)shape.channels + (size_t)channel];
}

/* Mean over patch x patch places of one value of a tap of one image. */
static float mean(const float *tap, pb_layer_shape shape, int patch, int row, int column, int channel) {
    float sum = 0.0f;
    for (int y = row - patch / 2; y <= row + patch / 2; y++)
        for (int x = column - patch / 2; x <= column + patch / 2; x++)
            sum += value_at(tap, shape, y, x, channel);
    return sum * (1.0f / (float)(patch * patch));
}

/* Place i of `out` places in `in` places: between low and high, `fraction` of the way. */
typedef struct place {
    int low, high;
    float fraction;
} place;

/* In whole numbers up to the division: see pb_ref_patch_features. */
static place place_of(int i, int in, int out) {
    int64_t numerator = (2 * (int64_t)i + 1) * in - out, denominator = 2 * (int64_t)out; /* (i + 0.5) * in / out - 0.5 */
    if (numerator < 0)
        numerator = 0;
    if (numerator > denominator * (in - 1))
        numerator = denominator * (in - 1);
    int low = (int)(numerator / denominator);
    return (place){low, low + 1 < in ? low + 1 : low, (float)(numerator % denominator) / (float)denominator};
}

/* Rounded once for the difference and once for the multiply-add. */
static float between(float low, float high, float fraction) { return fmaf(fraction, high - low, low); }

/* One value of a feature. */
static float feature(const float *tap, pb_layer_shape shape, int patch, pb_size grid, int row, int column, int c) {
    if (pb_size_equal(shape.size, grid))
        return mean(tap, shape, patch, row, column, c);
    place y = place_of(row, shape.size.height, grid.height), x = place_of(column, shape.size.width, grid.width);
    float low = between(mean(tap, shape, patch, y.low, x.low, c), mean(tap, shape, patch, y.low, x.high, c), x.fraction);
    float high = between(mean(tap, shape, patch, y.high, x.low, c), mean(tap, shape, patch, y.high, x.high, c), x.fraction);
    return between(low, high, y.fraction);
}

/* Features in their order in memory: image, row, column, tap, channel. */
void pb_ref_patch_features(int patch, int tap_count, const pb_layer_shape *shapes, const float *const *taps, int n,
                           float *features) {
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX && patch % 2 == 1);
    pb_size grid = shapes[0].size;
    for (int image = 0; image < n; image++)
        for (int row = 0; row < grid.height; row++)
            for (int column = 0; column < grid.width; column++)
                for (int t = 0; t < tap_count; t++) {
                    const float *tap = taps[t] + (size_t)image * pb_layer_shape_values(shapes[t]);
                    for (int c = 0; c < shapes[t].channels; c++)
                        *features++ = feature(tap, shapes[t], patch, grid, row, column, c);
                }
}

/* `!(length <= 0)` is true for a NaN, which spreads over the row. */
void pb_ref_unit_rows(float *rows, size_t n, int dim) {
    for (size_t i = 0; i < n; i++, rows += dim) {
        float sum = 0.0f;
        for (int k = 0; k < dim; k++)
            sum = fmaf(rows[k], rows[k], sum);
        float length = isinf(sum) ? NAN : sqrtf(sum);
        for (int k = 0; k < dim && !(length <= 0); k++)
            rows[k] /= length;
    }
}

/* What value j of `to` is the mean of, when `from` values are pooled to so many. */
typedef struct bin {
    int64_t first, end;
} bin;

/* In 64 bits, since j * from may pass 2^31. */
static bin bin_of(int64_t j, int64_t from, int64_t to) { return (bin){j * from / to, ((j + 1) * from + to - 1) / to}; }

/* Pooled value j of the patch (row, column) of a tap of one image. */
static float pooled(const pb_patchcore *how, const float *tap, pb_layer_shape shape, int row, int column, int j) {
    const int area = how->patch * how->patch, reach = how->patch / 2;
    bin range = bin_of(j, (int64_t)shape.channels * area, how->layer_dim);
    float sum = 0.0f;
    for (int64_t at = range.first; at < range.end; at++) {
        int y = row * how->stride - reach + (int)(at % area) / how->patch;
        int x = column * how->stride - reach + (int)(at % how->patch);
        sum += value_at(tap, shape, y, x, (int)(at / area));
    }
    return sum * (1.0f / (float)(range.end - range.first));
}

/* The same at the place of the patch (row, column) of a grid of so many patches. */
static float aligned(const pb_patchcore *how, const float *tap, pb_layer_shape shape, pb_size grid, int row, int column, int j) {
    pb_size own = pb_patchcore_grid(how, shape.size);
    if (pb_size_equal(own, grid))
        return pooled(how, tap, shape, row, column, j);
    place y = place_of(row, own.height, grid.height), x = place_of(column, own.width, grid.width);
    float low = between(pooled(how, tap, shape, y.low, x.low, j), pooled(how, tap, shape, y.low, x.high, j), x.fraction);
    float high = between(pooled(how, tap, shape, y.high, x.low, j), pooled(how, tap, shape, y.high, x.high, j), x.fraction);
    return between(low, high, y.fraction);
}

/* The second pooling makes the first one's values anew for each of its terms: the slowest twin. */
void pb_ref_patchcore_features(const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes, const float *const *taps,
                               int n, float *features) {
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX);
    pb_size grid = pb_patchcore_grid(how, shapes[0].size);
    const int patches = grid.width * grid.height;
    for (int patch = 0; patch < n * patches; patch++)
        for (int j = 0; j < how->feature_dim; j++, features++) {
            bin range = bin_of(j, (int64_t)tap_count * how->layer_dim, how->feature_dim);
            float sum = 0.0f;
            for (int64_t at = range.first; at < range.end; at++) {
                int t = (int)(at / how->layer_dim), inside = patch % patches;
                const float *tap = taps[t] + (size_t)(patch / patches) * pb_layer_shape_values(shapes[t]);
                sum += aligned(how, tap, shapes[t], grid, inside / grid.width, inside % grid.width, (int)(at % how->layer_dim));
            }
            *features = sum * (1.0f / (float)(range.end - range.first));
        }
}

/* A map of one image at a pixel. */
static float raised(const float *map, pb_size grid, pb_size size, int row, int column) {
    place y = place_of(row, grid.height, size.height), x = place_of(column, grid.width, size.width);
    const float *low = map + (size_t)y.low * (size_t)grid.width, *high = map + (size_t)y.high * (size_t)grid.width;
    return between(between(low[x.low], low[x.high], x.fraction), between(high[x.low], high[x.high], x.fraction), y.fraction);
}

/* The same smoothed down its column. */
static float smooth_down(const pb_smoothing *how, const float *map, pb_size grid, pb_size size, int row, int column) {
    float sum = how->weights[0] * raised(map, grid, size, row, column);
    for (int k = 1; k <= how->reach; k++) {
        int above = pb_smoothing_mirror(row - k, size.height), below = pb_smoothing_mirror(row + k, size.height);
        sum = fmaf(how->weights[k], raised(map, grid, size, above, column) + raised(map, grid, size, below, column), sum);
    }
    return sum;
}

/* Along the rows, of what is smoothed down the columns. */
void pb_ref_smooth_maps(const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size, float *pixels) {
    for (int image = 0; image < n; image++, maps += pb_size_area(grid))
        for (int row = 0; row < size.height; row++)
            for (int column = 0; column < size.width; column++) {
                float sum = how->weights[0] * smooth_down(how, maps, grid, size, row, column);
                for (int k = 1; k <= how->reach; k++) {
                    int left = pb_smoothing_mirror(column - k, size.width), right = pb_smoothing_mirror(column + k, size.width);
                    sum = fmaf(how->weights[k], smooth_down(how, maps, grid, size, row, left) +
                                                    smooth_down(how, maps, grid, size, row, right), sum);
                }
                *pixels++ = sum;
            }
}
