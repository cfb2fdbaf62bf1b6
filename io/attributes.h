/* attributes.h: the facts that every output file carries: what made it, from what, with which options. Name and text pairs, in
 * order, written as HDF5 string attributes of the root group and shown by `patchbank info`. Not collective. */
#ifndef PB_IO_ATTRIBUTES_H
#define PB_IO_ATTRIBUTES_H

#include "base/status.h"

#include <stddef.h>

/* Zeroed it is empty. Names are unique. Owned by the caller, released by pb_attributes_free. */
typedef struct pb_attributes {
    size_t count;
    char (*names)[64]; /* [count], with the closing 0 */
    char **values;     /* [count], of any length */
} pb_attributes;

/* Adds a pair, or replaces the value of an existing name, which keeps its place; copies both. name: 1 to 63 bytes (asserted).
 * Errors: PB_E_SYSTEM; the attributes are then as before. */
PB_CHECKED pb_status pb_attributes_set(pb_attributes *attributes, const char *name, const char *value);
/* Adds all pairs of `from`, as pb_attributes_set. Errors: PB_E_SYSTEM; some may be added. */
PB_CHECKED pb_status pb_attributes_add(pb_attributes *attributes, const pb_attributes *from);
/* The value of a name, NULL when there is none; belongs to the attributes, until it is set anew or they are freed. */
const char *pb_attributes_get(const pb_attributes *attributes, const char *name);
/* Frees and empties them; an empty one is fine. */
void pb_attributes_free(pb_attributes *attributes);

#endif
