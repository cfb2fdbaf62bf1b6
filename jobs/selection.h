/* selection.h: private to jobs/: which images of an archive a job works on, and which of them are this rank's.
 *
 * Three numbers of an image: its index in the archive; its position among the images selected, over all ranks; its place in this
 * rank's list. Ranks have consecutive positions in the order of the ranks, so what they gather is in the order of the archive. */
#ifndef PB_JOBS_SELECTION_H
#define PB_JOBS_SELECTION_H

#include "base/status.h"
#include "io/archive.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* Training images, all others, or both. */
typedef enum pb_which { PB_WHICH_TRAIN, PB_WHICH_TEST, PB_WHICH_ALL } pb_which;

/* "train", "test" or "all"; nothing else (the parser of options has seen to it). Not collective. */
pb_which pb_which_of(const char *name);

/* A rank's images. Zeroed it is empty. */
typedef struct pb_selection {
    uint64_t total;  /* images selected, over all ranks */
    uint64_t first;  /* position of this rank's first among them */
    size_t count;    /* this rank's */
    uint64_t *index; /* [count] their indices in the archive, increasing; owned */
} pb_selection;

/* Not collective. Finds the images of the split and this rank's range of them: an even one (mpi/partition.h), or, with parts > 0,
 * the images of the parts that an even partition of `parts` parts gives it, part i of them being pb_partition(total, parts, i).
 * Reads the manifest and the columns of only those shards in which the range lies. A rank may have none. Errors: PB_E_INPUT when
 * the archive has no such image, or a shard is damaged; the selection is empty then. */
PB_CHECKED pb_status pb_selection_make(pb_archive *archive, pb_which which, int parts, int ranks, int rank,
                                       pb_selection *selection);
/* Not collective. Makes a selection, which has been made with parts 0, anew without the images of the archive's first `shards`
 * shards, which every rank must say alike: the ranks share what is left evenly, in the same order; that may be nothing. Errors:
 * as above for a damaged shard; the selection is empty then. */
PB_CHECKED pb_status pb_selection_behind(pb_archive *archive, pb_which which, size_t shards, int ranks, int rank,
                                         pb_selection *selection);
/* Leaves it empty. */
void pb_selection_free(pb_selection *selection);

#endif
