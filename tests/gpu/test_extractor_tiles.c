/* Images in tiles (gpu/extractor.h, gpu/tiling.h): each place has the features of its tile alone, bit for bit, and those of the
 * image in one piece where it sees no inner edge. */
#include "gpu/extractor.h"

#include "base/fault.h"
#include "base/memory.h"
#include "gpu/ref.h"
#include "gpu/tiling.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A network whose input is a tile, and images that are larger. */
typedef struct fixture {
    pb_network network;
    pb_device *device;
    uint8_t *images;
    pb_size image, tile;
    int count; /* images */
} fixture;

static fixture set_up(const char *backbone, const char *taps, pb_size image, pb_size tile, int count) {
    fixture f = {.image = image, .tile = tile, .count = count};
    pb_network whole;
    test_must(pb_network_random(backbone, taps, tile, 5, &f.network));
    test_must(pb_network_outline(backbone, taps, image, &whole));
    test_must(pb_device_open("cpu", 2, &f.device));
    f.images = test_images(&whole, count, 20);
    pb_network_free(&whole);
    return f;
}

static void tear_down(fixture *f) {
    pb_release(&f->images);
    pb_device_close(&f->device);
    pb_network_free(&f->network);
}

/* The features of images [n] by an extractor that is made for it, in host memory; released by pb_release. */
static float *extract(const fixture *f, const pb_network *network, const pb_features *how, int batch_max, const uint8_t *images,
                      size_t n) {
    pb_extractor *extractor;
    const float *features;
    float *out;
    test_must(pb_extractor_create(f->device, network, how, batch_max, &extractor));
    size_t values = pb_size_area(pb_extractor_grid(extractor)) * (size_t)pb_extractor_dim(extractor);
    test_must(pb_allocate(&out, n * values, sizeof *out, "features"));
    for (size_t first = 0, most = pb_extractor_images_max(extractor); first < n; first += most) {
        size_t count = n - first < most ? n - first : most;
        test_must(pb_extractor_run(extractor, images + first * pb_size_area(how->image) * 3, count, &features));
        test_must(pb_device_download(f->device, out + first * values, features, count * values * sizeof *out));
    }
    pb_extractor_free(&extractor);
    return out;
}

/* ---- each tile alone ---- */

/* Compares what tile i owns of one image's features with the features of the tile, cut out and run as an image of its own.
 * Returns how many places that are. */
static size_t check_tile(const fixture *f, const pb_features *how, const pb_tiling *tiling, size_t i, const uint8_t *image,
                         const float *features, size_t dim, pb_size grid) {
    uint8_t *cut;
    pb_features alone = *how;
    alone.image = f->tile;
    alone.overlap = 0;
    test_must(pb_allocate(&cut, pb_size_area(f->tile), 3, "a tile"));
    pb_tiling_cut(tiling, image, i, cut);
    float *own = extract(f, &f->network, &alone, 1, cut, 1);
    pb_tile_span x = pb_tile_axis_span(&tiling->x, (int)(i % (size_t)tiling->x.count));
    pb_tile_span y = pb_tile_axis_span(&tiling->y, (int)(i / (size_t)tiling->x.count));
    int width = pb_size_over(f->tile, tiling->x.stride).width;
    for (int row = y.own_first; row < y.own_end; row++)
        for (int column = x.own_first; column < x.own_end; column++) {
            size_t from = (size_t)((row - y.place) * width + column - x.place), to = (size_t)(row * grid.width + column);
            cr_assert(memcmp(own + from * dim, features + to * dim, dim * sizeof *own) == 0, "tile %zu, place %d, %d", i, row,
                      column);
        }
    pb_release(&own);
    pb_release(&cut);
    return (size_t)(y.own_end - y.own_first) * (size_t)(x.own_end - x.own_first);
}

