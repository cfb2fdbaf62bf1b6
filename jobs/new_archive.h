/* new_archive.h: private to jobs/: the folder of an archive that is about to be written, by pack or merge. Not collective. */
#ifndef PB_JOBS_NEW_ARCHIVE_H
#define PB_JOBS_NEW_ARCHIVE_H

#include "base/status.h"

#include <stdbool.h>

/* Whether `folder` can become an archive: PB_E_INPUT when it is one; an archive that is there is never touched. */
PB_CHECKED pb_status pb_new_archive_check(const char *folder);

/* Checks once more, makes the folder when it is not there (*created) and removes the shards that a job which did not end has left
 * in it: those beyond the new number of shards would stay for ever beside the new archive. */
PB_CHECKED pb_status pb_new_archive_prepare(const char *folder, bool *created);

#endif
