/* sample.h, private to tests/io/: a folder of images (archive_images.py) and archives made of it. Failures end the test. */
#ifndef PB_TESTS_IO_SAMPLE_H
#define PB_TESTS_IO_SAMPLE_H

#include "io/archive.h"
#include "oracle.h"

/* A temporary folder with images/ and its list, read. */
typedef struct sample {
    char folder[ORACLE_PATH];
    pb_list list;
} sample;

/* kind: "" or "noise", see archive_images.py. */
void sample_make(sample *made, const char *kind);
void sample_remove(sample *made);

/* What was handed to a pb_rejected: "3: message\n" a line; index SIZE_MAX is "file". Zero it first. */
typedef struct sample_report {
    int count;
    size_t last;
    char text[8192];
} sample_report;
void sample_reported(void *report, size_t index, const pb_status *why);

/* Archives the sample into folder/NAME. Returns the first failure. */
pb_status sample_archive(const sample *made, const char *name, size_t shard_images, sample_report *report);

/* Opens folder/NAME, which must succeed. */
pb_archive *sample_open(const sample *made, const char *name);

/* Whether both files (below the sample's folder) have the same bytes. */
bool sample_same_file(const sample *made, const char *a, const char *b);

void sample_assert_ok(pb_status status);
/* Fails with this code, in one line that has `part` in it. */
void sample_assert_failed(pb_status status, pb_code code, const char *part);

#endif
