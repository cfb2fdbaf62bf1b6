/* new_archive.h: private to jobs/: the folder of an archive, or of an edition of one, that is about to be written, by pack or
 * merge, and what an earlier run has left in it. On one rank; not collective. */
#ifndef PB_JOBS_NEW_ARCHIVE_H
#define PB_JOBS_NEW_ARCHIVE_H

#include "base/status.h"
#include "io/state.h"

#include <stdbool.h>

/* Whether `folder` can become an archive: PB_E_INPUT when it is one (it has a manifest.json); an archive that is there is never
 * touched. A folder that is not there is fine. */
PB_CHECKED pb_status pb_new_archive_check(const char *folder);

/* Whether an archive's own folder has the state of a pack, and nothing else in it: where the archive is there, the state is of
 * nothing any more, whatever it was packed from. */
bool pb_new_archive_has_state(const char *folder);

/* Checks once more and makes the folder when it is not there (*created). Errors: PB_E_INPUT; those of pb_folder_create. */
PB_CHECKED pb_status pb_new_archive_create(const char *folder, bool *created);

/* Removes all shards from the folder, by their names: those of other work, beyond the new number of shards, would stay for ever
 * beside the new ones. state: of this run, which must still own it; NULL: the job has none. Errors: PB_E_NO when a newer run has
 * taken over; PB_E_SYSTEM, PB_E_INPUT when one cannot be removed. */
PB_CHECKED pb_status pb_new_archive_clear(const char *folder, const pb_state *state);

/* Goes on from the shards in the folder, if the state says that they are of this `work`: one text that says from what they are
 * made and how, below 64 KiB. Else removes them, and notes it. Errors: those of pb_new_archive_clear and pb_file_write. */
PB_CHECKED pb_status pb_new_archive_resume(const char *folder, const pb_state *state, const char *work);

/* The run ends without being done: says what the next one can go on from; where that is nothing, the note goes too. */
void pb_new_archive_settle(const char *folder, const pb_state *state);

#endif
