/* Tilings against the plain definitions: begins by stepping along, owners by the nearest middle of a tile, cuts by a loop over
 * pixels. */
#include "gpu/tiling.h"

#include "base/memory.h"
#include "base/random.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- one axis ---- */

enum { TILES_MAX = 64 };

/* Where tiles begin: every tile - overlap pixels, until one would reach the end; that one is the last, and begins at the first
 * multiple of align from which it reaches the end. */
static int begins_of(int length, int tile, int overlap, int align, int *begins) {
    int count = 0, last = 0;
    while (last + tile < length)
        last += align;
    for (int begin = 0; begin < last; begin += tile - overlap)
        begins[count++] = begin;
    begins[count++] = last;
    return count;
}

/* The tile in whose middle place p lies deepest; of two the later. In half pixels, to have no fractions. */
static int owner_of(int p, int stride, int tile, const int *begins, int count) {
    int best = 0;
    for (int i = 1; i < count; i++) {
        int apart = abs(2 * p * stride + stride - 2 * begins[i] - tile);
        int least = abs(2 * p * stride + stride - 2 * begins[best] - tile);
        best = apart <= least ? i : best;
    }
    return best;
}

static void check_axis(const pb_tile_axis *axis, int overlap) {
    const int length = axis->length, tile = axis->tile, stride = axis->stride, places = (length + stride - 1) / stride;
    int begins[TILES_MAX], count = begins_of(length, tile, overlap, axis->align, begins);
    cr_assert_eq(axis->count, count, "%d by %d overlapping %d: %d tiles, not %d", length, tile, overlap, axis->count, count);
    for (int i = 0, next = 0; i < count; i++) {
        pb_tile_span span = pb_tile_axis_span(axis, i);
        cr_assert(span.begin == begins[i] && span.begin % axis->align == 0 && span.place * stride == span.begin,
                  "%d by %d overlapping %d: tile %d begins at %d", length, tile, overlap, i, span.begin);
        cr_assert_eq(span.own_first, next, "%d by %d overlapping %d: tile %d", length, tile, overlap, i);
        cr_assert(span.own_end > span.own_first && span.own_first >= span.place);
        cr_assert_leq(span.own_end, span.place + (tile + stride - 1) / stride);
        for (int p = span.own_first; p < span.own_end; p++) {
            int middle = 2 * p * stride + stride, begin = 2 * span.begin, end = 2 * (span.begin + tile);
            cr_assert_eq(owner_of(p, stride, tile, begins, count), i, "%d by %d overlapping %d: place %d is of tile %d", length,
                         tile, overlap, p, i);
            cr_assert(i == 0 || middle - begin >= overlap);
            cr_assert(i == count - 1 || end - middle >= overlap);
        }
        next = span.own_end;
        cr_assert_eq(i == count - 1, next == places);
    }
    int end = begins[count - 1] + tile;
    cr_assert(end >= length && end < length + axis->align);
}

/* Every place has one owner, however tiles and strides fit: tiles of any width with any overlap, of one, of two and of many, with
 * strides as of one and of two taps. */
Test(tiling, every_place_is_owned_by_the_tile_in_which_it_lies_deepest) {
    static const int ALIGNS[][2] = {{1, 1}, {8, 16}, {16, 16}, {4, 32}};
    int cut = 0;
    for (size_t a = 0; a < sizeof ALIGNS / sizeof *ALIGNS; a++)
        for (int length = 33; length <= 330; length += a == 0 ? 23 : 3)
            for (int tile = ALIGNS[a][1] * 2; tile < length; tile += ALIGNS[a][1] * (a == 0 ? 5 : 1))
                for (int overlap = 0; overlap < tile; overlap += ALIGNS[a][1]) {
                    int align = ALIGNS[a][1], begins = (length - tile) / (tile - overlap) + 2;
                    if (begins > TILES_MAX)
                        continue;
                    pb_tiling tiling;
                    test_must(pb_tiling_create((pb_size){length, 7}, (pb_size){tile, 7}, overlap, ALIGNS[a][0], align, &tiling));
                    check_axis(&tiling.x, overlap);
                    check_axis(&tiling.y, 0);
                    cr_assert_eq(pb_tiling_count(&tiling), (size_t)tiling.x.count);
                    cut++;
                }
    cr_assert_gt(cut, 1000);
}

/* ---- both axes ---- */

static pb_tiling tiling_of(pb_size image, pb_size tile, int overlap, int stride, int align) {
    pb_tiling tiling;
    test_must(pb_tiling_create(image, tile, overlap, stride, align, &tiling));
    return tiling;
}

