/* json.h: private to jobs/: figures for machines: the answer of a job as one JSON text, on standard output or in a file. */
#ifndef PB_JOBS_JSON_H
#define PB_JOBS_JSON_H

#include "base/status.h"
#include "io/json_text.h"

#include <jansson.h>

/* Whether --json is "-" (NULL: not given): standard output is then JSON and nothing else. Not collective. */
bool pb_json_only(const char *path);

/* Writes `answer`, indented, numbers exactly (17 digits), to the file `path`, or to standard output when that is "-". The file is
 * complete or not there. answer: borrowed; NULL is taken as what it is, memory that was out. Not collective. Errors: those of
 * pb_file_write; PB_E_SYSTEM. */
PB_CHECKED pb_status pb_json_write(const json_t *answer, const char *path);

#endif
