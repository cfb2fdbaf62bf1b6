/* request.h: private to jobs/: which features, from which images: what train is told by its options and a bank tells everybody
 * after. Both are the same named texts (jobs/provenance.h), and this is the one place where they are understood. */
#ifndef PB_JOBS_REQUEST_H
#define PB_JOBS_REQUEST_H

#include "gpu/extractor.h"
#include "io/attributes.h"
#include "io/resize.h"

/* What is asked for: a network, its taps, images and patches. Texts are borrowed: the attributes' or static. */
typedef struct pb_request {
    const char *archive_sha256;  /* edition of the archive that the images are of; NULL, as it is read: the newest */
    const char *backbone, *taps; /* as used; the texts are the attributes' or static */
    pb_fit fit;                  /* from a decoded image to the one that is looked at */
    bool dct_scaling;            /* decode large JPEGs smaller (io/image.h) */
    pb_size tile;                /* the network's input */
    pb_features features;        /* features.image is fit.crop; features.unit: distances are 1 - cosine */
} pb_request;

/* Reads the request from the attributes "option.NAME". bank: the file they are from, NULL for the command line: named in
 * messages. A bank from before an option was there has its default. An option that would be without effect is an error. The
 * attributes must outlive the request. Not collective, and the same on every rank that has the same attributes. Errors:
 * PB_E_USAGE for a value on the command line that cannot be, PB_E_INPUT for one in a bank; PB_E_UNSUPPORTED as
 * pb_features_check. */
PB_CHECKED pb_status pb_request_read(const pb_attributes *attributes, const char *bank, pb_request *request_out);

#endif
