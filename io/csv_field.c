/* csv_field.c: RFC 4180, section 2: a field with a comma, a quote or a line break stands in quotes, and quotes in it are
 * doubled. */
#include "io/csv_field.h"

#include <string.h>

void pb_csv_put_field(FILE *csv, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, csv);
        return;
    }
    fputc('"', csv);
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            fputc('"', csv);
        fputc(*c, csv);
    }
    fputc('"', csv);
}
