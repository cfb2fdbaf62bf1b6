/* json_text.h: texts that need not be UTF-8, as JSON. Not collective; thread safe. */
#ifndef PB_IO_JSON_TEXT_H
#define PB_IO_JSON_TEXT_H

struct json_t;

/* A text as JSON, a new reference. JSON is UTF-8 and file names need not be; such texts are for people, so where one is not,
 * every byte beyond ASCII becomes a question mark instead of the end of a long job. NULL when memory is out, as jansson's
 * functions have it. */
struct json_t *pb_json_text(const char *text);

#endif
