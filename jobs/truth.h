/* truth.h: private to jobs/: which pixels of an image are defective, at the size that the network sees. Not collective. */
#ifndef PB_JOBS_TRUTH_H
#define PB_JOBS_TRUTH_H

#include "io/archive.h"
#include "io/resize.h"

#include <stdbool.h>

/* Takes an image's mask, encoded, the way that the image took: resized and cut as `fit` says, but always bilinear, and black and
 * white before: a pixel of the mask that is not 0 is defective. Afterwards those are defective that are wholly so, 255 of 255:
 * what PatchCore's authors compare with, whose masks are resized like their images and then cut to whole numbers. The borders of
 * regions thus count as normal, and regions that resizing leaves no whole pixel of vanish. (Of an image that --dct-scaling
 * decodes smaller the cut may lie a pixel beside that of its mask.)
 * mask: not empty; record: the image's; defective: [fit->crop.height][fit->crop.width]. Errors: PB_E_INPUT, with the image's path
 * (the mask does not decode, or has not its image's size), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_truth_of_mask(pb_span mask, const pb_record *record, const pb_fit *fit, bool *defective);

#endif
