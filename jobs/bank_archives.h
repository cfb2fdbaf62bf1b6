/* bank_archives.h: private to jobs/: which of the archives that a bank was made from are editions of the archive at hand. An
 * archive that grows changes its SHA-256 with each edition, but no index of an image. */
#ifndef PB_JOBS_BANK_ARCHIVES_H
#define PB_JOBS_BANK_ARCHIVES_H

#include "io/archive.h"
#include "io/bank_file.h"
#include "mpi/comm.h"

/* How many of the bank's archives are editions of this one, up to the opened edition. *newest: the last of these, from 0; -1:
 * there are none. attributes: the bank's; its archives are those that archive_sha256 lists (docs/FORMATS.md). Not collective. */
size_t pb_bank_editions(const pb_attributes *attributes, const pb_archive *archive, int64_t *newest);

/* Whether rows from the bank's archive `number`, from 0, are from an edition of this one. Not collective. */
bool pb_bank_is_of(const pb_attributes *attributes, const pb_archive *archive, uint32_t number);

/* Collective. The SHA-256 of the newest edition of the archive `folder` that the bank was made from. file: the bank's, for
 * messages. Errors, agreed: pb_archive_open_edition's; PB_E_INPUT when there is none. */
PB_CHECKED pb_status pb_bank_newest_edition(pb_comm *comm, const char *folder, const pb_attributes *attributes, const char *file,
                                            char sha256[PB_SHA256_TEXT]);

#endif