static void check_tiles(const fixture *f, const pb_features *how, size_t dim) {
    pb_tiling tiling;
    size_t places = 0;
    test_must(pb_tiling_create(how->image, f->tile, how->overlap, 8, 16, &tiling));
    pb_size grid = pb_tiling_grid(&tiling);
    float *features = extract(f, &f->network, how, 5, f->images, (size_t)f->count);
    for (int image = 0; image < f->count; image++)
        for (size_t i = 0; i < pb_tiling_count(&tiling); i++)
            places += check_tile(f, how, &tiling, i, f->images + (size_t)image * pb_size_area(f->image) * 3,
                                 features + (size_t)image * pb_size_area(grid) * dim, dim, grid);
    cr_assert_eq(places, (size_t)f->count * pb_size_area(grid));
    pb_release(&features);
}

/* Tiles that fit, that reach beyond the right and the lower edge, with and without overlap, along one axis; means and
 * PatchCore's. */
Test(extractor_tiles, features_are_those_of_each_tile_alone, .timeout = 120) {
    static const struct {
        pb_size image, tile;
        int overlap;
    } CASES[] = {{{128, 96}, {64, 64}, 32}, {{150, 101}, {64, 48}, 16}, {{96, 130}, {32, 64}, 0}, {{100, 64}, {48, 64}, 32}};
    const pb_patchcore published = {.patch = 3, .stride = 1, .layer_dim = 50, .feature_dim = 24};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        fixture f = set_up("efficientnet_lite0", "4,10", CASES[c].image, CASES[c].tile, 2);
        pb_features how = {.patch = 3, .image = CASES[c].image, .overlap = CASES[c].overlap};
        check_tiles(&f, &how, 40 + 112);
        how.patch = 1;
        how.unit = true;
        check_tiles(&f, &how, 40 + 112);
        how = (pb_features){.is_patchcore = true, .patchcore = published, .image = CASES[c].image, .overlap = CASES[c].overlap};
        check_tiles(&f, &how, 24);
        tear_down(&f);
    }
}

/* As many tiles at once as the device takes: of a part of an image, of several images and a part of one. */
Test(extractor_tiles, bits_do_not_depend_on_the_batch) {
    fixture f = set_up("efficientnet_lite0", "4,10", (pb_size){112, 100}, (pb_size){64, 64}, 3);
    const pb_features how = {.patch = 3, .image = f.image, .overlap = 16};
    enum { TILES = 4, VALUES = 14 * 13 * (40 + 112) };
    float *expected = extract(&f, &f.network, &how, 1, f.images, 3);
    for (int batch = 2; batch <= 3 * TILES + 1; batch++) {
        float *found = extract(&f, &f.network, &how, batch, f.images, 3);
        cr_assert(memcmp(found, expected, 3 * VALUES * sizeof *found) == 0, "other bits with %d tiles at once", batch);
        pb_release(&found);
    }
    float *last = extract(&f, &f.network, &how, 3, f.images + 2 * 112 * 100 * 3, 1);
    cr_assert_arr_eq(last, expected + 2 * VALUES, VALUES * sizeof *last);
    pb_release(&last);
    pb_release(&expected);
    tear_down(&f);
}

/* ---- against the image in one piece ---- */

/* Along one axis of an image of `length` pixels: whether place `at` of the features sees none but pixels of the tile from `begin`
 * on, or what lies outside of the image. Followed from the means and the places between which they are blended back to pixels;
 * strides are powers of two. */
static bool sees_only(const pb_network *network, int length, int tile, int at, int begin) {
    int strides[PB_TAPS_MAX];
    bool only = true;
    for (int t = 0; t < network->tap_count; t++) {
        strides[t] = 1;
        for (int l = network->taps[t]; l >= 0; l = network->layers[l].source)
            strides[t] *= network->layers[l].stride;
        int ratio = strides[t] / strides[0];
        double position = (at + 0.5) / ratio - 0.5;
        int low = (int)floor(position) - 1, high = (int)ceil(position) + 1;
        for (int l = network->taps[t], stride = strides[t]; l >= 0; l = network->layers[l].source) {
            const pb_layer *layer = &network->layers[l];
            stride /= layer->stride;
            int before = pb_layer_pad_before(layer, length / stride);
            low = low * layer->stride - before;
            high = high * layer->stride - before + layer->kernel - 1;
        }
        only = only && (begin == 0 || low >= begin) && (begin + tile >= length || high < begin + tile);
    }
    return only;
}

