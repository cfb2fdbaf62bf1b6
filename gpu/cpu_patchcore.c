/* PatchCore's published patch features on the "cpu" device (gpu/device.h, gpu/ref.h). A row of patches is made at once: the rows
 * of the tap under it are laid out channel by channel with their margin of zeros, so that a term of the pooling is one stretch of
 * memory for all patches of the row, and sums of neighbouring patches lie side by side.
 *
 * Steps of a band of BAND rows (contract: pb_device_patchcore_features, order of arithmetic: pb_ref_patchcore_features): lay_out
 * and pool_row make one row of a tap's pooled neighbourhoods; blend_columns, blended_row and join_row bring it to the first tap's
 * grid, as in cpu_features.c; pool_joined pools what all taps gave to the feature. Which values a pooled value is the mean of
 * (`bin`) is worked out once a call.
 *
 * A pooled value's sum runs over its bin in order, one neighbourhood's value after the other, for all patches of the row side by
 * side: the canonical order for each patch, in vectors across patches.
 */
#include "gpu/cpu.h"

#include "base/memory.h"

#include <omp.h>
#include <string.h>

/* Rows of features in one piece of work, as in cpu_features.c. */
enum { BAND = 8 };

/* What a pooled value is the mean of, and the factor of the sum. */
typedef struct bin {
    int first, end;
    float factor;
} bin;

/* One call of pb_cpu_patchcore_features. Read only while threads work. */
typedef struct patches {
    const pb_cpu_kernels *kernels;
    const pb_patchcore *how;
    int tap_count;
    pb_size grid;
    const pb_layer_shape *shapes;
    const float *const *taps;
    bin *bins; /* [tap_count][layer_dim] of each tap's neighbourhoods, then [feature_dim] of all taps' values */
    size_t planes, pooled, widest; /* floats of the parts of a scratch, the largest of all taps */
    float *features;
} patches;

/* What a thread works in. One block of memory, divided by scratch_at. */
typedef struct scratch {
    float *planes;     /* [channels][patch][width + margins] of the rows of a tap under one row of patches */
    float *sums;       /* [patches a row] */
    float *pooled;     /* [patches a row][layer_dim] */
    float *blended[2]; /* two such rows, blended along columns: [grid.width][layer_dim] */
    int row[2];        /* which rows of the tap's patches they are */
    float *joined;     /* [BAND][grid.width][tap_count][layer_dim] */
} scratch;

/* Floats of a row of joined values. */
static size_t joined_floats(const patches *p) {
    return (size_t)p->grid.width * (size_t)p->tap_count * (size_t)p->how->layer_dim;
}

/* Parts of scratch_at, in its order. */
static size_t scratch_floats(const patches *p) { return p->planes + p->widest + 3 * p->pooled + BAND * joined_floats(p); }

static scratch scratch_at(const patches *p, float *memory) {
    scratch s = {.planes = memory, .sums = memory + p->planes, .row = {-1, -1}};
    s.pooled = s.sums + p->widest;
    s.blended[0] = s.pooled + p->pooled;
    s.blended[1] = s.blended[0] + p->pooled;
    s.joined = s.blended[1] + p->pooled;
    return s;
}

/* A row of a tap with its margins of patch / 2 zeros on both sides. */
static size_t line_floats(const patches *p, pb_layer_shape shape) { return (size_t)(shape.size.width + p->how->patch - 1); }

/* Adaptive average pooling of `from` values to `to` (gpu/device.h): floor(j from / to) to ceil((j + 1) from / to) - 1. In 64
 * bits: from * to can pass 2^31. */
static void fill_bins(int from, int to, bin *bins) {
    for (int64_t j = 0; j < to; j++) {
        bin b = {(int)(j * from / to), (int)(((j + 1) * from + to - 1) / to), 0.0f};
        b.factor = 1.0f / (float)(b.end - b.first);
        bins[j] = b;
    }
}

/* Lays out the rows of a tap of one image that are under row `row` of patches. planes: [channels][patch][line]. Rows and margins
 * outside of the tap are the zeros of memset. Transposes: places of a channel become neighbours. */
