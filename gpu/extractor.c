#include "gpu/extractor.h"

#include "base/fault.h"
#include "base/memory.h"
#include "gpu/tiling.h"

struct pb_extractor {
    pb_device *device;
    pb_compiled *compiled;
    pb_features how;
    pb_tiling tiling;
    pb_size tile, tile_grid, grid;
    int batch_max, dim; /* batch_max: tiles */
    size_t tiles, images_max; /* tiles: of an image */
    int tap_count;
    pb_layer_shape shapes[PB_TAPS_MAX];
    uint8_t *cut;             /* host memory, batch_max tiles; only where images are cut */
    uint8_t *inputs;          /* device memory, batch_max tiles */
    float *taps[PB_TAPS_MAX]; /* device memory, batch_max outputs each */
    float *patches;           /* device memory, those of batch_max tiles */
    float *features;          /* device memory, those of images_max images; where images are not cut the same as patches */
};

static bool is_cut(const pb_extractor *e) { return e->tiles > 1; }

static size_t tile_bytes(const pb_extractor *e) { return pb_size_area(e->tile) * 3; }

/* Values of the patches of a tile. */
static size_t tile_values(const pb_extractor *e) { return pb_size_area(e->tile_grid) * (size_t)e->dim; }

static pb_status allocate(pb_extractor *e) {
    size_t n = (size_t)e->batch_max;
    PB_TRY(pb_device_alloc(e->device, n * tile_bytes(e), &e->inputs, "images of a batch"));
    for (int t = 0; t < e->tap_count; t++)
        PB_TRY(pb_device_alloc(e->device, n * pb_layer_shape_values(e->shapes[t]) * sizeof(float), &e->taps[t],
                               "a tap's output"));
    PB_TRY(pb_device_alloc(e->device, n * tile_values(e) * sizeof(float), &e->patches, "patch features"));
    if (!is_cut(e))
        return pb_ok();
    PB_TRY(pb_allocate(&e->cut, n, tile_bytes(e), "tiles of a batch"));
    size_t values = e->images_max * pb_size_area(e->grid) * (size_t)e->dim;
    return pb_device_alloc(e->device, values * sizeof(float), &e->features, "patch features");
}

/* Pixels from one place of tap t to the next. */
static int stride_of(const pb_network *network, int t) {
    int stride = 1;
    for (int l = network->taps[t]; l >= 0; l = network->layers[l].source)
        stride *= network->layers[l].stride;
    return stride;
}

/* Works out every size that follows from the network and from what is asked. */
static pb_status measure(pb_extractor *e, const pb_network *network) {
    const pb_features *how = &e->how;
    e->tile = network->size;
    e->tap_count = network->tap_count;
    for (int t = 0; t < e->tap_count; t++) {
        e->shapes[t] = pb_network_shape(network, network->taps[t]);
        e->dim += e->shapes[t].channels;
    }
    PB_TRY(pb_tiling_create(how->image, e->tile, how->overlap, stride_of(network, 0), stride_of(network, e->tap_count - 1),
                            &e->tiling));
    e->tiles = pb_tiling_count(&e->tiling);
    e->tile_grid = e->shapes[0].size;
    e->grid = pb_tiling_grid(&e->tiling);
    if (how->is_patchcore) {
        e->dim = how->patchcore.feature_dim;
        e->tile_grid = pb_patchcore_grid(&how->patchcore, e->tile_grid);
        e->grid = is_cut(e) ? e->grid : e->tile_grid;
    }
    if (is_cut(e) && how->is_patchcore && how->patchcore.stride > 1)
        return pb_fail(PB_E_UNSUPPORTED, "tiles with a patch stride of %d: only with a stride of 1 do the patches of all tiles"
                       " lie on one grid", how->patchcore.stride);
    size_t images = (size_t)e->batch_max / e->tiles;
    e->images_max = images > 0 ? images : 1;
    return pb_ok();
}

pb_status pb_features_check(const pb_network *network, const pb_features *features) {
    pb_extractor sizes = {.batch_max = 1, .how = *features};
    return measure(&sizes, network);
}

pb_status pb_extractor_create(pb_device *device, const pb_network *network, const pb_features *features, int batch_max,
                              pb_extractor **extractor_out) {
    PB_ASSERT(batch_max >= 1 && network->tap_count >= 1 && network->tap_count <= PB_TAPS_MAX);
    *extractor_out = NULL;
    pb_extractor *e;
    PB_TRY(pb_allocate(&e, 1, sizeof *e, "an extractor"));
    *e = (pb_extractor){.device = device, .batch_max = batch_max, .how = *features};
    pb_status status = measure(e, network);
    if (!pb_failed(&status))
        status = pb_device_compile(device, network, features->precision, batch_max, &e->compiled);
    if (!pb_failed(&status))
        status = pb_fault("extractor.memory") ? pb_fail(PB_E_SYSTEM, "no memory for %d tiles", batch_max) : allocate(e);
    if (pb_failed(&status))
        pb_extractor_free(&e);
    *extractor_out = e;
    return status;
}

