/* json.h: private to jobs/: figures for machines. */
#ifndef PB_JOBS_JSON_H
#define PB_JOBS_JSON_H

#include "base/status.h"
#include "io/json_text.h"

#include <jansson.h>

/* Whether --json is "-" (NULL: not given): standard output is then JSON and nothing else. Not collective. */
bool pb_json_only(const char *path);

/* Writes `answer`, indented, numbers exactly, to the file `path`, or to standard output when that is "-". Not collective. Errors:
 * those of pb_file_write; PB_E_SYSTEM. */
PB_CHECKED pb_status pb_json_write(const json_t *answer, const char *path);

#endif