static void lay_out(const patches *p, const float *tap, pb_layer_shape shape, int row, float *planes) {
    const size_t channels = (size_t)shape.channels, line = line_floats(p, shape), plane = line * (size_t)p->how->patch;
    const int reach = p->how->patch / 2;
    memset(planes, 0, channels * plane * sizeof *planes);
    for (int i = 0; i < p->how->patch; i++) {
        int y = row * p->how->stride - reach + i;
        if (y < 0 || y >= shape.size.height)
            continue;
        for (int x = 0; x < shape.size.width; x++) {
            const float *from = tap + ((size_t)y * (size_t)shape.size.width + (size_t)x) * channels;
            float *to = planes + (size_t)i * line + (size_t)(reach + x);
            for (size_t c = 0; c < channels; c++)
                to[c * plane] = from[c];
        }
    }
}

/* Adds `count` values, `stride` floats apart, to sums. */
static void add(const float *restrict values, int stride, int count, float *restrict sums) {
    if (stride == 1) /* a loop of its own, for vectors */
        for (int i = 0; i < count; i++)
            sums[i] += values[i];
    else
        for (int i = 0; i < count; i++)
            sums[i] += values[(size_t)i * (size_t)stride];
}

/* Row `row` of tap t's pooled neighbourhoods; patch x goes to out + x * out_stride. A flattened neighbourhood is ordered by
 * channel, row, column, so its value `at` of the patch at x is in plane line at / patch, at float at % patch + x * stride: one
 * stretch of memory for all patches. */
static void pool_row(const patches *p, int t, const float *tap, int row, const scratch *s, float *out, size_t out_stride) {
    const pb_patchcore *how = p->how;
    const pb_layer_shape shape = p->shapes[t];
    const size_t line = line_floats(p, shape);
    const int count = pb_patchcore_grid(how, shape.size).width;
    const bin *bins = p->bins + (size_t)t * (size_t)how->layer_dim;
    lay_out(p, tap, shape, row, s->planes);
    for (int j = 0; j < how->layer_dim; j++) {
        memset(s->sums, 0, (size_t)count * sizeof *s->sums);
        for (int at = bins[j].first; at < bins[j].end; at++) /* at / patch: channel * patch + row of the neighbourhood */
            add(s->planes + (size_t)(at / how->patch) * line + (size_t)(at % how->patch), how->stride, count, s->sums);
        for (int x = 0; x < count; x++)
            out[(size_t)x * out_stride + (size_t)j] = s->sums[x] * bins[j].factor;
    }
}

/* Makes blended[slot] the row `row` of tap t's pooled neighbourhoods, blended along columns. */
static void blend_columns(const patches *p, int t, const float *tap, int row, scratch *s, int slot) {
    const size_t dim = (size_t)p->how->layer_dim;
    const int own = pb_patchcore_grid(p->how, p->shapes[t].size).width;
    pool_row(p, t, tap, row, s, s->pooled, dim);
    for (int column = 0; column < p->grid.width; column++) {
        pb_cpu_place x = pb_cpu_place_of(column, own, p->grid.width);
        p->kernels->blend(s->pooled + (size_t)x.low * dim, s->pooled + (size_t)x.high * dim, x.fraction, dim,
                          s->blended[slot] + (size_t)column * dim);
    }
    s->row[slot] = row;
}

/* The slot that holds row `row`; makes it, without touching row `keep`, when none does. */
static int blended_row(const patches *p, int t, const float *tap, int row, int keep, scratch *s) {
    for (int slot = 0; slot < 2; slot++)
        if (s->row[slot] == row)
            return slot;
    int slot = s->row[0] == keep ? 1 : 0;
    blend_columns(p, t, tap, row, s, slot);
    return slot;
}

/* Tap t's part of row `row` of joined values; patch x goes to out + x * tap_count * layer_dim. */
static void join_row(const patches *p, int t, const float *tap, int row, scratch *s, float *out) {
    const size_t dim = (size_t)p->how->layer_dim, stride = (size_t)p->tap_count * dim;
    const pb_size own = pb_patchcore_grid(p->how, p->shapes[t].size);
    if (pb_size_equal(own, p->grid)) {
        pool_row(p, t, tap, row, s, out, stride);
        return;
    }
    pb_cpu_place y = pb_cpu_place_of(row, own.height, p->grid.height);
    const float *low = s->blended[blended_row(p, t, tap, y.low, y.high, s)];
    const float *high = s->blended[blended_row(p, t, tap, y.high, y.low, s)];
    for (int column = 0; column < p->grid.width; column++)
        p->kernels->blend(low + (size_t)column * dim, high + (size_t)column * dim, y.fraction, dim,
                          out + (size_t)column * stride);
}