static pb_tile_span owner(const pb_tile_axis *axis, int place) {
    int i = 0;
    while (place >= pb_tile_axis_span(axis, i).own_end)
        i++;
    return pb_tile_axis_span(axis, i);
}

static void check_against_whole(const char *backbone, const char *taps, pb_size image, pb_size tile, int overlap, int stride,
                                int align, bool all) {
    fixture f = set_up(backbone, taps, image, tile, 1);
    pb_network whole;
    pb_tiling tiling;
    const pb_features how = {.patch = 3, .image = image, .overlap = overlap}, one_piece = {.patch = 3, .image = image};
    test_must(pb_network_random(backbone, taps, image, 5, &whole));
    test_must(pb_tiling_create(image, tile, overlap, stride, align, &tiling));
    float *found = extract(&f, &f.network, &how, 4, f.images, 1), *expected = extract(&f, &whole, &one_piece, 1, f.images, 1);
    pb_size grid = pb_tiling_grid(&tiling);
    int dim = 0, seen = 0, other = 0;
    for (int t = 0; t < whole.tap_count; t++)
        dim += pb_network_shape(&whole, whole.taps[t]).channels;
    double largest = 0;
    for (int i = 0; i < grid.width * grid.height * dim; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (int place = 0; place < grid.width * grid.height; place++) {
        int row = place / grid.width, column = place % grid.width;
        double worst = 0;
        for (int i = place * dim; i < (place + 1) * dim; i++)
            worst = fmax(worst, fabs((double)found[i] - (double)expected[i]));
        if (sees_only(&whole, image.width, tile.width, column, owner(&tiling.x, column).begin) &&
            sees_only(&whole, image.height, tile.height, row, owner(&tiling.y, row).begin)) {
            cr_assert(worst <= 2e-4 * largest, "%s %s: place %d, %d: %g of %g", backbone, taps, row, column, worst, largest);
            seen++;
        } else {
            other += worst > 2e-3 * largest;
        }
    }
    cr_assert(seen > 0 && (all ? seen == grid.width * grid.height : other > 0), "%d places see only their tile", seen);
    pb_release(&found);
    pb_release(&expected);
    pb_network_free(&whole);
    tear_down(&f);
}

/* A place that sees no inner edge of its tile has the features that it has in the whole image. The sums of a convolution may go
 * in another order for another size of input: each of the two is within 1e-4 of the largest value of the exact one, as
 * test_cpu_network.c derives. With an overlap of twice what a place sees no tiling shows anywhere; with less it does. */
Test(extractor_tiles, places_that_see_no_inner_edge_are_as_in_one_piece, .timeout = 120) {
    check_against_whole("efficientnet_lite0", "1,3", (pb_size){160, 96}, (pb_size){96, 96}, 80, 4, 8, true);
    check_against_whole("efficientnet_lite0", "1,3", (pb_size){96, 200}, (pb_size){96, 112}, 72, 4, 8, true);
    check_against_whole("efficientnet_lite0", "1,3", (pb_size){160, 128}, (pb_size){64, 64}, 32, 4, 8, false);
    check_against_whole("resnet18", "1,2", (pb_size){192, 136}, (pb_size){128, 72}, 8, 4, 8, false);
}

/* ---- the rest of the contract ---- */

Test(extractor_tiles, as_many_images_as_tiles_allow) {
    static const struct {
        int batch_max;
        size_t images;
    } CASES[] = {{1, 1}, {5, 1}, {6, 1}, {11, 1}, {12, 2}, {13, 2}, {18, 3}};
    fixture f = set_up("efficientnet_lite0", "4,10", (pb_size){150, 96}, (pb_size){64, 64}, 1);
    const pb_features how = {.patch = 3, .image = f.image, .overlap = 16};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_extractor *extractor;
        test_must(pb_extractor_create(f.device, &f.network, &how, CASES[c].batch_max, &extractor));
        cr_assert_eq(pb_extractor_tiles(extractor), 6);
        cr_assert_eq(pb_extractor_images_max(extractor), CASES[c].images);
        cr_assert(pb_size_equal(pb_extractor_grid(extractor), (pb_size){19, 12}));
        pb_extractor_free(&extractor);
    }
    tear_down(&f);
}

