/* pack_append.h: private to jobs/: an archive that grows by an edition: what pack --append has beside pack. */
#ifndef PB_JOBS_PACK_APPEND_H
#define PB_JOBS_PACK_APPEND_H

#include "io/archive.h"
#include "jobs/job.h"

/* An edition in the making. Zero it; pb_growth_end makes it that again. */
typedef struct pb_growth {
    pb_archive *base;         /* the archive as it was found */
    pb_lock lock;             /* on rank 0 */
    char folder[PB_PATH_MAX]; /* the new edition's, on every rank; "": there is none, or it is published */
} pb_growth;

/* Collective. Locks the archive, opens it, looks up which of the list's paths it has already and makes the new edition's folder.
 * Known paths are refused, or with --skip-known left out of the list; when nothing is left of it, there is no folder either.
 * Errors, agreed: PB_E_SYSTEM when another job holds the lock for longer than --wait; PB_E_INPUT. pb_growth_end follows in any
 * case. */
PB_CHECKED pb_status pb_growth_begin(const pb_job *job, pb_list *list, pb_growth *growth);

/* On rank 0: publishes the edition. Errors: pb_edition_publish's. */
PB_CHECKED pb_status pb_growth_publish(const pb_job *job, pb_growth *growth, const char *source, pb_shard_summary *summaries,
                                       size_t count);

/* On every rank, after all have met: removes what was not published and gives the lock back. */
void pb_growth_end(const pb_job *job, pb_growth *growth);

#endif
