/* Images in, patch features out (contract: gpu/extractor.h).
 *
 * Order of reading: pb_extractor and `measure`, where every size comes from; "tiles on the device", which makes patch features of
 * up to batch_max tiles; "images", which cuts images into tiles, brings the tiles to the device and puts their patches into one
 * grid (gpu/tiling.h, decision 0015). An image that the network takes whole is one tile, and is not copied.
 *
 * How a batch overlaps with the next (decision 0025): put begins to send tiles to the present place; take queues the operations
 * on them (run_tiles) and makes the other place the present one, to which the next put may send at once. What orders the two is
 * told to the device by arrive, spent and sent (gpu/ahead.h): operations wait for what has been sent; a copy to a place waits for
 * the operations that read it, which are those before its last `spent`; the host waits only until host memory may be written
 * again. On a device that records, a full batch is one recording for each place.
 *
 * Invariant 4: a batch that is not full is queued operation by operation, a full one replayed: the same operations with the same
 * arguments. Errors leave nothing waiting.
 */
#include "gpu/extractor.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "gpu/ahead.h"
#include "gpu/tiling.h"

#include <string.h>

/* Tiles are put into one of two places by turns: the device works on those of one while the others come. */
typedef struct tile_place {
    uint8_t *cut;            /* host memory, batch_max tiles; only where images are cut */
    uint8_t *inputs;         /* device memory, likewise */
    pb_recording *recording; /* of batch_max tiles; NULL: none yet, or it was refused */
} tile_place;

/* Everything but places, place, images, put and is_refused is settled when it is created. */
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
    tile_place places[PB_PLACES];
    int place;                /* the one that is put to next */
    const uint8_t *images;    /* what pb_extractor_put got, and how many; NULL: nothing is waiting */
    size_t put;
    bool is_refused;          /* recording failed, and is not tried again */
    float *taps[PB_TAPS_MAX]; /* device memory, batch_max outputs each */
    float *patches;           /* device memory, those of batch_max tiles */
    float *features;          /* device memory, those of images_max images; where images are not cut the same as patches */
};

/* Whether an image is more than one tile. */
static bool is_cut(const pb_extractor *e) { return e->tiles > 1; }

static size_t tile_bytes(const pb_extractor *e) { return pb_size_area(e->tile) * 3; }

/* Values of the patches of a tile. */
static size_t tile_values(const pb_extractor *e) { return pb_size_area(e->tile_grid) * (size_t)e->dim; }

/* All memory that images need, beside what the device keeps for itself. Whole images have their features in `patches`; cut ones
 * need both, since a tile's patches are more than the part that it owns. */
static pb_status allocate(pb_extractor *e) {
    size_t n = (size_t)e->batch_max;
    for (int p = 0; p < PB_PLACES; p++) {
        PB_TRY(pb_device_alloc(e->device, n * tile_bytes(e), &e->places[p].inputs, "images of a batch"));
        if (is_cut(e))
            PB_TRY(pb_device_host_alloc(e->device, n * tile_bytes(e), &e->places[p].cut, "tiles of a batch"));
    }
    for (int t = 0; t < e->tap_count; t++)
        PB_TRY(pb_device_alloc(e->device, n * pb_layer_shape_values(e->shapes[t]) * sizeof(float), &e->taps[t],
                               "a tap's output"));
    PB_TRY(pb_device_alloc(e->device, n * tile_values(e) * sizeof(float), &e->patches, "patch features"));
    if (!is_cut(e))
        return pb_ok();
    size_t values = e->images_max * pb_size_area(e->grid) * (size_t)e->dim;
    return pb_device_alloc(e->device, values * sizeof(float), &e->features, "patch features");
}

/* Pixels from one place of tap t to the next. The product of the strides on the way from the image; residuals have the same, or
 * they could not be added. */
static int stride_of(const pb_network *network, int t) {
    int stride = 1;
    for (int l = network->taps[t]; l >= 0; l = network->layers[l].source)
        stride *= network->layers[l].stride;
    return stride;
}

/* Works out every size that follows from the network and from what is asked. Errors as pb_features_check; e->device is not used.
 * The first tap's stride is that of patches; the last tap's, the deepest and therefore the largest, aligns the tiles. */
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

/* Through `measure` itself, so that what is refused here is what creating would refuse. */
pb_status pb_features_check(const pb_network *network, const pb_features *features) {
    pb_extractor sizes = {.batch_max = 1, .how = *features};
    return measure(&sizes, network);
}