static void expect_failure(const fixture *f, const pb_features *how, pb_code code, const char *words) {
    pb_extractor *extractor = (pb_extractor *)(void *)&code; /* never looked at */
    pb_status status = pb_extractor_create(f->device, &f->network, how, 1, &extractor);
    cr_assert_eq(status.code, code, "%s", status.message);
    cr_assert_not_null(strstr(status.message, words), "%s", status.message);
    cr_assert_null(extractor);
}

/* Tiles begin at multiples of the deepest tap's stride. A stride of patches is refused for tiles and taken for one piece. */
Test(extractor_tiles, impossible_requests_are_refused) {
    fixture f = set_up("efficientnet_lite0", "4,10", (pb_size){128, 128}, (pb_size){64, 64}, 1);
    pb_features how = {.patch = 3, .image = {128, 128}, .overlap = 8};
    expect_failure(&f, &how, PB_E_USAGE, "multiples of 16, the stride of the taps");
    how.image.width = 48;
    expect_failure(&f, &how, PB_E_USAGE, "larger than the image");
    how.image = f.tile;
    expect_failure(&f, &how, PB_E_USAGE, "no effect");
    how = (pb_features){.is_patchcore = true, .image = f.image,
                        .patchcore = {.patch = 3, .stride = 2, .layer_dim = 8, .feature_dim = 8}};
    expect_failure(&f, &how, PB_E_UNSUPPORTED, "patch stride of 2");
    pb_extractor *extractor;
    how.image = f.tile;
    test_must(pb_extractor_create(f.device, &f.network, &how, 1, &extractor));
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), (pb_size){4, 4}) && pb_extractor_tiles(extractor) == 1);
    pb_extractor_free(&extractor);
    tear_down(&f);
}

Test(extractor_tiles, unit_features_are_the_others_divided_by_their_length) {
    fixture f = set_up("efficientnet_lite0", "4,10", (pb_size){112, 64}, (pb_size){64, 64}, 1);
    pb_features how = {.patch = 3, .image = f.image, .overlap = 16};
    enum { DIM = 40 + 112, ROWS = 14 * 8 };
    float *expected = extract(&f, &f.network, &how, 2, f.images, 1);
    how.unit = true;
    float *found = extract(&f, &f.network, &how, 2, f.images, 1);
    cr_assert(memcmp(found, expected, ROWS * DIM * sizeof *found) != 0);
    pb_ref_unit_rows(expected, ROWS, DIM);
    cr_assert_arr_eq(found, expected, ROWS * DIM * sizeof *found);
    pb_release(&found);
    pb_release(&expected);
    tear_down(&f);
}

Test(extractor_tiles, memory_that_is_refused_leaves_nothing) {
    fixture f = set_up("efficientnet_lite0", "2", (pb_size){64, 32}, (pb_size){32, 32}, 1);
    const pb_features how = {.patch = 3, .image = f.image};
    int hit = 1;
    for (bool made = false; !made; hit++) {
        char fault[32];
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        test_must(pb_fault_arm(fault, 0));
        pb_extractor *extractor;
        pb_status status = pb_extractor_create(f.device, &f.network, &how, 1, &extractor);
        made = extractor;
        cr_assert_eq(status.code, made ? PB_OK : PB_E_SYSTEM, "allocation %d: %s", hit, status.message);
        pb_extractor_free(&extractor);
    }
    cr_assert_gt(hit, 10, "only %d allocations", hit);
    tear_down(&f);
}
