/* census.h: private to jobs/: what is in an archive, counted from its records. Not collective. */
#ifndef PB_JOBS_CENSUS_H
#define PB_JOBS_CENSUS_H

#include "io/archive.h"

#include <jansson.h>
#include <stdio.h>

/* Least, lower median and greatest of some values; all 0 of none. */
typedef struct pb_spread {
    uint64_t least, median, most;
} pb_spread;

/* Images by split and label. */
typedef struct pb_tally {
    uint64_t images[2][3]; /* [split][label + 1] */
    uint64_t all, bytes;   /* bytes: their encoded files, without masks */
} pb_tally;

typedef struct pb_class_tally {
    const char *name; /* the archive's; "" when unknown */
    pb_tally tally;
} pb_class_tally;

/* Zero it; released by pb_census_free, before which the archive stays open. */
typedef struct pb_census {
    pb_tally all;
    pb_class_tally *classes; /* [class_count] by name in byte order */
    size_t class_count;
    uint64_t groups;           /* that have a name */
    pb_spread group_images;    /* images of one of them */
    uint64_t jpeg, png, grey, rgb, masks, mask_bytes;
    pb_spread width, height, bytes; /* pixels; bytes of an encoded image */
} pb_census;

/* Reads all records; names of classes stay the archive's. Memory: a record and 8 bytes an image. Errors: PB_E_INPUT (a damaged
 * shard), PB_E_SYSTEM; the census is empty then. */
PB_CHECKED pb_status pb_census_take(pb_archive *archive, pb_census *census);
void pb_census_free(pb_census *census);

/* For people. */
void pb_census_print(const pb_census *census, FILE *out);

/* The same as a new JSON object, owned by the caller; NULL when memory is out. */
json_t *pb_census_to_json(const pb_census *census);

#endif
