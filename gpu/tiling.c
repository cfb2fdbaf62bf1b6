/* Tiles along one axis, and both axes together (what and why: gpu/tiling.h, decision 0015). Everything is computed from
 * pb_tile_axis: where tile i begins, which places it owns. Tile 0 begins at 0, tile i at i * step, the last one at last_begin,
 * which may be less than step after its neighbour, never more. */
#include "gpu/tiling.h"

#include <string.h>

/* The last tile begins here: as early as its end reaches the end of the axis. */
static int last_begin(const pb_tile_axis *axis) {
    return (axis->length - axis->tile + axis->align - 1) / axis->align * axis->align;
}

/* name: "wide" or "high", for messages. axis has length, tile, stride and align. step and count are filled in first, so an axis
 * without a cut is whole when it returns. The order of the checks is that of what a user would change. */
static pb_status complete_axis(const char *name, int overlap, pb_tile_axis *axis) {
    int length = axis->length, tile = axis->tile, align = axis->align;
    axis->step = tile - overlap;
    axis->count = 1;
    if (tile > length)
        return pb_fail(PB_E_USAGE, "tiles %d pixels %s are larger than the image, which has %d", tile, name, length);
    if (tile == length)
        return pb_ok();
    if (tile % align != 0 || overlap % align != 0)
        return pb_fail(PB_E_USAGE, "tiles %d pixels %s that overlap by %d: both must be multiples of %d, the stride of the taps",
                       tile, name, overlap, align);
    if (overlap >= tile)
        return pb_fail(PB_E_USAGE, "tiles %d pixels %s cannot overlap by %d", tile, name, overlap);
    axis->count = (last_begin(axis) + axis->step - 1) / axis->step + 1;
    return pb_ok();
}

/* An overlap is refused where it does nothing, so that an option without effect is never recorded in a bank. */
pb_status pb_tiling_create(pb_size image, pb_size tile, int overlap, int stride, int align, pb_tiling *tiling_out) {
    PB_ASSERT(image.width >= 1 && image.height >= 1 && tile.width >= 1 && tile.height >= 1 && overlap >= 0);
    PB_ASSERT(stride >= 1 && align >= stride && align % stride == 0);
    tiling_out->x = (pb_tile_axis){.length = image.width, .tile = tile.width, .stride = stride, .align = align};
    tiling_out->y = (pb_tile_axis){.length = image.height, .tile = tile.height, .stride = stride, .align = align};
    PB_TRY(complete_axis("wide", overlap, &tiling_out->x));
    PB_TRY(complete_axis("high", overlap, &tiling_out->y));
    if (overlap > 0 && pb_tiling_count(tiling_out) == 1)
        return pb_fail(PB_E_USAGE, "an overlap of %d pixels has no effect: one tile of %d x %d is the whole image", overlap,
                       tile.width, tile.height);
    return pb_ok();
}

size_t pb_tiling_count(const pb_tiling *tiling) { return (size_t)tiling->x.count * (size_t)tiling->y.count; }

pb_size pb_tiling_grid(const pb_tiling *tiling) {
    return pb_size_over((pb_size){tiling->x.length, tiling->y.length}, tiling->x.stride);
}

static int begin_of(const pb_tile_axis *axis, int i) { return i == axis->count - 1 ? last_begin(axis) : i * axis->step; }

/* The first place that tile i + 1 owns and tile i does not: the middle of what both cover. Both ends of the common part are
 * multiples of stride, as begins and tile are; a place in the exact middle goes to the later tile. */
static int border(const pb_tile_axis *axis, int i) {
    int first = begin_of(axis, i + 1) / axis->stride, end = (begin_of(axis, i) + axis->tile) / axis->stride;
    return (first + end) / 2;
}

/* Owned parts follow each other without a gap from place 0 to the end of the grid. */
pb_tile_span pb_tile_axis_span(const pb_tile_axis *axis, int i) {
    PB_ASSERT(i >= 0 && i < axis->count);
    int begin = begin_of(axis, i), places = (axis->length + axis->stride - 1) / axis->stride;
    return (pb_tile_span){.begin = begin,
                          .place = begin / axis->stride,
                          .own_first = i == 0 ? 0 : border(axis, i - 1),
                          .own_end = i == axis->count - 1 ? places : border(axis, i)};
}

/* Rows beyond the image are its last row; the rest of a line repeats its last pixel, three bytes at a time. */
void pb_tiling_cut(const pb_tiling *tiling, const uint8_t *pixels, size_t i, uint8_t *tile) {
    const pb_tile_axis *x = &tiling->x, *y = &tiling->y;
    int left = begin_of(x, (int)(i % (size_t)x->count)), top = begin_of(y, (int)(i / (size_t)x->count));
    size_t inside = (size_t)(x->length - left < x->tile ? x->length - left : x->tile) * 3, line = (size_t)x->tile * 3;
    for (int row = 0; row < y->tile; row++, tile += line) {
        int from = top + row < y->length ? top + row : y->length - 1;
        memcpy(tile, pixels + ((size_t)from * (size_t)x->length + (size_t)left) * 3, inside);
        for (size_t b = inside; b < line; b++)
            tile[b] = tile[b - 3];
    }
}
