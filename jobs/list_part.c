/* list_part.c: parts of lists as text: on the command line "3/8", in a manifest "NAME (part 3/8)". A list may have such words in
 * its name, so the last ones count, and only at the very end. */
#include "jobs/list_part.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many jobs as no array has; below what an int holds. */
enum { PARTS_MAX = 1000000 };

static const char BEFORE[] = " (part ", AFTER[] = ")";

/* Reads I/N up to something else; the place where it ends, NULL when there is none. */
static const char *scan(const char *text, pb_list_part *part) {
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return NULL;
    long number = strtol(text, &end, 10);
    if (end[0] != '/' || end[1] < '0' || end[1] > '9')
        return NULL;
    long count = strtol(end + 1, &end, 10);
    *part = (pb_list_part){.number = (int)number, .count = (int)count};
    return number >= 1 && number <= count && count <= PARTS_MAX ? end : NULL;
}

pb_status pb_list_part_parse(const char *text, pb_list_part *part) {
    const char *end = scan(text, part);
    if (!end || *end != '\0')
        return pb_fail(PB_E_USAGE, "--part %s: expected I/N, the number of this part and of all: I from 1 to N, N at most %d",
                       text, PARTS_MAX);
    return pb_ok();
}

/* 48 bytes are enough for the words and two numbers. */
pb_status pb_list_part_name(const char *source, pb_list_part part, char **text_out) {
    size_t size = strlen(source) + 48;
    PB_TRY(pb_allocate(text_out, size, 1, "the name of a part"));
    if (part.count == 1)
        snprintf(*text_out, size, "%s", source);
    else
        snprintf(*text_out, size, "%s%s%d/%d%s", source, BEFORE, part.number, part.count, AFTER);
    return pb_ok();
}

pb_list_part pb_list_part_of(const char *text, size_t *length) {
    pb_list_part part;
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, BEFORE)); at++)
        last = at;
    const char *end = last ? scan(last + strlen(BEFORE), &part) : NULL;
    bool is_part = end && strcmp(end, AFTER) == 0;
    *length = is_part ? (size_t)(last - text) : strlen(text);
    return is_part ? part : (pb_list_part){.number = 1, .count = 1};
}
