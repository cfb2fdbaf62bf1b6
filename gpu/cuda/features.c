/* Patch features of the "cuda" device: a field is made of each tap (means, or pooled neighbourhoods); one of the grid's own size
 * goes straight to its place among the features, another through scratch memory and a blend.
 *
 * Steps are those of gpu/ref.h, one launch each: patch_means or patch_pool, patch_blend, and for PatchCore's a last row_pool.
 * Images are worked on in pieces whose scratch memory stays within scratch_most; every value depends on its own image alone, so
 * pieces change no bit (invariant 4).
 */
#include "gpu/cuda/cuda.h"

static pb_cuda_field field_of(const float *tap, pb_layer_shape shape, size_t n) {
    return (pb_cuda_field){tap, n, shape.size.height, shape.size.width, shape.channels};
}

/* One image always, whatever it needs; n where no scratch memory is needed. */
size_t pb_cuda_piece_of(const pb_device *device, size_t floats, int n) {
    const size_t fit = floats > 0 ? pb_cuda_state_of(device)->scratch_most / sizeof(float) / floats : (size_t)n;
    return fit < 1 ? 1 : fit < (size_t)n ? fit : (size_t)n;
}

/* ---- means ---- */

/* One call of pb_cuda_patch_features. */
typedef struct means {
    int patch;
    pb_size grid;
    size_t dim;
    float *scratch;
} means;

/* One tap of n images. out: its channels of the first patch. */
static pb_status means_of_tap(pb_device *device, const means *m, const float *tap, pb_layer_shape shape, size_t n, float *out) {
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    const pb_cuda_field field = field_of(tap, shape, n);
    if (pb_size_equal(shape.size, m->grid))
        return pb_cuda_check(device, pb_cuda_patch_means(stream, field, m->patch, out, m->dim), "patch_means");
    PB_TRY(pb_cuda_check(device, pb_cuda_patch_means(stream, field, m->patch, m->scratch, (size_t)shape.channels),
                         "patch_means"));
    return pb_cuda_check(device,
                         pb_cuda_patch_blend(stream, field_of(m->scratch, shape, n), m->grid.height, m->grid.width, out, m->dim),
                         "patch_blend");
}

/* Contract: pb_device_patch_features. Scratch memory is that of the largest tap that must be blended; taps take turns in it,
 * which the stream's order allows. */
pb_status pb_cuda_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                 const float *const *taps, int n, float *features) {
    means m = {.patch = patch, .grid = shapes[0].size};
    size_t widest = 0;
    for (int t = 0; t < tap_count; t++) {
        const size_t values = pb_size_equal(shapes[t].size, m.grid) ? 0 : pb_layer_shape_values(shapes[t]);
        widest = values > widest ? values : widest;
        m.dim += (size_t)shapes[t].channels;
    }
    pb_cuda_room *scratch = &pb_cuda_state_of(device)->scratch;
    const size_t piece = pb_cuda_piece_of(device, widest, n);
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_room_for(device, scratch, piece * widest * sizeof(float), "patch features"));
    m.scratch = scratch->memory;
    for (size_t first = 0; first < (size_t)n; first += piece) {
        const size_t count = (size_t)n - first < piece ? (size_t)n - first : piece;
        float *out = features + first * pb_size_area(m.grid) * m.dim;
        for (int t = 0; t < tap_count; out += shapes[t++].channels)
            PB_TRY(means_of_tap(device, &m, taps[t] + first * pb_layer_shape_values(shapes[t]), shapes[t], count, out));
    }
    return pb_ok();
}

/* ---- PatchCore's ---- */

/* One call of pb_cuda_patchcore_features. */
typedef struct pooling {
    const pb_patchcore *how;
    int tap_count;
    pb_size grid;
    float *joined, *pooled; /* scratch: [patches][tap_count][layer_dim] of the grid, and those of a tap with another one */
} pooling;

/* Values of a patch before the last pooling. */
static size_t joined_dim(const pooling *p) { return (size_t)p->tap_count * (size_t)p->how->layer_dim; }

/* Tap t of n images becomes its part of the joined values. */
static pb_status join_tap(pb_device *device, const pooling *p, int t, const float *tap, pb_layer_shape shape, size_t n) {
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    const int dim = p->how->layer_dim;
    const pb_cuda_field field = field_of(tap, shape, n);
    const pb_size own = pb_patchcore_grid(p->how, shape.size);
    const bool same = pb_size_equal(own, p->grid);
    float *part = p->joined + (size_t)t * (size_t)dim;
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_patch_pool(stream, field, p->how->patch, p->how->stride, dim, same ? part : p->pooled,
                                            same ? joined_dim(p) : (size_t)dim),
                         "patch_pool"));
    if (same)
        return pb_ok();
    return pb_cuda_check(device,
                         pb_cuda_patch_blend(stream, field_of(p->pooled, (pb_layer_shape){own, dim}, n), p->grid.height,
                                             p->grid.width, part, joined_dim(p)),
                         "patch_blend");
}

/* Contract: pb_device_patchcore_features. Scratch: the joined values of a piece, then those of one tap on its own grid. */
pb_status pb_cuda_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                     const float *const *taps, int n, float *features) {
    pooling p = {.how = how, .tap_count = tap_count, .grid = pb_patchcore_grid(how, shapes[0].size)};
    size_t most = 0;
    for (int t = 0; t < tap_count; t++) {
        const size_t patches = pb_size_area(pb_patchcore_grid(how, shapes[t].size));
        most = patches > most ? patches : most;
    }
    const size_t patches = pb_size_area(p.grid), joined = patches * joined_dim(&p), pooled = most * (size_t)how->layer_dim;
    const size_t piece = pb_cuda_piece_of(device, joined + pooled, n), dim = (size_t)how->feature_dim;
    pb_cuda_room *scratch = &pb_cuda_state_of(device)->scratch;
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_room_for(device, scratch, piece * (joined + pooled) * sizeof(float), "patch features"));
    p.joined = scratch->memory;
    p.pooled = p.joined + piece * joined;
    for (size_t first = 0; first < (size_t)n; first += piece) {
        const size_t count = (size_t)n - first < piece ? (size_t)n - first : piece;
        for (int t = 0; t < tap_count; t++)
            PB_TRY(join_tap(device, &p, t, taps[t] + first * pb_layer_shape_values(shapes[t]), shapes[t], count));
        PB_TRY(pb_cuda_check(device,
                             pb_cuda_row_pool(pb_cuda_state_of(device)->stream, p.joined, count * patches, (int)joined_dim(&p),
                                              how->feature_dim, features + first * patches * dim),
                             "row_pool"));
    }
    return pb_ok();
}
