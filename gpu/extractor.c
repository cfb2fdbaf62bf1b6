#include "gpu/extractor.h"

#include "base/memory.h"

struct pb_extractor {
    pb_device *device;
    pb_compiled *compiled;
    bool has_patchcore; /* otherwise means */
    pb_patchcore patchcore;
    int batch_max, side, grid, dim;
    int tap_count;
    pb_layer_shape shapes[PB_TAPS_MAX];
    uint8_t *images;          /* device memory, batch_max images */
    float *taps[PB_TAPS_MAX]; /* device memory, batch_max outputs each */
    float *features;          /* device memory, batch_max * grid^2 rows */
};

static size_t area(int side) { return (size_t)side * (size_t)side; }

static pb_status create(pb_extractor *e, const pb_network *network) {
    PB_TRY(pb_device_compile(e->device, network, e->batch_max, &e->compiled));
    size_t n = (size_t)e->batch_max;
    PB_TRY(pb_device_alloc(e->device, n * area(e->side) * 3, &e->images, "images of a batch"));
    for (int t = 0; t < e->tap_count; t++) {
        size_t values = n * area(e->shapes[t].side) * (size_t)e->shapes[t].channels;
        PB_TRY(pb_device_alloc(e->device, values * sizeof(float), &e->taps[t], "a tap's output"));
    }
    size_t values = n * area(e->grid) * (size_t)e->dim;
    return pb_device_alloc(e->device, values * sizeof(float), &e->features, "patch features");
}

pb_status pb_extractor_create(pb_device *device, const pb_network *network, const pb_patchcore *patchcore, int batch_max,
                              pb_extractor **extractor_out) {
    PB_ASSERT(batch_max >= 1 && network->tap_count >= 1 && network->tap_count <= PB_TAPS_MAX);
    *extractor_out = NULL;
    pb_extractor *e;
    PB_TRY(pb_allocate(&e, 1, sizeof *e, "an extractor"));
    *e = (pb_extractor){.device = device, .batch_max = batch_max, .side = network->side, .tap_count = network->tap_count};
    for (int t = 0; t < e->tap_count; t++) {
        e->shapes[t] = pb_network_shape(network, network->taps[t]);
        e->dim += e->shapes[t].channels;
    }
    e->grid = e->shapes[0].side;
    if (patchcore) {
        e->has_patchcore = true;
        e->patchcore = *patchcore;
        e->grid = pb_patchcore_grid(patchcore, e->shapes[0].side);
        e->dim = patchcore->feature_dim;
    }
    pb_status status = create(e, network);
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
    for (int t = 0; t < e->tap_count; t++)
        pb_device_release(e->device, &e->taps[t]);
    pb_device_release(e->device, &e->images);
    pb_device_compiled_free(e->device, &e->compiled);
    pb_release(extractor);
}

int pb_extractor_grid(const pb_extractor *extractor) { return extractor->grid; }

int pb_extractor_dim(const pb_extractor *extractor) { return extractor->dim; }

pb_status pb_extractor_run(pb_extractor *extractor, const uint8_t *images, int n, const float **features_out) {
    pb_extractor *e = extractor;
    PB_ASSERT(n >= 0 && n <= e->batch_max);
    *features_out = e->features;
    PB_TRY(pb_device_upload(e->device, e->images, images, (size_t)n * area(e->side) * 3));
    PB_TRY(pb_device_run(e->device, e->compiled, e->images, n, e->taps));
    const float *const *taps = (const float *const *)e->taps;
    return e->has_patchcore
               ? pb_device_patchcore_features(e->device, &e->patchcore, e->tap_count, e->shapes, taps, n, e->features)
               : pb_device_patch_features(e->device, e->tap_count, e->shapes, taps, n, e->features);
}
