/* extractor.h: images in, patch features out: a compiled network, its taps and the neighbourhood averaging in one object. */
#ifndef PB_GPU_EXTRACTOR_H
#define PB_GPU_EXTRACTOR_H

#include "gpu/device.h"

/* Owns its device buffers; used with the device that made it, by one thread at a time. */
typedef struct pb_extractor pb_extractor;

/* Compiles `network` for `batch_max` images a call. patchcore: patch features as PatchCore published them, so
 * (pb_device_patchcore_features); NULL: 3x3 means of all channels (pb_device_patch_features). Network and *patchcore may be freed
 * afterwards; the device must outlive the extractor.
 * Errors: those of pb_device_compile and pb_device_alloc. */
PB_CHECKED pb_status pb_extractor_create(pb_device *device, const pb_network *network, const pb_patchcore *patchcore,
                                         int batch_max, pb_extractor **extractor_out);
void pb_extractor_free(pb_extractor **extractor);

/* Patches along one side of the grid (28 for 224 pixels at stride 8), patches an image (grid^2), values a patch. */
int pb_extractor_grid(const pb_extractor *extractor);
int pb_extractor_dim(const pb_extractor *extractor);

/* Features of n <= batch_max images. images: host memory, [n][side][side][3] bytes. *features: device memory that belongs to the
 * extractor and is valid until its next call, [n * grid * grid][dim] float. The features of an image are the same bits whatever n
 * is and whatever the other images are. Not collective. */
PB_CHECKED pb_status pb_extractor_run(pb_extractor *extractor, const uint8_t *images, int n, const float **features_out);

#endif
