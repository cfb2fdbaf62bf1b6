/* rows_file.c: keys and, under each, some rows of floats: two columns that grow piece by piece. What is saved of a stopped job is
 * large (projected patches), so it is neither gathered before it is written nor read whole.
 *
 * That keys and rows fit each other is a fact of the file's sizes: rows are a multiple of keys, and the quotient is the rows a
 * key. A file is committed whole or not at all, so it never has keys whose rows are missing.
 */
#include "io/rows_file.h"

#include "base/memory.h"
#include "io/file.h"
#include "io/h5.h"

#include <stdio.h>
#include <string.h>

static const char ROWS_FORMAT[] = "patchbank-rows";
/* The version; the most values of a row, as of a bank. */
enum { ROWS_VERSION = 1, DIM_MAX = 1 << 20 };

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* A file under construction. */
struct pb_rows_writer {
    pb_output output;
    pb_h5 h5;
    pb_h5_column key, row; /* as far as they are in the file */
    size_t rows_a_key;
};

/* Rows of about a chunk's bytes, at least one: HDF5 reads and checks whole chunks. */
static uint64_t rows_in_chunk(int dim) {
    uint64_t rows = PB_H5_CHUNK_BYTES / ((uint64_t)dim * sizeof(float));
    return rows > 0 ? rows : 1;
}

/* Both columns, empty, so that the order of appending does not matter to the file's form. */
static pb_status begin(pb_rows_writer *writer, const char *path, const pb_attributes *attributes, int dim) {
    PB_TRY(pb_output_begin(&writer->output, path));
    PB_TRY(pb_h5_create(&writer->h5, &writer->output));
    PB_TRY(pb_h5_write_header(&writer->h5, ROWS_FORMAT, ROWS_VERSION, attributes));
    PB_TRY(pb_h5_create_growing(&writer->h5, &writer->key, PB_H5_CHUNK_BYTES / sizeof(uint64_t)));
    return pb_h5_create_growing(&writer->h5, &writer->row, rows_in_chunk(dim));
}

/* The columns describe what is in the file so far; both begin empty. */
pb_status pb_rows_create(const char *path, const pb_attributes *attributes, size_t rows_a_key, int dim,
                         pb_rows_writer **writer_out) {
    PB_ASSERT(rows_a_key >= 1 && dim >= 1 && dim <= DIM_MAX);
    PB_TRY(pb_allocate(writer_out, 1, sizeof **writer_out, "rows"));
    (*writer_out)->key = pb_h5_vector("key", PB_H5_U64, 0);
    (*writer_out)->row = pb_h5_matrix("row", PB_H5_F32, 0, (uint64_t)dim);
    (*writer_out)->rows_a_key = rows_a_key;
    pb_status status = begin(*writer_out, path, attributes, dim);
    if (pb_failed(&status))
        pb_rows_abandon(writer_out);
    return status;
}

pb_status pb_rows_append(pb_rows_writer *writer, const uint64_t *keys, size_t count, const float *rows) {
    PB_TRY(pb_h5_append_items(&writer->h5, &writer->key, count, keys));
    return pb_h5_append_items(&writer->h5, &writer->row, count * writer->rows_a_key, rows);
}

/* Closed before it is renamed. Abandoning frees the writer, and has no file to remove after a commit. */
pb_status pb_rows_commit(pb_rows_writer **writer) {
    pb_status status = pb_h5_close(&(*writer)->h5);
    if (!pb_failed(&status))
        status = pb_output_commit(&(*writer)->output);
    pb_rows_abandon(writer);
    return status;
}

void pb_rows_abandon(pb_rows_writer **writer) {
    if (!*writer)
        return;
    pb_status ignored = pb_h5_close(&(*writer)->h5); /* open only where the file is not wanted */
    (void)ignored;
    pb_output_abandon(&(*writer)->output);
    pb_release(writer);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* What a file says but for its rows. */
struct pb_rows {
    char path[PB_PATH_MAX]; /* opened when rows are read: there may be thousands of such files */
    pb_attributes attributes;
    uint64_t *keys; /* [count] */
    size_t count, rows_a_key;
    pb_h5_column row;
};

/* Keys are few beside the rows, and whoever looks for one wants them all. */
static pb_status read_keys(pb_rows *rows, const pb_h5 *h5) {
    pb_h5_column key = pb_h5_vector("key", PB_H5_U64, 0);
    PB_TRY(pb_h5_examine(h5, &key));
    rows->count = (size_t)key.size[0];
    PB_TRY(pb_allocate(&rows->keys, rows->count, sizeof *rows->keys, "keys of rows"));
    return pb_h5_read(h5, &key, rows->keys);
}

/* A file without keys says nothing of how many rows each has, and is none of ours: nobody saves nothing. */
static pb_status read_all(pb_rows *rows, const pb_h5 *h5) {
    PB_TRY(pb_h5_read_header(h5, ROWS_FORMAT, ROWS_VERSION, &rows->attributes));
    PB_TRY(read_keys(rows, h5));
    rows->row = pb_h5_matrix("row", PB_H5_F32, 0, 0);
    PB_TRY(pb_h5_examine(h5, &rows->row));
    uint64_t all = rows->row.size[0], dim = rows->row.size[1];
    if (rows->count == 0 || all == 0 || all % rows->count != 0 || dim < 1 || dim > DIM_MAX)
        return pb_fail(PB_E_INPUT, "%s: %zu keys, but %ju rows of %ju", h5->name, rows->count, (uintmax_t)all,
                       (uintmax_t)dim);
    rows->rows_a_key = (size_t)(all / rows->count);
    return pb_ok();
}

/* Closed again: there may be more such files than a process may have open. */
pb_status pb_rows_open(const char *path, pb_rows **rows_out) {
    pb_h5 h5 = {0};
    PB_TRY(pb_allocate(rows_out, 1, sizeof **rows_out, "rows"));
    pb_status status = pb_path_join("", path, (*rows_out)->path);
    if (!pb_failed(&status))
        status = pb_h5_open(&h5, path);
    if (!pb_failed(&status))
        status = read_all(*rows_out, &h5);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (pb_failed(&status))
        pb_rows_close(rows_out);
    return status;
}

void pb_rows_close(pb_rows **rows) {
    if (!*rows)
        return;
    pb_attributes_free(&(*rows)->attributes);
    pb_release(&(*rows)->keys);
    pb_release(rows);
}

const pb_attributes *pb_rows_attributes(const pb_rows *rows) { return &rows->attributes; }

const uint64_t *pb_rows_keys(const pb_rows *rows, size_t *count) {
    *count = rows->count;
    return rows->keys;
}

size_t pb_rows_a_key(const pb_rows *rows) { return rows->rows_a_key; }

int pb_rows_dim(const pb_rows *rows) { return (int)rows->row.size[1]; }

/* Opens and closes the file; io/h5.h compares the sizes again, so a file that was replaced meanwhile is noticed. */
pb_status pb_rows_read(const pb_rows *rows, size_t first, size_t count, float *values) {
    PB_ASSERT(first <= rows->count && count <= rows->count - first);
    pb_h5 h5 = {0};
    PB_TRY(pb_h5_open(&h5, rows->path));
    pb_status status = pb_h5_read_items(&h5, &rows->row, PB_H5_CHECKED, first * rows->rows_a_key, count * rows->rows_a_key,
                                        values);
    pb_keep_first(&status, pb_h5_close(&h5));
    return status;
}
