/* Patch features and projection of the "cpu" device: the work cut into pieces for threads, the arithmetic in cpu_kernels.h.
 *
 * Patch features (contract: pb_device_patch_features, order of arithmetic: pb_ref_patch_features). A piece of work is a band of
 * rows of one image's grid. In it a tap of the grid's own size is averaged straight into the features; a smaller one is averaged
 * row by row into scratch memory, blended along columns, and two such rows are blended into each row of features. The two rows
 * last made are kept, since consecutive rows of the grid lie between the same two or move on by one.
 *
 * Each value is computed by one thread in the stated order, so nothing depends on bands or threads (invariants 1 and 4).
 */
#include "gpu/cpu.h"

#include "base/memory.h"

#include <omp.h>

static const pb_cpu_kernels *kernels_of(const pb_device *device) { return ((const pb_cpu_state *)device->state)->kernels; }

/* One call of pb_cpu_patch_features. */
typedef struct patches {
    const pb_cpu_kernels *kernels;
    int patch, tap_count;
    pb_size grid;
    const pb_layer_shape *shapes;
    const float *const *taps;
    size_t dim;    /* values a patch */
    size_t widest; /* floats of the widest row of means, before or after blending */
    int channels;  /* of the tap with most */
    float *features;
} patches;

/* What a thread works in. Laid out in one block of memory a thread by scratch_at; made anew for each tap of a piece. */
typedef struct scratch {
    float *zeros;      /* [channels] */
    float *means;      /* [width][channels] of one row of a tap */
    float *blended[2]; /* two rows of means, blended along columns: [grid.width][channels] */
    int row[2];        /* which rows of the tap they are */
} scratch;

/* Room for the three rows and the zeros. */
static size_t scratch_floats(const patches *p) { return 3 * p->widest + (size_t)p->channels; }

/* `zeros` is the one part that nobody writes, so what the block was allocated with stays. Rows -1 are none. */
static scratch scratch_at(const patches *p, float *memory) {
    return (scratch){memory + 3 * p->widest, memory, {memory + p->widest, memory + 2 * p->widest}, {-1, -1}};
}

/* Row `row` of the means of a tap of one image. Values of place x go to out + x * stride floats. */
static void mean_row(const patches *p, const float *tap, pb_layer_shape shape, int row, const scratch *s, float *out,
                     size_t stride) {
    const size_t row_floats = (size_t)shape.size.width * (size_t)shape.channels;
    const float *rows[PB_NEIGHBOURHOOD_MAX];
    for (int i = 0; i < p->patch; i++) {
        int y = row - p->patch / 2 + i;
        rows[i] = y >= 0 && y < shape.size.height ? tap + (size_t)y * row_floats : NULL;
    }
    p->kernels->mean_row(p->patch, rows, s->zeros, shape.size.width, shape.channels, out, stride);
}

/* Makes blended[slot] the row `row` of the means, blended along columns. All channels of a place at once: the fraction is that of
 * the place. */
static void blend_columns(const patches *p, const float *tap, pb_layer_shape shape, int row, scratch *s, int slot) {
    const size_t channels = (size_t)shape.channels;
    mean_row(p, tap, shape, row, s, s->means, channels);
    for (int column = 0; column < p->grid.width; column++) {
        pb_cpu_place x = pb_cpu_place_of(column, shape.size.width, p->grid.width);
        p->kernels->blend(s->means + (size_t)x.low * channels, s->means + (size_t)x.high * channels, x.fraction, channels,
                          s->blended[slot] + (size_t)column * channels);
    }
    s->row[slot] = row;
}

/* The slot that holds row `row`; makes it, without touching row `keep`, when none does. `keep` is the other row that the caller
 * is about to blend with, so it must survive. Where low and high are the same row (at the edges) both calls find one slot. */
static int blended_row(const patches *p, const float *tap, pb_layer_shape shape, int row, int keep, scratch *s) {
    for (int slot = 0; slot < 2; slot++)
        if (s->row[slot] == row)
            return slot;
    int slot = s->row[0] == keep ? 1 : 0;
    blend_columns(p, tap, shape, row, s, slot);
    return slot;
}

/* One tap's part of the features of rows first .. last - 1 of one image. out: the first of these rows, this tap's channels. */
static void tap_band(const patches *p, const float *tap, pb_layer_shape shape, int first, int last, scratch *s, float *out) {
    const size_t channels = (size_t)shape.channels;
    for (int row = first; row < last; row++, out += (size_t)p->grid.width * p->dim) {
        if (pb_size_equal(shape.size, p->grid)) {
            mean_row(p, tap, shape, row, s, out, p->dim);
            continue;
        }
        pb_cpu_place y = pb_cpu_place_of(row, shape.size.height, p->grid.height);
        const float *low = s->blended[blended_row(p, tap, shape, y.low, y.high, s)];
        const float *high = s->blended[blended_row(p, tap, shape, y.high, y.low, s)];
        for (int column = 0; column < p->grid.width; column++)
            p->kernels->blend(low + (size_t)column * channels, high + (size_t)column * channels, y.fraction, channels,
                              out + (size_t)column * p->dim);
    }
}