Test(tiling, axes_do_not_see_each_other) {
    pb_tiling tiling = tiling_of((pb_size){160, 96}, (pb_size){64, 96}, 32, 8, 16);
    cr_assert(tiling.x.count == 4 && tiling.y.count == 1 && pb_tiling_count(&tiling) == 4);
    tiling = tiling_of((pb_size){100, 230}, (pb_size){64, 64}, 16, 8, 16);
    cr_assert(tiling.x.count == 2 && tiling.y.count == 5 && pb_tiling_count(&tiling) == 10);
    cr_assert(pb_size_equal(pb_tiling_grid(&tiling), (pb_size){13, 29}));
    tiling = tiling_of((pb_size){33, 57}, (pb_size){33, 57}, 0, 8, 16);
    cr_assert(pb_tiling_count(&tiling) == 1 && pb_size_equal(pb_tiling_grid(&tiling), (pb_size){5, 8}));
    pb_tile_span span = pb_tile_axis_span(&tiling.y, 0);
    cr_assert(span.begin == 0 && span.place == 0 && span.own_first == 0 && span.own_end == 8);
}

static void check_cuts(pb_size image, pb_size tile, int overlap) {
    pb_tiling tiling = tiling_of(image, tile, overlap, 8, 16);
    size_t bytes = pb_size_area(image) * 3, tile_bytes = pb_size_area(tile) * 3;
    uint8_t *pixels, *cut;
    test_must(pb_allocate(&pixels, bytes, 1, "an image"));
    test_must(pb_allocate(&cut, tile_bytes + 1, 1, "a tile"));
    for (size_t b = 0; b < bytes; b++)
        pixels[b] = (uint8_t)pb_random_u32(5, PB_STREAM_TEST, 0, b);
    for (size_t i = 0; i < pb_tiling_count(&tiling); i++) {
        int left = pb_tile_axis_span(&tiling.x, (int)(i % (size_t)tiling.x.count)).begin;
        int top = pb_tile_axis_span(&tiling.y, (int)(i / (size_t)tiling.x.count)).begin;
        memset(cut, 0xA5, tile_bytes + 1);
        pb_tiling_cut(&tiling, pixels, i, cut);
        for (int y = 0; y < tile.height; y++)
            for (int x = 0; x < tile.width; x++) {
                int row = top + y < image.height ? top + y : image.height - 1;
                int column = left + x < image.width ? left + x : image.width - 1;
                cr_assert_arr_eq(cut + (y * tile.width + x) * 3, pixels + (row * image.width + column) * 3, 3);
            }
        cr_assert_eq(cut[tile_bytes], 0xA5);
    }
    pb_release(&pixels);
    pb_release(&cut);
}

/* Tiles that reach beyond the right edge, the lower edge, both and none, and an image in one piece. */
Test(tiling, a_cut_is_the_image_and_repeats_its_edges) {
    check_cuts((pb_size){100, 96}, (pb_size){64, 64}, 32);
    check_cuts((pb_size){96, 101}, (pb_size){32, 64}, 16);
    check_cuts((pb_size){97, 111}, (pb_size){48, 32}, 0);
    check_cuts((pb_size){128, 96}, (pb_size){64, 32}, 0);
    check_cuts((pb_size){37, 90}, (pb_size){37, 64}, 0);
    check_cuts((pb_size){37, 41}, (pb_size){37, 41}, 0);
}

/* ---- errors ---- */

Test(tiling, impossible_tilings_are_usage_errors) {
    static const struct {
        pb_size image, tile;
        int overlap;
        const char *message;
    } CASES[] = {
        {{96, 64}, {112, 64}, 0, "tiles 112 pixels wide are larger than the image, which has 96"},
        {{96, 64}, {96, 80}, 0, "tiles 80 pixels high are larger than the image, which has 64"},
        {{96, 64}, {40, 64}, 0, "tiles 40 pixels wide that overlap by 0: both must be multiples of 16"},
        {{96, 64}, {96, 40}, 0, "tiles 40 pixels high that overlap by 0: both must be multiples of 16"},
        {{96, 64}, {48, 64}, 8, "tiles 48 pixels wide that overlap by 8: both must be multiples of 16"},
        {{96, 64}, {48, 64}, 48, "tiles 48 pixels wide cannot overlap by 48"},
        {{96, 64}, {96, 32}, 64, "tiles 32 pixels high cannot overlap by 64"},
        {{96, 64}, {96, 64}, 16, "an overlap of 16 pixels has no effect: one tile of 96 x 64 is the whole image"},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_tiling tiling;
        pb_status status = pb_tiling_create(CASES[c].image, CASES[c].tile, CASES[c].overlap, 8, 16, &tiling);
        cr_assert_eq(status.code, PB_E_USAGE, "case %zu: %s", c, status.message);
        cr_assert(strncmp(status.message, CASES[c].message, strlen(CASES[c].message)) == 0, "\"%s\" does not begin with \"%s\"",
                  status.message, CASES[c].message);
    }
}
