/* list_part.h: private to jobs/: a part of a list that several jobs pack. Its archive's manifest names it ("all.csv (part 3/8)"),
 * so that a merge knows which parts there must be (docs/decisions/0030). Not collective. */
#ifndef PB_JOBS_LIST_PART_H
#define PB_JOBS_LIST_PART_H

#include "base/status.h"

#include <stddef.h>

/* Part `number` of `count`, from 1; 1 of 1 is the whole list. */
typedef struct pb_list_part {
    int number, count; /* 1 <= number <= count */
} pb_list_part;

/* Reads "3/8". Errors: PB_E_USAGE for anything else, a number that is 0 or above the count, or a count above 1,000,000. */
PB_CHECKED pb_status pb_list_part_parse(const char *text, pb_list_part *part);

/* What the manifest says of a part of the list `source`; of the whole list its name alone. Out: *text_out, owned by the caller
 * (pb_release). Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_list_part_name(const char *source, pb_list_part part, char **text_out);

/* The reverse: the part, 1 of 1 when it says none; *length: bytes of `text` that name the list. text: the source of an edition
 * (io/archive.h); anything is fine. */
pb_list_part pb_list_part_of(const char *text, size_t *length);

#endif
