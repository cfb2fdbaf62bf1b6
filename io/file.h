/* file.h: whole files, and output files that are either complete or not there.
 *
 * Nothing half-written ever stands under a final name: an output is written as "<name>.part-<pid>" beside its final place,
 * flushed to the disk, and renamed; a failure removes it. Not collective.
 */
#ifndef PB_IO_FILE_H
#define PB_IO_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Reads a regular file whole. most: bytes allowed. Out: *bytes, owned by the caller (pb_release), followed by one 0 byte that
 * *size does not count. Errors: PB_E_INPUT (missing, not a regular file, larger than most), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_file_read(const char *path, size_t most, void *bytes_out, size_t *size_out);

enum { PB_PATH_MAX = 4096 };

/* An output under construction. Zero it, then use it between begin and commit or abandon. */
typedef struct pb_output {
    char final[PB_PATH_MAX];     /* the name it gets at last */
    char temporary[PB_PATH_MAX]; /* the name to write to; "" when there is none */
} pb_output;

/* Chooses the temporary name beside `path` and removes a stale one of this process. The folder must exist.
 * Errors: PB_E_INPUT when the folder is missing, not writable, or the name too long. */
PB_CHECKED pb_status pb_output_begin(pb_output *output, const char *path);

/* Flushes the closed temporary file and its folder to the disk and renames it. On error it is removed. */
PB_CHECKED pb_status pb_output_commit(pb_output *output);

/* Removes the temporary file, if any. Safe after commit and on a zeroed output. */
void pb_output_abandon(pb_output *output);

/* Writes a whole small file by begin, write, commit. */
PB_CHECKED pb_status pb_file_write(const char *path, const void *bytes, size_t size);

/* Creates the folder `path` and its missing parents. Errors: PB_E_INPUT when something else stands there. */
PB_CHECKED pb_status pb_folder_create(const char *path);

/* "folder/name" into joined (PB_PATH_MAX bytes); an absolute name is taken as it is. Errors: PB_E_INPUT when too long. */
PB_CHECKED pb_status pb_path_join(const char *folder, const char *name, char *joined);

#endif
