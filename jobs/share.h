/* share.h: private to jobs/: one rank reads, all ranks have it. A thousand ranks do not open one file a thousand times, and
 * cannot see different ones. */
#ifndef PB_JOBS_SHARE_H
#define PB_JOBS_SHARE_H

#include "base/status.h"
#include "io/archive.h"
#include "mpi/comm.h"

#include <stddef.h>

/* Collective. Rank 0 has `*size` bytes in *bytes (or failed with `read`); afterwards every rank has its own copy, owned by the
 * caller (pb_release), or, agreed, none. Elsewhere *bytes and *size are only written. */
PB_CHECKED pb_status pb_share_bytes(pb_comm *comm, pb_status read, void *bytes_inout, size_t *size);

/* Collective. The bytes of file `path`, of at most `most` bytes, on every rank, followed by one 0 byte. Errors, agreed:
 * pb_file_read's. */
PB_CHECKED pb_status pb_read_for_all(pb_comm *comm, const char *path, size_t most, void *bytes_out, size_t *size_out);

/* Collective. The list of the CSV file `file`, or, when that is NULL, of the folder `mvtec`, on every rank. Out: *list_out, owned
 * by the caller, empty after a failure. Errors, agreed: those of reading it, pb_list_mvtec's, pb_list_parse's. */
PB_CHECKED pb_status pb_list_for_all(pb_comm *comm, const char *file, const char *mvtec, pb_list *list_out);

/* Collective. Opens the newest edition of an archive, or with `sha256` (NULL: not; the same on every rank) the one with that
 * manifest: the same edition on every rank, also when another is added meanwhile. shards: whether all files must be there
 * (io/archive.h). Every rank opens the archive by itself, and reads what it needs of it. Out: *archive_out, owned by the caller
 * (pb_archive_close), NULL after a failure. Errors, agreed: pb_archive_open_edition's. */
PB_CHECKED pb_status pb_archive_open_for_all(pb_comm *comm, const char *folder, const char *sha256, pb_shards shards,
                                             pb_archive **archive_out);

#endif
