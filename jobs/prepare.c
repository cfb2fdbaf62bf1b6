/* prepare.c: the work of a decoder thread on one image. The brightness is taken before resizing: it is a property of the image,
 * not of --resize. */
#include "jobs/prepare.h"

/* The shorter side that decoding must leave. */
static int shorter_side(pb_size resize) { return resize.height > resize.width ? resize.height : resize.width; }

pb_status pb_prepare(const pb_preparation *how, pb_span span, uint8_t *input, double brightness[PB_BRIGHTNESS_STATS]) {
    pb_image image;
    PB_TRY(how->dct_scaling ? pb_image_decode_scaled(span.bytes, span.size, shorter_side(how->fit.resize), &image)
                            : pb_image_decode(span.bytes, span.size, &image));
    pb_image_brightness(&image, brightness);
    pb_status status = pb_image_to_input(&image, &how->fit, input);
    pb_image_free(&image);
    return status;
}
