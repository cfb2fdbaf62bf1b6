/* h5.h: private to io/: the little of HDF5 that our files use, with our statuses. Only this room includes it.
 *
 * A file of ours is a header (text attributes of the root group) and columns. A column is a dataset of 1 to 3 dimensions whose
 * first dimension counts items; a ragged column is a group NAME with NAME/bytes (u8, the items end to end) and NAME/offset (u64,
 * one more than items; item i is bytes offset[i] .. offset[i + 1] - 1); strings are ragged columns without terminating zeros.
 *
 * Why the settings are what they are (h5.c):
 *   same input, same bytes   no times in object headers, format bounds pinned to HDF5 1.10 whatever the library's version
 *   damage is noticed        all metadata of that format carry checksums; columns are chunked with Fletcher-32
 *   a full disk              is reported by HDF5 as late as at close; the file then cannot be closed at all, which HDF5's own
 *                            exit handler would try for ever, so that handler is not installed
 *   foreign files            cannot make us read other files (external links and storage, virtual datasets) or load a filter
 *                            plugin, and cannot claim more data than their size could hold
 *   file locks               are not taken: many cluster file systems have none, and our files are complete before they are seen
 *
 * Errors while writing: PB_E_SYSTEM with the system's reason. While reading: PB_E_INPUT (missing, damaged, not as expected), or
 * PB_E_SYSTEM where the system refused the read. Each is one line that begins with the file's name; HDF5 itself prints nothing.
 * Fault points: io/file.h (io.create, io.write, io.close). One thread at a time.
 *
 * A file is written by pb_output_begin -> pb_h5_create -> pb_h5_write_header -> columns -> pb_h5_close -> pb_output_commit, and
 * read by pb_h5_open -> pb_h5_read_header -> pb_h5_examine, memory, pb_h5_read... -> pb_h5_close. A dataset is opened and closed
 * within each call, so nothing but the file is ever open between two.
 */
#ifndef PB_IO_H5_H
#define PB_IO_H5_H

#include "base/status.h"
#include "io/attributes.h"
#include "io/file.h"

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

/* --- files ------------------------------------------------------------------------------------------------------ */

/* An open file. Zeroed it is closed. */
typedef struct pb_h5 {
    bool open, writing;
    hid_t id;
    uint64_t size;          /* bytes of a file being read: no claim in it can be honest beyond what they may hold */
    char name[PB_PATH_MAX]; /* for messages: a written file's final name */
} pb_h5;

/* Creates a file at output->temporary; the output must be under construction (asserted). Messages name its final name. */
PB_CHECKED pb_status pb_h5_create(pb_h5 *h5, const pb_output *output);
/* Opens a file for reading. Closed after a failure. Errors: PB_E_INPUT (missing, not HDF5, damaged), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_h5_open(pb_h5 *h5, const char *path);
/* Closes; for a written file this is where a full disk may show. Closed in any case; safe on a closed one. Errors: PB_E_SYSTEM,
 * of a written file alone worth looking at. */
PB_CHECKED pb_status pb_h5_close(pb_h5 *h5);

/* A failed status about `what` ("cannot read dataset label") from what HDF5 has to say of its last call. */
#define pb_h5_fail(h5, what, name) pb_h5_fail_at((h5), __FILE__, __LINE__, (what), (name))
pb_status pb_h5_fail_at(const pb_h5 *h5, const char *file, int line, const char *what, const char *name);

/* --- header ----------------------------------------------------------------------------------------------------- */

/* Writes the attributes "format" and "format_version" and then the given ones, in order. attributes may be NULL, and has neither
 * of the two names. Once a file, before or after its columns: the order of these calls is in the bytes. */
PB_CHECKED pb_status pb_h5_write_header(const pb_h5 *h5, const char *format, int version, const pb_attributes *attributes);
/* Checks that the file is of `format` and not newer than `version`; the other attributes are added to *attributes, in the order
 * in which they were written. On error none is added, unless memory was out. */
PB_CHECKED pb_status pb_h5_read_header(const pb_h5 *h5, const char *format, int version, pb_attributes *attributes);

/* --- columns ---------------------------------------------------------------------------------------------------- */