void pb_extractor_free(pb_extractor **extractor) {
    pb_extractor *e = *extractor;
    if (!e)
        return;
    pb_device_release(e->device, &e->features);
    pb_device_release(e->device, &e->patches);
    for (int t = 0; t < e->tap_count; t++)
        pb_device_release(e->device, &e->taps[t]);
    pb_device_release(e->device, &e->inputs);
    pb_release(&e->cut);
    pb_device_compiled_free(e->device, &e->compiled);
    pb_release(extractor);
}

pb_size pb_extractor_grid(const pb_extractor *extractor) { return extractor->grid; }

int pb_extractor_dim(const pb_extractor *extractor) { return extractor->dim; }

size_t pb_extractor_tiles(const pb_extractor *extractor) { return extractor->tiles; }

size_t pb_extractor_images_max(const pb_extractor *extractor) { return extractor->images_max; }

/* Patch features of n <= batch_max tiles in host memory, into e->patches. */
static pb_status run_tiles(pb_extractor *e, const uint8_t *tiles, size_t n) {
    const float *const *taps = (const float *const *)e->taps;
    PB_TRY(pb_device_upload(e->device, e->inputs, tiles, n * tile_bytes(e)));
    PB_TRY(pb_device_run(e->device, e->compiled, e->inputs, (int)n, e->taps));
    PB_TRY(e->how.is_patchcore
               ? pb_device_patchcore_features(e->device, &e->how.patchcore, e->tap_count, e->shapes, taps, (int)n, e->patches)
               : pb_device_patch_features(e->device, e->how.patch, e->tap_count, e->shapes, taps, (int)n, e->patches));
    return e->how.unit ? pb_device_unit_rows(e->device, e->patches, n * pb_size_area(e->tile_grid), e->dim) : pb_ok();
}

/* Copies what tile `tile` of an image owns from its patches to the image's features. */
static pb_status place_tile(pb_extractor *e, size_t tile, const float *patches, float *features) {
    size_t columns = (size_t)e->tiling.x.count, value = (size_t)e->dim * sizeof(float);
    pb_tile_span x = pb_tile_axis_span(&e->tiling.x, (int)(tile % columns));
    pb_tile_span y = pb_tile_axis_span(&e->tiling.y, (int)(tile / columns));
    size_t from = (size_t)(y.own_first - y.place) * (size_t)e->tile_grid.width + (size_t)(x.own_first - x.place);
    size_t to = (size_t)y.own_first * (size_t)e->grid.width + (size_t)x.own_first;
    return pb_device_copy_block(e->device, features + to * (size_t)e->dim, (size_t)e->grid.width * value,
                                patches + from * (size_t)e->dim, (size_t)e->tile_grid.width * value,
                                (size_t)(x.own_end - x.own_first) * value, (size_t)(y.own_end - y.own_first));
}

/* Tiles first .. first + n - 1 of all tiles of a call, image by image. */
static pb_status run_cut(pb_extractor *e, const uint8_t *images, size_t first, size_t n) {
    size_t image_bytes = pb_size_area(e->how.image) * 3, image_values = pb_size_area(e->grid) * (size_t)e->dim;
    for (size_t i = 0; i < n; i++)
        pb_tiling_cut(&e->tiling, images + (first + i) / e->tiles * image_bytes, (first + i) % e->tiles,
                      e->cut + i * tile_bytes(e));
    PB_TRY(run_tiles(e, e->cut, n));
    for (size_t i = 0; i < n; i++)
        PB_TRY(place_tile(e, (first + i) % e->tiles, e->patches + i * tile_values(e),
                          e->features + (first + i) / e->tiles * image_values));
    return pb_ok();
}

pb_status pb_extractor_run(pb_extractor *extractor, const uint8_t *images, size_t n, const float **features_out) {
    pb_extractor *e = extractor;
    PB_ASSERT(n <= e->images_max);
    *features_out = is_cut(e) ? e->features : e->patches;
    if (!is_cut(e))
        return run_tiles(e, images, n);
    size_t all = n * e->tiles, most = (size_t)e->batch_max;
    for (size_t first = 0; first < all; first += most)
        PB_TRY(run_cut(e, images, first, all - first < most ? all - first : most));
    return pb_ok();
}