/* What was sent must have left host memory before that is freed; an error there is the device's, which has told it before. */
void pb_extractor_free(pb_extractor **extractor) {
    pb_extractor *e = *extractor;
    if (!e)
        return;
    pb_extractor_drop(e);
    for (int p = 0; p < PB_PLACES; p++)
        pb_device_recording_free(e->device, &e->places[p].recording);
    pb_device_release(e->device, &e->features);
    pb_device_release(e->device, &e->patches);
    for (int t = 0; t < e->tap_count; t++)
        pb_device_release(e->device, &e->taps[t]);
    for (int p = 0; p < PB_PLACES; p++) {
        pb_device_release(e->device, &e->places[p].inputs);
        pb_device_host_release(e->device, &e->places[p].cut);
    }
    pb_device_compiled_free(e->device, &e->compiled);
    pb_release(extractor);
}

pb_size pb_extractor_grid(const pb_extractor *extractor) { return extractor->grid; }

int pb_extractor_dim(const pb_extractor *extractor) { return extractor->dim; }

size_t pb_extractor_tiles(const pb_extractor *extractor) { return extractor->tiles; }

size_t pb_extractor_images_max(const pb_extractor *extractor) { return extractor->images_max; }

/* ---- tiles on the device ---- */

/* Patch features of n <= batch_max tiles of a place, into e->patches. Only queued, where the device queues. This is what a
 * recording holds: nothing in it may copy to or from the host or make memory (pb_device_record_begin). */
static pb_status queue_tiles(pb_extractor *e, const tile_place *place, size_t n) {
    const float *const *taps = (const float *const *)e->taps;
    PB_TRY(pb_device_run(e->device, e->compiled, place->inputs, (int)n, e->taps));
    PB_TRY(e->how.is_patchcore
               ? pb_device_patchcore_features(e->device, &e->how.patchcore, e->tap_count, e->shapes, taps, (int)n, e->patches)
               : pb_device_patch_features(e->device, e->how.patch, e->tap_count, e->shapes, taps, (int)n, e->patches));
    return e->how.unit ? pb_device_unit_rows(e->device, e->patches, n * pb_size_area(e->tile_grid), e->dim) : pb_ok();
}

/* A recording that is refused costs a launch an operation from then on, but no result: it is said and gone on without. record_end
 * is called whatever happened between, as the device demands; a failure of an operation weighs more than that of the
 * recording. */
static void record(pb_extractor *e, tile_place *place) {
    pb_status status = pb_device_record_begin(e->device);
    if (!pb_failed(&status)) {
        pb_status queued = queue_tiles(e, place, (size_t)e->batch_max);
        status = pb_device_record_end(e->device, &place->recording);
        if (pb_failed(&queued)) {
            pb_device_recording_free(e->device, &place->recording);
            status = queued;
        }
    }
    e->is_refused = pb_failed(&status);
    if (e->is_refused)
        pb_log(PB_LOG_WARN, "not_recorded", "effect=\"each operation of a batch is started alone\" why=\"%s\"", status.message);
}

/* Queues a whole batch by its recording. One that is of no use any more is made anew at the next turn of its place: the batch
 * that finds it so is queued operation by operation, which makes what memory is missing now. *replayed: whether it could be. */
static pb_status replay(pb_extractor *e, tile_place *place, bool *replayed) {
    *replayed = false;
    if (e->is_refused || !pb_device_records(e->device))
        return pb_ok();
    if (!place->recording)
        record(e, place);
    if (!place->recording)
        return pb_ok();
    PB_TRY(pb_device_replay(e->device, place->recording, replayed));
    if (!*replayed)
        pb_device_recording_free(e->device, &place->recording);
    return pb_ok();
}

/* Runs a batch of whatever lies in memory, so that what comes later is there: kernels and scratch memory, whose lack is then
 * found while a smaller batch can still be made. Records it for each place. The download waits for all of it, so an error of a
 * kernel shows here. Values do not matter: nobody reads the features. */
static pb_status rehearse(pb_extractor *e) {
    float value;
    PB_TRY(queue_tiles(e, &e->places[0], (size_t)e->batch_max));
    PB_TRY(pb_device_download(e->device, &value, e->patches, sizeof value));
    for (int p = 0; p < PB_PLACES && !e->is_refused; p++)
        record(e, &e->places[p]);
    return pb_ok();
}

/* Patch features of the n tiles that were sent to the present place, which is then the other one. spent comes behind everything
 * that reads the place, so that the next copy to it waits for just that. */
static pb_status run_tiles(pb_extractor *e, size_t n) {
    tile_place *place = &e->places[e->place];
    bool replayed = false;
    PB_TRY(pb_device_arrive(e->device));
    if (n == (size_t)e->batch_max)
        PB_TRY(replay(e, place, &replayed));
    if (!replayed)
        PB_TRY(queue_tiles(e, place, n));
    PB_TRY(pb_device_spent(e->device, e->place));
    e->place = (e->place + 1) % PB_PLACES;
    return pb_ok();
}