/* Numbers of the format: little-endian in the file, the machine's own in memory. */
typedef enum pb_h5_type { PB_H5_U8, PB_H5_I8, PB_H5_U32, PB_H5_U64, PB_H5_F32, PB_H5_F64 } pb_h5_type;

enum {
    PB_H5_RANK_MAX = 3,
    PB_H5_NAME_MAX = 48, /* of a dataset's path in a file, and the 0 */
    PB_H5_CHUNK_BYTES = 1 << 20 /* of a chunk at most (or one item): reads are large, a column's end wastes little */
};

/* What a column is: size[0] items of size[1] * size[2] values (1 where the rank ends before). */
typedef struct pb_h5_column {
    const char *name; /* "label", "image/offset"; groups on the way must exist */
    pb_h5_type type;
    int rank;
    uint64_t size[PB_H5_RANK_MAX];
} pb_h5_column;

/* A column of numbers, and of rows of `width` numbers. */
static inline pb_h5_column pb_h5_vector(const char *name, pb_h5_type type, uint64_t items) {
    return (pb_h5_column){.name = name, .type = type, .rank = 1, .size = {items, 1, 1}};
}

static inline pb_h5_column pb_h5_matrix(const char *name, pb_h5_type type, uint64_t items, uint64_t width) {
    return (pb_h5_column){.name = name, .type = type, .rank = 2, .size = {items, width, 1}};
}

/* Makes a group, in which datasets are named "GROUP/NAME". */
PB_CHECKED pb_status pb_h5_create_group(const pb_h5 *h5, const char *name);

/* Writes a whole column: chunked, Fletcher-32, integers shuffled and deflated first. values: host memory, row-major; an empty
 * column has none. */
PB_CHECKED pb_status pb_h5_write(const pb_h5 *h5, const pb_h5_column *column, const void *values);

/* Makes a column without chunks or checksum whose place in the file is fixed at once, to be filled by pb_h5_write_items in any
 * order: the file's bytes then do not depend on that order. Every item must be written. */
PB_CHECKED pb_status pb_h5_reserve(const pb_h5 *h5, const pb_h5_column *column);
PB_CHECKED pb_status pb_h5_write_items(const pb_h5 *h5, const pb_h5_column *column, uint64_t first, uint64_t count,
                                       const void *values);

/* Makes an empty column (size[0] is 0) with chunks of `chunk` items, Fletcher-32, not deflated, that pb_h5_append_items extends.
 * Appending whole chunks is the cheap way. */
PB_CHECKED pb_status pb_h5_create_growing(const pb_h5 *h5, const pb_h5_column *column, uint64_t chunk);
/* Appends items; column->size[0] grows by count, even when it fails: the file is then to be given up. */
PB_CHECKED pb_status pb_h5_append_items(const pb_h5 *h5, pb_h5_column *column, uint64_t count, const void *values);

/* Gives column->size as the file has it; name, type and rank are the caller's expectation. Errors: PB_E_INPUT when they differ,
 * or the size is more than the file could hold: memory may be taken by what passes. */
PB_CHECKED pb_status pb_h5_examine(const pb_h5 *h5, pb_h5_column *column);

/* Whether HDF5 compares the Fletcher-32 of each chunk. Not where the caller has a checksum for each item: one damaged byte would
 * then take all items of its chunk with it. */
typedef enum pb_h5_check { PB_H5_CHECKED, PB_H5_UNCHECKED } pb_h5_check;

/* Reads items first .. first + count - 1 of a column that must be exactly as described; values: host memory, row-major. The
 * stretch lies within the column (asserted). Errors: PB_E_INPUT (other sizes or type, damaged), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_h5_read_items(const pb_h5 *h5, const pb_h5_column *column, pb_h5_check check, uint64_t first,
                                      uint64_t count, void *values);
/* Reads all of it, checked. */
PB_CHECKED pb_status pb_h5_read(const pb_h5 *h5, const pb_h5_column *column, void *values);

/* --- bytes without HDF5 ------------------------------------------------------------------------------------------- */

