/* json.h: private to jobs/: figures for machines. */
#ifndef PB_JOBS_JSON_H
#define PB_JOBS_JSON_H

#include "base/status.h"

#include <jansson.h>

/* Whether --json is "-" (NULL: not given): standard output is then JSON and nothing else. Not collective. */
bool pb_json_only(const char *path);

/* A text as JSON, a new reference. JSON is UTF-8 and file names need not be: where one is not, every byte beyond ASCII becomes a
 * question mark. Not collective. NULL when memory is out, as jansson's functions have it. */
json_t *pb_json_text(const char *text);

/* Writes `answer`, indented, numbers exactly, to the file `path`, or to standard output when that is "-". Not collective. Errors:
 * those of pb_file_write; PB_E_SYSTEM. */
PB_CHECKED pb_status pb_json_write(const json_t *answer, const char *path);

#endif