/* ---- creation ---- */

/* The fault point extractor.memory stands for a device without memory for the batch; the caller then halves it (pb_setup_relieve
 * in jobs/setup.c). */
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
    if (!pb_failed(&status) && pb_device_records(device))
        status = rehearse(e);
    if (pb_failed(&status))
        pb_extractor_free(&e);
    *extractor_out = e;
    return status;
}

/* ---- images ---- */

/* Copies what tile `tile` of an image owns from its patches to the image's features. Both grids are row-major with dim values a
 * place, so a tile's part is a block of rows. Tiles own disjoint parts that cover the grid, so every patch of the image is
 * written once. */
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

/* How many of `all` tiles go to the device with the first one being `first`. */
static size_t piece_of(const pb_extractor *e, size_t first, size_t all) {
    return all - first < (size_t)e->batch_max ? all - first : (size_t)e->batch_max;
}

/* Cuts tiles from `first` of all that were put, image by image, and begins to send them to the present place. The host memory of
 * a place is written here, and must not be a copy's source any more. */
static pb_status send_cut(pb_extractor *e, size_t first) {
    const size_t image_bytes = pb_size_area(e->how.image) * 3, n = piece_of(e, first, e->put * e->tiles);
    tile_place *place = &e->places[e->place];
    PB_TRY(pb_device_sent(e->device)); /* the place's last tiles are two pieces old, and gone long ago */
    for (size_t i = 0; i < n; i++)
        pb_tiling_cut(&e->tiling, e->images + (first + i) / e->tiles * image_bytes, (first + i) % e->tiles,
                      place->cut + i * tile_bytes(e));
    return pb_device_send(e->device, e->place, place->inputs, place->cut, n * tile_bytes(e));
}

/* All tiles of the images that were put; the first piece has been sent. A piece comes while the one before is worked on. Pieces
 * may hold tiles of several images, and an image's tiles may be in several pieces. The patches of a piece are copied out before
 * the next piece's operations overwrite them, as operations are in order. */
static pb_status run_cut(pb_extractor *e) {
    const size_t all = e->put * e->tiles, image_values = pb_size_area(e->grid) * (size_t)e->dim;
    for (size_t first = 0, n; first < all; first += n) {
        n = piece_of(e, first, all);
        PB_TRY(run_tiles(e, n));
        for (size_t i = 0; i < n; i++)
            PB_TRY(place_tile(e, (first + i) % e->tiles, e->patches + i * tile_values(e),
                              e->features + (first + i) / e->tiles * image_values));
        if (first + n < all)
            PB_TRY(send_cut(e, first + n));
    }
    return pb_ok();
}

/* Images that are not cut are sent from the caller's memory, which is why it is borrowed until take. */
pb_status pb_extractor_put(pb_extractor *extractor, const uint8_t *images, size_t n) {
    pb_extractor *e = extractor;
    PB_ASSERT(n <= e->images_max && !e->images && images);
    e->images = images;
    e->put = n;
    pb_status status = n == 0       ? pb_ok()
                       : is_cut(e) ? send_cut(e, 0)
                                   : pb_device_send(e->device, e->place, e->places[e->place].inputs, images, n * tile_bytes(e));
    if (pb_failed(&status))
        pb_extractor_drop(e);
    return status;
}

/* The last `sent` is what gives the caller's images back; features need not be there yet. */
pb_status pb_extractor_take(pb_extractor *extractor, const float **features_out) {
    pb_extractor *e = extractor;
    PB_ASSERT(e->images);
    *features_out = is_cut(e) ? e->features : e->patches;
    pb_status status = e->put == 0 ? pb_ok() : is_cut(e) ? run_cut(e) : run_tiles(e, e->put);
    if (!pb_failed(&status))
        status = pb_device_sent(e->device);
    if (pb_failed(&status))
        pb_extractor_drop(e);
    e->images = NULL;
    return status;
}

/* Waits for the copy, because the images are the caller's again afterwards. What was sent to the place is overwritten by the next
 * put, which begins at the same place. */
void pb_extractor_drop(pb_extractor *extractor) {
    if (extractor->images) {
        pb_status status = pb_device_sent(extractor->device);
        (void)status;
    }
    extractor->images = NULL;
}

pb_status pb_extractor_run(pb_extractor *extractor, const uint8_t *images, size_t n, const float **features_out) {
    PB_TRY(pb_extractor_put(extractor, images, n));
    return pb_extractor_take(extractor, features_out);
}
