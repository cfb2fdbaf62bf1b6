/* prepare.h: private to jobs/: from an image's encoded bytes to what the network takes. */
#ifndef PB_JOBS_PREPARE_H
#define PB_JOBS_PREPARE_H

#include "base/status.h"
#include "io/archive.h"
#include "io/resize.h"

#include <stdbool.h>
#include <stdint.h>

/* How images become inputs. Plain data. */
typedef struct pb_preparation {
    pb_fit fit;       /* resizing, filter and crop (io/resize.h) */
    bool dct_scaling; /* decode large JPEGs smaller (io/image.h) */
} pb_preparation;

/* Bytes of an input: [crop.height][crop.width][3]. */
static inline size_t pb_prepared_bytes(const pb_preparation *how) { return pb_size_area(how->fit.crop) * 3; }

/* Decodes the image in `span`, takes its brightness as decoded, and resizes and cuts it into input[pb_prepared_bytes], RGB bytes,
 * row by row. brightness: PB_BRIGHTNESS_STATS grey statistics (io/image.h). span is the encoded file, host memory. Errors: those
 * of pb_image_decode and pb_image_to_input, without the image's name; PB_E_INPUT is the image's fault, PB_E_SYSTEM the machine's.
 * Not collective, thread safe. Memory: one decoded image. */
PB_CHECKED pb_status pb_prepare(const pb_preparation *how, pb_span span, uint8_t *input, double brightness[PB_BRIGHTNESS_STATS]);

#endif
