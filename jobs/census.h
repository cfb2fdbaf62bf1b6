/* census.h: private to jobs/: what is in an archive, counted from its records, for `patchbank info`: images by split and label,
 * classes, groups, kinds and sizes of images. Not collective: one rank looks, as no image is read, only columns. */
#ifndef PB_JOBS_CENSUS_H
#define PB_JOBS_CENSUS_H

#include "io/archive.h"

#include <jansson.h>
#include <stdio.h>

/* Least, lower median (of an even number the lower of the two in the middle) and greatest of some values; all 0 of none. */
typedef struct pb_spread {
    uint64_t least, median, most;
} pb_spread;

/* Images by split and label. */
typedef struct pb_tally {
    uint64_t images[2][3]; /* [split][label + 1] */
    uint64_t all, bytes;   /* bytes: their encoded files, without masks */
} pb_tally;

/* The images of one class. */
typedef struct pb_class_tally {
    const char *name; /* the archive's; "" when unknown */
    pb_tally tally;
} pb_class_tally;

/* What was counted, of all editions up to the opened one. Zero it; released by pb_census_free, before which the archive stays
 * open: names of classes are its own. */
typedef struct pb_census {
    pb_tally all;            /* of all images */
    pb_class_tally *classes; /* [class_count] by name in byte order */
    size_t class_count;
    uint64_t groups;           /* that have a name */
    pb_spread group_images;    /* images of one of them */
    uint64_t jpeg, png, grey, rgb, masks, mask_bytes; /* images of each kind; masks, and bytes of their files */
    pb_spread width, height, bytes; /* pixels; bytes of an encoded image */
} pb_census;

/* Reads all records; names of classes stay the archive's. Memory: a record and 8 bytes an image. Errors: PB_E_INPUT (a damaged
 * shard), PB_E_SYSTEM; the census is empty then. */
PB_CHECKED pb_status pb_census_take(pb_archive *archive, pb_census *census);
void pb_census_free(pb_census *census);

/* For people: a table, and lines; of many classes the first 20 in byte order. Names are printed as they are in the list. */
void pb_census_print(const pb_census *census, FILE *out);

/* The same as a new JSON object, owned by the caller; NULL when memory is out. All classes are in it. */
json_t *pb_census_to_json(const pb_census *census);

#endif
