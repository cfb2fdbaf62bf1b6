/* state.h: the state folder of a job: what a stopped or killed run leaves for the next one, and which run may write.
 *
 *   OUTPUT.state/            of a job whose output is a file; OUTPUT/state/ of one whose output is a folder
 *     NAME.h5 ...            what is done so far, each file complete or not there, of whatever run
 *     run-JOB.RESTART-N/     of the run that works now: all its temporary files (pb_output_room), outputs and state alike
 *
 * Fencing. A run owns the job as long as its folder is there. Whoever comes later (claim) makes a folder of its own and takes the
 * earlier ones away, each by one rename; from that moment nothing that the earlier run still has in hand can get a final name,
 * because the file that it would rename is gone. There is no check that could be out of date when it is acted upon, no lock, and
 * nobody has to be judged dead. An older generation does not get that far: it is refused. (Within one generation, and for runs of
 * nobody, the later one wins.) docs/decisions/0024. Not collective: one rank claims, the others are told.
 *
 * Life: one rank claims (pb_state_claim), all ranks put their temporary files into the run's folder (pb_output_room) and save
 * into the state folder by ordinary outputs. When the job is done its output is committed first and the state removed after it
 * (pb_state_remove); when it stops or fails the state stays (pb_state_leave). A process that is killed does neither, and the next
 * claim takes its folder away.
 */
#ifndef PB_IO_STATE_H
#define PB_IO_STATE_H

#include "base/status.h"
#include "io/file.h"
#include "io/generation.h"

#include <stdint.h>

/* A claim. Plain data that may be sent to other processes of the same run. Zeroed: none. */
typedef struct pb_state {
    char folder[PB_PATH_MAX];
    char run[PB_PATH_MAX]; /* this run's folder */
} pb_state;

/* The name of the state folder of `output`, by whether a folder stands there. Errors: PB_E_INPUT when it is too long. */
PB_CHECKED pb_status pb_state_name(const char *output, char folder[PB_PATH_MAX]);

/* Makes this run the owner of the state of `output`; a folder output must be there already. generation: 0.0 takes the latest that
 * is there. Errors: PB_E_NO when a run of a newer generation is there, or began at the same moment; those of pb_folder_create. */
PB_CHECKED pb_status pb_state_claim(const char *output, pb_generation generation, pb_state *state_out);

/* "STATE/name" into path. Errors: PB_E_INPUT when it is too long. */
PB_CHECKED pb_status pb_state_path(const pb_state *state, const char *name, char path[PB_PATH_MAX]);

/* Files of the state that are of a range of things (images, patches) are named "PREFIX-FIRST-LAST.h5", LAST included, so that
 * those which do not concern a rank need not be opened. PREFIX has no dash. The path of one, errors PB_E_INPUT when it is too
 * long; whether the file at `path` meets first .. last, by its name. */
PB_CHECKED pb_status pb_state_range_path(const pb_state *state, const char *prefix, uint64_t first, uint64_t last,
                                         char path[PB_PATH_MAX]);
bool pb_state_range_meets(const char *path, uint64_t first, uint64_t last);

/* Called for each file of the state whose name begins with `prefix`, with its path, in no order; stops at the first failure,
 * which it returns. Errors: PB_E_INPUT, PB_E_SYSTEM when the folder cannot be listed. */
typedef pb_status (*pb_state_visitor)(void *context, const char *path);
PB_CHECKED pb_status pb_state_each(const pb_state *state, const char *prefix, pb_state_visitor visit, void *context);

/* The job is done: removes the state, unless a later run owns it by now. *state is zeroed; a zeroed one is fine. Errors:
 * PB_E_SYSTEM, PB_E_INPUT when something cannot be removed. */
PB_CHECKED pb_status pb_state_remove(pb_state *state);

/* The run ends without being done: what is saved stays, and the folder, too, unless nothing was. *state is zeroed; a zeroed one
 * is fine. */
void pb_state_leave(pb_state *state);

#endif
