/* truth.c: a mask as the network sees its image. Why whole pixels only, and why bilinear, is in truth.h and
 * docs/decisions/0028. */
#include "jobs/truth.h"

#include "base/memory.h"

#include <stdio.h>

/* One channel of 0 or 255, in place: a pixel is written where it or an earlier one was read. */
static void blacken(pb_image *mask) {
    const size_t pixels = (size_t)mask->width * (size_t)mask->height, channels = (size_t)mask->channels;
    for (size_t i = 0; i < pixels; i++) {
        bool any = false;
        for (size_t c = 0; c < channels; c++)
            any = any || mask->pixels[i * channels + c] != 0;
        mask->pixels[i] = any ? 255 : 0;
    }
    mask->channels = 1;
}

/* Resizing makes three channels of one, so one of them is looked at. Not collective; cut is [crop.height][crop.width][3]. */
static pb_status fit_mask(pb_image *mask, const pb_record *record, const pb_fit *fit, bool *defective) {
    const size_t area = pb_size_area(fit->crop);
    const pb_fit bilinear = {.resize = fit->resize, .crop = fit->crop, .filter = PB_FILTER_BILINEAR};
    uint8_t *cut;
    if (mask->width != record->width || mask->height != record->height)
        return pb_fail(PB_E_INPUT, "%d x %d pixels, but the image has %d x %d", mask->width, mask->height, record->width,
                       record->height);
    blacken(mask);
    PB_TRY(pb_allocate(&cut, area, 3, "a mask"));
    pb_status status = pb_image_to_input(mask, &bilinear, cut);
    for (size_t i = 0; i < area && !pb_failed(&status); i++)
        defective[i] = cut[3 * i] == 255;
    pb_release(&cut);
    return status;
}

pb_status pb_truth_of_mask(pb_span span, const pb_record *record, const pb_fit *fit, bool *defective) {
    pb_image mask = {0};
    pb_status status = pb_image_decode(span.bytes, span.size, &mask);
    if (!pb_failed(&status))
        status = fit_mask(&mask, record, fit, defective);
    pb_image_free(&mask);
    return pb_prefix(pb_prefix(status, "its mask"), record->path);
}
