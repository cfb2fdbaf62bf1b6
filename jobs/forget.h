/* forget.h: private to jobs/: the images that --forget names: a text file, a path as in the list of images on each line. A path
 * is compared byte by byte with those that archives and banks have; one that nobody has is no error here. */
#ifndef PB_JOBS_FORGET_H
#define PB_JOBS_FORGET_H

#include "io/archive.h"
#include "io/hash.h"
#include "jobs/selection.h"
#include "mpi/comm.h"

/* Zeroed it is empty. */
typedef struct pb_forget {
    size_t count;
    char **paths; /* [count] in byte order, each once; into text */
    char *text;   /* the file, cut into lines by zeros; owned */
    char sha256[PB_SHA256_TEXT]; /* of the file; "": there is none */
} pb_forget;

/* Collective. Rank 0 reads `file`, all have it; NULL: an empty list. Lines end in LF or CR LF; empty ones and a
 * byte order mark are passed over. Errors, agreed, the list being empty then: pb_file_read's; PB_E_INPUT when no line has a path.
 */
PB_CHECKED pb_status pb_forget_read(pb_comm *comm, const char *file, pb_forget *list_out);
void pb_forget_free(pb_forget *list);

/* Whether the list has `path`. */
bool pb_forget_has(const pb_forget *list, const char *path);

/* Takes the listed images out of this rank's part of a selection, whose total stays; *taken counts them. Not collective. Errors:
 * pb_archive_record's. */
PB_CHECKED pb_status pb_forget_select(const pb_forget *list, pb_archive *archive, pb_selection *selection, uint64_t *taken);

#endif
