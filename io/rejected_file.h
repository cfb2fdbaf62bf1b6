/* rejected_file.h: rejected.csv: which images a job left out, and why. Format: docs/FORMATS.md. Not collective. */
#ifndef PB_IO_REJECTED_FILE_H
#define PB_IO_REJECTED_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* One image. Strings are borrowed. */
typedef struct pb_rejected_item {
    uint64_t index;     /* in the list that was packed, or in the archive */
    const char *path;   /* as the list has it; "" when not even that could be read */
    const char *reason; /* one line */
} pb_rejected_item;

/* Writes the file completely or not at all, in the order of the items' indices, which differ: sorts the items. Texts are written
 * as they are, quoted where RFC 4180 wants it. Without items there is no file: an older one is removed. Errors: PB_E_INPUT
 * (folder missing or not writable), PB_E_SYSTEM, PB_E_NO where this run was fenced off (io/file.h). */
PB_CHECKED pb_status pb_rejected_file_write(const char *path, pb_rejected_item *items, size_t count);

/* Writes the rows of `count` such files, one after the other, as they are, into one; files that are not there have none. Without
 * rows nothing is written, and an older file stays: for new folders. Errors: PB_E_INPUT when one has not that form; PB_E_SYSTEM;
 * those of writing. */
PB_CHECKED pb_status pb_rejected_file_join(const char *path, char *const *parts, size_t count);

#endif
