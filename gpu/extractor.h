/* extractor.h: images in, patch features out: a compiled network, its taps, the patches and the tiles in one object.
 *
 * Life: check (whether it can be done, on the host alone), create, then for each batch put and take, which may overlap: features
 * of batch n are valid while the images of batch n + 1 are on their way. Collectivity: none of these functions is collective.
 * Threads: one at a time, the device's.
 *
 * Memory, on the device: two times batch_max tiles of bytes, batch_max outputs of every tap, patches of batch_max tiles, features
 * of images_max images where images are cut, and what the compiled network takes.
 */
#ifndef PB_GPU_EXTRACTOR_H
#define PB_GPU_EXTRACTOR_H

#include "gpu/device.h"

/* What becomes of images. All of it decides what a feature is, so a bank records it, and score and verify read it there. With
 * unequal numbers features are not comparable. */
typedef struct pb_features {
    bool is_patchcore;      /* patches as PatchCore published them (pb_device_patchcore_features), otherwise means of all channels
                             * (pb_device_patch_features) */
    int patch;              /* of means: side of the neighbourhood */
    pb_patchcore patchcore; /* of the published ones */
    bool unit;              /* each feature is divided by its length (pb_device_unit_rows) */
    pb_precision precision; /* of the network; the patches are made of its taps in float */
    pb_size image;          /* pixels of an image */
    int overlap;            /* pixels by which neighbouring tiles overlap; a tile is what the network takes (gpu/tiling.h) */
} pb_features;

/* Owns its device buffers; used with the device that made it, by one thread at a time. */
typedef struct pb_extractor pb_extractor;

/* Whether images can be cut and taken apart like this. network: weights are not looked at, so an outline will do
 * (pb_network_outline). Not collective. Errors: those of pb_tiling_create; PB_E_UNSUPPORTED for tiles with a patch stride above
 * 1, whose patches need not lie on one grid. */
PB_CHECKED pb_status pb_features_check(const pb_network *network, const pb_features *features);

/* Compiles `network`, whose input is a tile. On a device that records (gpu/ahead.h) a batch is run, so that all memory that
 * images need is there afterwards, and recorded. batch_max: tiles that the device takes at once, at least 1. The network may be
 * freed afterwards; the device must outlive the extractor.
 * Errors: those of pb_features_check, pb_device_compile and pb_device_alloc. */
PB_CHECKED pb_status pb_extractor_create(pb_device *device, const pb_network *network, const pb_features *features, int batch_max,
                                         pb_extractor **extractor_out);
void pb_extractor_free(pb_extractor **extractor);

/* Patches of an image; values a patch; tiles of an image; images that pb_extractor_run takes at most: as many as batch_max tiles
 * are, but at least one. All fixed when the extractor is created. */
pb_size pb_extractor_grid(const pb_extractor *extractor);
int pb_extractor_dim(const pb_extractor *extractor);
size_t pb_extractor_tiles(const pb_extractor *extractor);
size_t pb_extractor_images_max(const pb_extractor *extractor);

/* Begins to bring n <= pb_extractor_images_max images to the device, beside what it is doing. images: host memory, best that of
 * pb_device_host_alloc, [n][height][width][3] bytes, borrowed until pb_extractor_take or pb_extractor_drop returns. Features that
 * were taken stay valid. Nothing that was put may be waiting. Errors: the device's; nothing is waiting then. Not collective. */
PB_CHECKED pb_status pb_extractor_put(pb_extractor *extractor, const uint8_t *images, size_t n);

/* Features of the images that were put. *features: device memory that belongs to the extractor and is valid until its next
 * pb_extractor_take, [n * grid.height * grid.width][dim] float; in place for operations that are called later. The features of an
 * image are the same bits whatever n is and whatever the other images are. Errors: the device's. Nothing is waiting then, either
 * way. Not collective. */
PB_CHECKED pb_status pb_extractor_take(pb_extractor *extractor, const float **features_out);

/* Gives up what was put, if anything is waiting. The images are the caller's again when it returns. Cannot fail: an error of the
 * device comes with the next call. */
void pb_extractor_drop(pb_extractor *extractor);

/* Both at once. Contracts and errors of both; nothing overlaps. */
PB_CHECKED pb_status pb_extractor_run(pb_extractor *extractor, const uint8_t *images, size_t n, const float **features_out);

#endif
