/* rejects.h: private to jobs/: bad items of a long job. They are counted, and only more than --max-bad of them, over all ranks,
 * are an error. Within such a budget each is logged with its reason; without one (--max-bad 0) the first is the error itself, and
 * nothing is logged. */
#ifndef PB_JOBS_REJECTS_H
#define PB_JOBS_REJECTS_H

#include "base/status.h"
#include "mpi/comm.h"

#include <stddef.h>
#include <stdint.h>

/* Plain data, made by pb_rejects_begin; only read it. */
typedef struct pb_rejects {
    uint64_t most;   /* the budget of the whole job */
    uint64_t count;  /* of this rank so far */
    pb_status first; /* why the first of this rank was bad */
} pb_rejects;

/* Begins with the budget `most`. */
pb_rejects pb_rejects_begin(uint64_t most);

/* Counts one, and logs it where the budget is not 0. `why` names the item. Not collective. */
void pb_rejects_add(pb_rejects *rejects, const pb_status *why);

/* PB_E_INPUT when this rank alone is over the budget, so that a hopeless job stops early. Not collective. */
PB_CHECKED pb_status pb_rejects_check(const pb_rejects *rejects);

/* Collective. The same over all ranks together; agreed. */
PB_CHECKED pb_status pb_rejects_agree(pb_comm *comm, const pb_rejects *rejects);

#endif