/* Chunks first .. first + count - 1 of a dataset, which lie one behind the other from byte `address` of the file on. */
typedef struct pb_h5_run {
    uint64_t first, count, address;
} pb_h5_run;

/* Where a column of bytes lies in its file. Every chunk takes `stride` bytes of it: chunk_bytes of the column, then perhaps a
 * checksum. Zeroed it is empty. */
typedef struct pb_h5_layout {
    uint64_t bytes; /* of the column */
    uint64_t chunk_bytes, stride;
    pb_h5_run *runs; /* [count] in order of first, which begins at 0; owned */
    size_t count;
} pb_h5_layout;

/* Finds where the column `name` of bytes lies, so that another thread can read it with pread(2). Asking HDF5 for one chunk of n
 * takes time proportional to n, so only the ends of runs are asked for: where the addresses of two chunks are as far apart as
 * all chunks between them are long, these are taken to lie between them, in order. HDF5 does not promise that, so what is read
 * this way must have a checksum of its own, and whoever finds it wrong reads again with pb_h5_read_items.
 * Errors: those of pb_h5_examine; PB_E_INPUT when the bytes cannot be had without HDF5 (compressed, compact, sparse, a user
 * block), PB_E_SYSTEM. The layout is then empty. */
PB_CHECKED pb_status pb_h5_locate(const pb_h5 *h5, const char *name, pb_h5_layout *layout_out);
void pb_h5_layout_free(pb_h5_layout *layout);

/* --- ragged columns and strings --------------------------------------------------------------------------------- */

/* A ragged column that grows while its items arrive: memory for one chunk, whatever the total. Zero it first. Never deflated:
 * it is meant for JPEG and PNG files. */
typedef struct pb_h5_ragged {
    const pb_h5 *h5;
    char bytes_name[PB_H5_NAME_MAX], offset_name[PB_H5_NAME_MAX];
    pb_h5_column bytes; /* as far as it is in the file */
    bool created;       /* whether it is there: the first full chunk or the end makes it */
    uint8_t *chunk;     /* bytes not yet written */
    size_t filled;      /* of it */
    uint64_t *offset;
    size_t items, capacity;
} pb_h5_ragged;

/* Begins the group `name` (at most 40 bytes); h5 is borrowed until the column is ended. Append: adds an item of `size` bytes,
 * perhaps none, copied. After a failure of any of them only pb_h5_ragged_free may follow. */
PB_CHECKED pb_status pb_h5_ragged_begin(pb_h5_ragged *ragged, const pb_h5 *h5, const char *name);
PB_CHECKED pb_status pb_h5_ragged_append(pb_h5_ragged *ragged, const void *bytes, size_t size);
/* Writes what is left. pb_h5_ragged_free follows in any case. */
PB_CHECKED pb_status pb_h5_ragged_end(pb_h5_ragged *ragged);
/* Frees the memory; what is in the file stays. Safe on a zeroed column, and twice. */
void pb_h5_ragged_free(pb_h5_ragged *ragged);

/* Reads and checks offsets first .. first + count of a ragged column of `items` items into offset[count + 1]: they never fall,
 * begin at 0 (where read) and end at the number of bytes (where read). */
PB_CHECKED pb_status pb_h5_read_offsets(const pb_h5 *h5, const char *name, uint64_t items, uint64_t first, uint64_t count,
                                        uint64_t *offset);
/* Reads bytes begin .. end - 1 of a ragged column, with offsets as pb_h5_read_offsets gave them. */
PB_CHECKED pb_status pb_h5_read_bytes(const pb_h5 *h5, const char *name, pb_h5_check check, uint64_t begin, uint64_t end,
                                      uint8_t *bytes);

/* A column of strings as the group `name`. NULL counts as "". */
PB_CHECKED pb_status pb_h5_write_strings(const pb_h5 *h5, const char *name, char *const *strings, size_t count);
/* Strings first .. first + count - 1 of a column of `items`. Out: *strings, one block with the texts behind the pointers, owned
 * by the caller (pb_release). */
PB_CHECKED pb_status pb_h5_read_strings(const pb_h5 *h5, const char *name, uint64_t items, uint64_t first, uint64_t count,
                                        char ***strings_out);

#endif
