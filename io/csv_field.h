/* csv_field.h, private to io/: a field of a CSV file as RFC 4180 has it. Not collective, thread safe. */
#ifndef PB_IO_CSV_FIELD_H
#define PB_IO_CSV_FIELD_H

#include <stdio.h>

/* Writes the field: quoted where it must be, quotes doubled. text: any bytes up to the closing 0, "" for an empty field; csv:
 * open for writing, borrowed. What cannot be written is left to ferror(). */
void pb_csv_put_field(FILE *csv, const char *text);

#endif