/* Rows of features in one piece of work. Neighbouring bands both make the rows of means that lie between them: with fewer rows a
 * band that would weigh, with more a single image would not occupy the threads. */
enum { BAND = 8 };

/* Rows first .. first + BAND - 1 of the features of one image, or fewer at the end; all taps, side by side. */
static void band(const patches *p, size_t image, int first, float *memory) {
    const int last = first + BAND < p->grid.height ? first + BAND : p->grid.height;
    float *out = p->features + (image * (size_t)p->grid.height + (size_t)first) * (size_t)p->grid.width * p->dim;
    for (int t = 0; t < p->tap_count; t++) {
        scratch s = scratch_at(p, memory); /* no tap finds the rows of another */
        pb_layer_shape shape = p->shapes[t];
        const float *tap = p->taps[t] + image * pb_layer_shape_values(shape);
        tap_band(p, tap, shape, first, last, &s, out);
        out += shape.channels;
    }
}

/* Adds up what the taps ask for. */
static void measure(patches *p) {
    for (int t = 0; t < p->tap_count; t++) {
        pb_layer_shape shape = p->shapes[t];
        PB_ASSERT(pb_layer_shape_values(shape) >= 1);
        size_t width = (size_t)(shape.size.width > p->grid.width ? shape.size.width : p->grid.width);
        size_t floats = width * (size_t)shape.channels;
        p->widest = floats > p->widest ? floats : p->widest;
        p->channels = shape.channels > p->channels ? shape.channels : p->channels;
        p->dim += (size_t)shape.channels;
    }
}

pb_status pb_cpu_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                const float *const *taps, int n, float *features) {
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX && n >= 0);
    patches p = {.kernels = kernels_of(device),
                 .patch = patch,
                 .tap_count = tap_count,
                 .grid = shapes[0].size,
                 .shapes = shapes,
                 .taps = taps,
                 .features = features};
    measure(&p);
    const size_t each = scratch_floats(&p), bands = ((size_t)p.grid.height + BAND - 1) / BAND, pieces = (size_t)n * bands;
    float *memory;
    PB_TRY(pb_allocate(&memory, (size_t)device->threads, each * sizeof(float), "patch features")); /* zeros stay zeros */
#pragma omp parallel for num_threads(device->threads) schedule(static)
    for (size_t piece = 0; piece < pieces; piece++)
        band(&p, piece / bands, (int)(piece % bands) * BAND, memory + (size_t)omp_get_thread_num() * each);
    pb_release(&memory);
    return pb_ok();
}

/* A row is one chain of additions, so threads take different rows. */
pb_status pb_cpu_unit_rows(pb_device *device, float *rows, size_t n, int dim) {
    const pb_cpu_kernels *kernels = kernels_of(device);
#pragma omp parallel for num_threads(device->threads) schedule(static)
    for (size_t i = 0; i < n; i++)
        kernels->unit_row(rows + i * (size_t)dim, dim);
    return pb_ok();
}

/* Lays the columns of matrix [dim][out_dim] into tiles: a column is a "point" whose product with a row is wanted. Lanes beyond
 * out_dim keep the zeros of the allocation; their products are not stored. */
static void tile_columns(const float *matrix, int dim, int out_dim, float *tiles) {
    for (int first = 0; first < out_dim; first += PB_LANES) {
        int columns = out_dim - first < PB_LANES ? out_dim - first : PB_LANES;
        for (int k = 0; k < dim; k++, tiles += PB_LANES)
            for (int j = 0; j < columns; j++)
                tiles[j] = matrix[(size_t)k * (size_t)out_dim + (size_t)(first + j)];
    }
}

/* Contract: gpu/device.h. The matrix is laid out anew in each call: dim * out_dim moves beside n times as many multiply-adds. */
pb_status pb_cpu_project(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out) {
    PB_ASSERT(dim >= 1 && out_dim >= 1);
    const pb_cpu_kernels *kernels = kernels_of(device);
    const size_t tiles = ((size_t)out_dim + PB_LANES - 1) / PB_LANES;
    const size_t step = pb_cpu_chunk_rows(dim), chunks = (n + step - 1) / step;
    float *columns;
    PB_TRY(pb_allocate(&columns, tiles * PB_LANES, (size_t)dim * sizeof(float), "projection"));
    tile_columns(matrix, dim, out_dim, columns);
#pragma omp parallel for num_threads(device->threads) schedule(static)
    for (size_t chunk = 0; chunk < chunks; chunk++) {
        size_t first = chunk * step, count = n - first < step ? n - first : step;
        kernels->project(columns, out_dim, dim, rows + first * (size_t)dim, count, out + first * (size_t)out_dim);
    }
    pb_release(&columns);
    return pb_ok();
}
