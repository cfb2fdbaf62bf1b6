/* pack_append.h: private to jobs/: an archive that grows by an edition: what pack --append has beside pack.
 *
 * An append is right without the lock: of two at once the rename that publishes lets one pass and tells the other to try again
 * (docs/decisions/0030). The lock makes the second wait instead of working in vain. Order of calls: pb_growth_begin; if images
 * are left, pb_growth_run and, on rank 0, pb_growth_publish; pb_growth_end. */
#ifndef PB_JOBS_PACK_APPEND_H
#define PB_JOBS_PACK_APPEND_H

#include "io/archive.h"
#include "jobs/run_state.h"

/* An edition in the making. Zero it; pb_growth_end makes it that again. One on each rank. */
typedef struct pb_growth {
    pb_archive *base;         /* the archive as it was found */
    pb_lock lock;             /* on rank 0 */
    char folder[PB_PATH_MAX]; /* where the new edition is made, on every rank */
} pb_growth;

/* Collective. Locks the archive, opens it, and looks up which of the list's paths it has already: known ones are refused, or with
 * --skip-known left out of the list, which may then be empty. Errors, agreed: PB_E_SYSTEM when another job holds the lock for
 * longer than --wait; PB_E_INPUT when there is no archive, or images are known. pb_growth_end follows in any case. */
PB_CHECKED pb_status pb_growth_begin(const pb_job *job, pb_list *list, pb_growth *growth);

/* Collective. Begins the run of an append: its state is beside the archive's shards and named after the list, so that appends of
 * different lists do not fence each other off; the edition is made in it. Errors, agreed: pb_run_begin's; PB_E_INPUT. */
PB_CHECKED pb_status pb_growth_run(const pb_job *job, const pb_list *list, pb_growth *growth, pb_run *run);

/* On rank 0, not collective: publishes the edition of `count` summaries, whose file names become those of the edition. source:
 * how the list is named. Errors: pb_edition_publish's. */
PB_CHECKED pb_status pb_growth_publish(const pb_job *job, pb_growth *growth, const char *source, pb_shard_summary *summaries,
                                       size_t count);

/* Gives the lock back and closes the archive. Not collective. */
void pb_growth_end(pb_growth *growth);

#endif
