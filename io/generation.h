/* generation.h: which run of which job: what tells the runs of one piece of work apart when more than one of them is alive.
 *
 * Slurm requeues a job whose node it has lost, while the ranks there may go on computing. Who works under a generation can be
 * fenced off by a later one (io/state.h for a job's own files, io/bank_store.h for published banks). Not collective.
 */
#ifndef PB_IO_GENERATION_H
#define PB_IO_GENERATION_H

#include "base/status.h"

#include <stdint.h>

/* Bytes of a generation as text, with the closing 0. */
enum { PB_GENERATION_TEXT = 48 };

/* The number of the batch job and how often it was restarted. Later jobs have greater numbers; a job that was restarted fences
 * off its own earlier run. 0.0: nobody says. */
typedef struct pb_generation {
    int64_t job, restart;
} pb_generation;

/* "4711.2", or "4711" for "4711.0", each number from 0 to 2^53. Errors: PB_E_USAGE. */
PB_CHECKED pb_status pb_generation_parse(const char *text, pb_generation *generation);
/* "4711.2". */
void pb_generation_text(pb_generation generation, char text[PB_GENERATION_TEXT]);
/* Below, equal to or above 0 when a is older than, equal to, newer than b. */
int pb_generation_compare(pb_generation a, pb_generation b);
/* Whether it is 0.0. */
static inline bool pb_generation_is_none(pb_generation generation) { return generation.job == 0 && generation.restart == 0; }

#endif
