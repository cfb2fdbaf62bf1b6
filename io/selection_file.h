/* selection_file.h: a selection on disk, finished or not: what a job that was stopped goes on from. Format: docs/FORMATS.md.
 *
 * The picks made so far say everything: bounds are made anew from them. A finished one also names the images that were selected
 * from, so that nothing of them is needed but the picked patches. The attributes say what was selected from and how; picks
 * go on only where they are the same. Not collective.
 */
#ifndef PB_IO_SELECTION_FILE_H
#define PB_IO_SELECTION_FILE_H

#include "base/status.h"
#include "io/attributes.h"

#include <stddef.h>
#include <stdint.h>

/* Picks in order, and the covering radius after each (a distance, not squared); -1: not known. Zeroed it is empty; arrays are
 * owned when read, borrowed when written. */
typedef struct pb_selection_state {
    size_t picks;
    uint64_t *picked; /* [picks] global patch indices */
    float *radius;    /* [picks] */
    size_t images;    /* 0: the selection is not finished */
    uint64_t *image;  /* [images] their indices in the archive, in the order of their patches */
    pb_attributes attributes;
} pb_selection_state;

/* Writes the file completely or not at all; an older one stays until then. Radii must be finite, images rise: what else is
 * written could not be read again. Errors: PB_E_INPUT (folder missing or not writable), PB_E_SYSTEM, PB_E_NO where this run was
 * fenced off (io/file.h). */
PB_CHECKED pb_status pb_selection_write(const char *path, const pb_selection_state *state);

/* Reads and checks it. Errors, with an empty state: PB_E_INPUT (missing, not a selection, newer version, damaged, a radius that
 * is not finite, images that do not rise), PB_E_SYSTEM. Whether picks and images are such of an archive is for the caller to
 * compare. */
PB_CHECKED pb_status pb_selection_read(const char *path, pb_selection_state *state_out);

/* Frees the arrays and attributes and empties the state. */
void pb_selection_state_free(pb_selection_state *state);

#endif
