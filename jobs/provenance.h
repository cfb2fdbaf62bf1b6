/* provenance.h: private to jobs/: what every output says of its making: named texts (io/attributes.h), from which the output can
 * be made again and by which it is recognised. Never what depends on time, host or ranks (docs/ARCHITECTURE.md, invariant 3). Not
 * collective. */
#ifndef PB_JOBS_PROVENANCE_H
#define PB_JOBS_PROVENANCE_H

#include "io/attributes.h"
#include "jobs/job.h"

/* Adds name, version and commit of the program, and "option.NAME" for every recorded option of the job, given or default, in the
 * order of options.def. Names that are there already get the new value. Nothing that depends on the machine, the time or the
 * number of ranks. Not collective. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_provenance(const pb_job *job, pb_attributes *attributes);

/* Adds a number, exactly: all digits of an integer, 17 of a double, which are its bits again when they are read. Errors:
 * PB_E_SYSTEM. */
PB_CHECKED pb_status pb_attributes_set_u64(pb_attributes *attributes, const char *name, uint64_t value);
PB_CHECKED pb_status pb_attributes_set_real(pb_attributes *attributes, const char *name, double value);

/* Reads a number back. Errors: PB_E_INPUT naming file and attribute when it is missing, no number, or outside [least, most]. */
PB_CHECKED pb_status pb_attributes_get_u64(const pb_attributes *attributes, const char *file, const char *name, uint64_t least,
                                           uint64_t most, uint64_t *value);

/* As pb_attributes_get, a missing one being PB_E_INPUT. */
PB_CHECKED pb_status pb_attributes_need(const pb_attributes *attributes, const char *file, const char *name, const char **value);

#endif
