/* rows_file.h: rows of numbers on disk, each few of them under a key: what a stopped training goes on from. Format:
 * docs/FORMATS.md.
 *
 * Written piece by piece, so that what is saved need not be in memory twice; read in pieces, too. The attributes say what the
 * rows are of, and the reader compares. Not collective.
 *
 * Life of a writer: pb_rows_create, pb_rows_append any number of times, then pb_rows_commit, or pb_rows_abandon after a failure.
 * Of a reader: pb_rows_open, a look at attributes and keys, pb_rows_read for those keys that are wanted, pb_rows_close.
 */
#ifndef PB_IO_ROWS_FILE_H
#define PB_IO_ROWS_FILE_H

#include "base/status.h"
#include "io/attributes.h"

#include <stddef.h>
#include <stdint.h>

/* A file of rows under construction. */
typedef struct pb_rows_writer pb_rows_writer;

/* Begins a file of rows of `dim` floats, `rows_a_key` of them under each key; both >= 1, dim at most 2^20 (asserted). attributes
 * are copied into the file. Owned by the caller: commit or abandon it; NULL on error. Errors: PB_E_INPUT (folder missing or not
 * writable), PB_E_SYSTEM, PB_E_NO where this run was fenced off (io/file.h). */
PB_CHECKED pb_status pb_rows_create(const char *path, const pb_attributes *attributes, size_t rows_a_key, int dim,
                                    pb_rows_writer **writer_out);
/* Appends `count` keys with their rows, [count * rows_a_key][dim], host memory, borrowed for the call. Keys may come in any
 * order; that none comes twice is the caller's affair. Errors: PB_E_SYSTEM; after one only pb_rows_abandon may follow. */
PB_CHECKED pb_status pb_rows_append(pb_rows_writer *writer, const uint64_t *keys, size_t count, const float *rows);
/* Completes the file under its name; the writer is gone, on error with the file. Errors: those of pb_output_commit. */
PB_CHECKED pb_status pb_rows_commit(pb_rows_writer **writer);
/* Gives up: removes what was written. NULL is fine. */
void pb_rows_abandon(pb_rows_writer **writer);

typedef struct pb_rows pb_rows; /* a file of rows that was looked into; it is open only while rows are read */

/* Opens and checks a file but for its rows. Owned by the caller, NULL on error. Errors: PB_E_INPUT (missing, not rows, newer
 * version, damaged, without keys), PB_E_SYSTEM. pb_rows_close: NULL is fine, *rows is NULL afterwards. */
PB_CHECKED pb_status pb_rows_open(const char *path, pb_rows **rows_out);
void pb_rows_close(pb_rows **rows);

/* What it says of itself; belongs to it. keys: [count], in the order in which they were appended. Rows a key, values a row. */
const pb_attributes *pb_rows_attributes(const pb_rows *rows);
const uint64_t *pb_rows_keys(const pb_rows *rows, size_t *count);
size_t pb_rows_a_key(const pb_rows *rows);
int pb_rows_dim(const pb_rows *rows);

/* Reads the rows of keys first .. first + count - 1 (places in the list of keys) into values[count * rows_a_key][dim], host
 * memory. Values are not looked at. Errors: PB_E_INPUT when damaged, PB_E_SYSTEM. */
PB_CHECKED pb_status pb_rows_read(const pb_rows *rows, size_t first, size_t count, float *values);

#endif
