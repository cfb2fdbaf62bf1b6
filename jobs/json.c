/* json.c: JSON answers. 17 digits are enough for a double to be read back as the same bits (IEEE 754); a file is complete or not
 * there (io/file.h). */
#include "jobs/json.h"

#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pb_json_only(const char *path) { return path && strcmp(path, "-") == 0; }

pb_status pb_json_write(const json_t *answer, const char *path) {
    char *text = json_dumps(answer, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!text)
        return pb_fail(PB_E_SYSTEM, "out of memory for the figures as JSON");
    pb_status status = pb_ok();
    if (pb_json_only(path))
        puts(text);
    else
        status = pb_file_write(path, text, strlen(text));
    free(text);
    return status;
}
