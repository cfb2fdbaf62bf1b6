/* new_archive.h: private to jobs/: the folder of an archive, or of an edition of one, that is about to be written, by pack or
 * merge, and what an earlier run has left in it. On one rank; not collective. */
#ifndef PB_JOBS_NEW_ARCHIVE_H
#define PB_JOBS_NEW_ARCHIVE_H

#include "base/status.h"
#include "io/state.h"

#include <stdbool.h>

/* Whether `folder` can become an archive: PB_E_INPUT when it is one; an archive that is there is never touched. */
PB_CHECKED pb_status pb_new_archive_check(const char *folder);

/* Checks once more and makes the folder when it is not there (*created). */
PB_CHECKED pb_status pb_new_archive_create(const char *folder, bool *created);

/* Removes all shards from the folder: those of other work, beyond the new number of shards, would stay for ever beside the new
 * ones. state: of this run, which must still own it; NULL: the job has none. */
PB_CHECKED pb_status pb_new_archive_clear(const char *folder, const pb_state *state);

/* Goes on from the shards in the folder, if the state says that they are of this `work`: one text that says from what they are
 * made and how. Else removes them, and notes it. */
PB_CHECKED pb_status pb_new_archive_resume(const char *folder, const pb_state *state, const char *work);

/* The run ends without being done: says what the next one can go on from; where that is nothing, the note goes too. */
void pb_new_archive_settle(const char *folder, const pb_state *state);

#endif
