/* rejects.h: private to jobs/: bad items of a long job. They are counted and, for rejected.csv, kept; only more than --max-bad of
 * them, over all ranks, are an error. Within such a budget each is logged with its reason; without one (--max-bad 0) the first is
 * the error itself, and nothing is logged (docs/ARCHITECTURE.md, invariant 7).
 *
 * Memory is bounded by the budget: what is over it is counted but not kept, since the job ends. */
#ifndef PB_JOBS_REJECTS_H
#define PB_JOBS_REJECTS_H

#include "base/status.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* Begun by pb_rejects_begin, released by pb_rejects_free. */
typedef struct pb_rejects {
    uint64_t most;     /* the budget of the whole job */
    uint64_t count;    /* of this rank so far */
    pb_status first;   /* why the first of this rank was bad */
    char *kept;        /* [kept_size] all of this rank's within the budget: index (8 bytes), path and reason (each with its 0) */
    size_t kept_size, kept_room; /* bytes that are used, and that there is room for */
    pb_status trouble; /* why one could not be kept */
} pb_rejects;

/* Begins with the budget `most`. */
pb_rejects pb_rejects_begin(uint64_t most);
void pb_rejects_free(pb_rejects *rejects);

/* Counts and keeps one, and logs it where the budget is not 0. index: its place in the list or archive, path: as the list has it;
 * `why` names the item. Not collective. */
void pb_rejects_add(pb_rejects *rejects, uint64_t index, const char *path, const pb_status *why);

/* PB_E_INPUT when this rank alone is over the budget, so that a hopeless job stops early; PB_E_SYSTEM when one could not be kept.
 * Not collective. */
PB_CHECKED pb_status pb_rejects_check(const pb_rejects *rejects);

/* Collective. The same over all ranks together; agreed. */
PB_CHECKED pb_status pb_rejects_agree(pb_comm *comm, const pb_rejects *rejects);

/* Collective. After pb_rejects_agree: rank 0 writes those of all ranks to `file` (io/rejected_file.h) in the order of their
 * indices; when there are none, it removes an older file. Errors, agreed. */
PB_CHECKED pb_status pb_rejects_write(pb_comm *comm, const pb_rejects *rejects, const char *file);

#endif
