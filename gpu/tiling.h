/* tiling.h: how an image larger than the network's input is cut into tiles, and their grids of patches put together again.
 *
 * An axis of `length` pixels is covered by tiles of `tile` pixels that begin every tile - overlap pixels; the last begins where
 * its end reaches the end of the axis, or up to align - 1 pixels beyond, which repeat the last pixel. Every tile begins at a
 * multiple of `align`, the stride of the deepest tap, so that each layer of the network sees the image in the same phase in every
 * tile, and the patches of all tiles, `stride` pixels apart, lie on one grid of ceil(length / stride) places. Of the tiles in
 * which a place lies, the one in whose middle it lies deepest owns it: two neighbours share their overlap evenly. So an image has
 * every patch once, none of them near an edge of its tile that is not an edge of the image (its middle is half the overlap away
 * from it at least), and is one map whatever the tiles are.
 *
 * Not collective, thread safe, no memory of its own.
 */
#ifndef PB_GPU_TILING_H
#define PB_GPU_TILING_H

#include "base/size.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* One axis. */
typedef struct pb_tile_axis {
    int length, tile; /* pixels; tile <= length */
    int stride;       /* pixels from a patch to the next */
    int align;        /* every tile begins at a multiple of these pixels; itself a multiple of stride */
    int step;         /* pixels from a tile to the next but for the last, a multiple of align */
    int count;        /* tiles */
} pb_tile_axis;

/* Both. tile == image: one tile, nothing is cut. */
typedef struct pb_tiling {
    pb_tile_axis x, y;
} pb_tiling;

/* The tiling of images of `image` pixels by tiles of `tile` with `overlap` pixels between neighbours, for patches `stride` pixels
 * apart and tiles that begin at multiples of `align`, a multiple of stride. Errors, PB_E_USAGE, naming the numbers and what would
 * do: a tile larger than the image; an overlap not smaller than the tile; an axis that needs more than one tile whose tile or
 * overlap is not a multiple of align; an overlap where one tile is the whole image, which would be without effect. *tiling_out
 * means nothing after an error. */
PB_CHECKED pb_status pb_tiling_create(pb_size image, pb_size tile, int overlap, int stride, int align, pb_tiling *tiling_out);

/* Tiles an image has, row by row; places of the grid of the whole image. The grid is that of the image in one piece: ceil(side /
 * stride). */
size_t pb_tiling_count(const pb_tiling *tiling);
pb_size pb_tiling_grid(const pb_tiling *tiling);

/* What there is to know of tile `i` along one axis. Owned places of all tiles, in order, are the places of the axis, each
 * once. */
typedef struct pb_tile_span {
    int begin;             /* its first pixel */
    int place;             /* the grid's place of its first patch: begin / stride */
    int own_first, own_end; /* the places of the grid that it owns */
} pb_tile_span;
pb_tile_span pb_tile_axis_span(const pb_tile_axis *axis, int i);

/* Cuts tile `i` (row by row) out of an image: pixels [height][width][3] of the tiling's image size; tile: [its height][its
 * width][3]. Pixels beyond the image repeat its last row and column. Both in host memory, not overlapping. i <
 * pb_tiling_count. */
void pb_tiling_cut(const pb_tiling *tiling, const uint8_t *pixels, size_t i, uint8_t *tile);

#endif