/* One row of features out of joined values: means of values of one tap or, where a bin crosses their borders, of several. */
static void pool_joined(const patches *p, const float *joined, float *out) {
    const size_t stride = (size_t)p->tap_count * (size_t)p->how->layer_dim;
    const bin *bins = p->bins + stride;
    for (int column = 0; column < p->grid.width; column++) {
        const float *values = joined + (size_t)column * stride;
        for (int j = 0; j < p->how->feature_dim; j++) {
            float sum = 0.0f;
            for (int at = bins[j].first; at < bins[j].end; at++)
                sum += values[at];
            *out++ = sum * bins[j].factor;
        }
    }
}

/* Rows first .. of one image. The taps one after the other, each with its own two rows in `blended`; the joined rows of all of
 * them are in the same memory, as scratch_at lays it out alike. */
static void band(const patches *p, size_t image, int first, float *memory) {
    const int last = first + BAND < p->grid.height ? first + BAND : p->grid.height;
    float *joined = NULL;
    for (int t = 0; t < p->tap_count; t++) {
        scratch s = scratch_at(p, memory); /* no tap finds the rows of another */
        pb_layer_shape shape = p->shapes[t];
        const float *tap = p->taps[t] + image * pb_layer_shape_values(shape);
        joined = s.joined;
        for (int row = first; row < last; row++)
            join_row(p, t, tap, row, &s, joined + (size_t)(row - first) * joined_floats(p) + (size_t)(t * p->how->layer_dim));
    }
    for (int row = first; row < last; row++)
        pool_joined(p, joined + (size_t)(row - first) * joined_floats(p),
                    p->features + (image * (size_t)p->grid.height + (size_t)row) * (size_t)p->grid.width *
                                      (size_t)p->how->feature_dim);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Adds up what the taps ask for. */
static void measure(patches *p) {
    const pb_patchcore *how = p->how;
    const size_t dim = (size_t)how->layer_dim;
    for (int t = 0; t < p->tap_count; t++) {
        pb_layer_shape shape = p->shapes[t];
        PB_ASSERT(pb_layer_shape_values(shape) >= 1);
        int own = pb_patchcore_grid(how, shape.size).width;
        size_t most = (size_t)(own > p->grid.width ? own : p->grid.width);
        p->planes = larger(p->planes, (size_t)shape.channels * (size_t)how->patch * line_floats(p, shape));
        p->widest = larger(p->widest, most);
        p->pooled = larger(p->pooled, most * dim);
        fill_bins(shape.channels * how->patch * how->patch, how->layer_dim, p->bins + (size_t)t * dim);
    }
    fill_bins(p->tap_count * how->layer_dim, how->feature_dim, p->bins + (size_t)p->tap_count * dim);
}

/* scratch memory is not zeroed between pieces: everything that is read from it has been written by the piece, but for `row`,
 * which says what is there. */
pb_status pb_cpu_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                    const float *const *taps, int n, float *features) {
    patches p = {.kernels = ((const pb_cpu_state *)device->state)->kernels, .how = how, .tap_count = tap_count,
                 .grid = pb_patchcore_grid(how, shapes[0].size), .shapes = shapes, .taps = taps, .features = features};
    size_t bin_count = (size_t)tap_count * (size_t)how->layer_dim + (size_t)how->feature_dim;
    PB_TRY(pb_allocate(&p.bins, bin_count, sizeof *p.bins, "pooling"));
    measure(&p);
    const size_t each = scratch_floats(&p), bands = ((size_t)p.grid.height + BAND - 1) / BAND, pieces = (size_t)n * bands;
    float *memory = NULL;
    pb_status status = pb_allocate(&memory, (size_t)device->threads, each * sizeof(float), "patch features");
    if (!pb_failed(&status)) {
#pragma omp parallel for num_threads(device->threads) schedule(static)
        for (size_t piece = 0; piece < pieces; piece++)
            band(&p, piece / bands, (int)(piece % bands) * BAND, memory + (size_t)omp_get_thread_num() * each);
    }
    pb_release(&memory);
    pb_release(&p.bins);
    return status;
}
