/* json_text.c: jansson refuses a text that is not UTF-8 and runs out of memory in the same way, so the plain copy is tried in
 * both cases. */
#include "io/json_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

json_t *pb_json_text(const char *text) {
    json_t *value = json_string(text);
    if (value)
        return value;
    char *plain = strdup(text);
    for (char *c = plain; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = plain ? json_string(plain) : NULL;
    free(plain);
    return value;
}
