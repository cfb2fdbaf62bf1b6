/* attributes.c: names and texts in the order in which they were set. A handful, or a few dozen: they are searched from the front
 * and grow one by one. */
#include "io/attributes.h"

#include "base/memory.h"

#include <string.h>

static pb_status copy_text(const char *text, char **copy_out) {
    size_t size = strlen(text) + 1;
    PB_TRY(pb_allocate(copy_out, size, 1, "an attribute"));
    memcpy(*copy_out, text, size);
    return pb_ok();
}

/* The place of a name, count when there is none. */
static size_t find(const pb_attributes *attributes, const char *name) {
    size_t i = 0;
    while (i < attributes->count && strcmp(attributes->names[i], name) != 0)
        i++;
    return i;
}

/* Room for one more name and value; count stays. If only the first grows, the next call grows it to the same size again. */
static pb_status grow(pb_attributes *attributes) {
    size_t count = attributes->count;
    PB_TRY(pb_resize(&attributes->names, count, count + 1, sizeof *attributes->names, "attribute names"));
    return pb_resize(&attributes->values, count, count + 1, sizeof *attributes->values, "attribute values");
}

/* The value is copied first, so that a failure leaves everything as it was. */
pb_status pb_attributes_set(pb_attributes *attributes, const char *name, const char *value) {
    PB_ASSERT(name[0] != '\0' && strlen(name) < sizeof *attributes->names);
    size_t at = find(attributes, name);
    char *copy;
    PB_TRY(copy_text(value, &copy));
    if (at == attributes->count) {
        pb_status status = grow(attributes);
        if (pb_failed(&status)) {
            pb_release(&copy);
            return status;
        }
        strcpy(attributes->names[at], name);
        attributes->count++;
    }
    pb_release(&attributes->values[at]);
    attributes->values[at] = copy;
    return pb_ok();
}

pb_status pb_attributes_add(pb_attributes *attributes, const pb_attributes *from) {
    for (size_t i = 0; i < from->count; i++)
        PB_TRY(pb_attributes_set(attributes, from->names[i], from->values[i]));
    return pb_ok();
}

const char *pb_attributes_get(const pb_attributes *attributes, const char *name) {
    size_t at = find(attributes, name);
    return at < attributes->count ? attributes->values[at] : NULL;
}

void pb_attributes_free(pb_attributes *attributes) {
    for (size_t i = 0; i < attributes->count; i++)
        pb_release(&attributes->values[i]);
    pb_release(&attributes->names);
    pb_release(&attributes->values);
    attributes->count = 0;
}
