/* constants.c: the constants as a JSON file: three expansions of the one list in jobs/constants.h. docs/FORMATS.md has the
 * format. */
#include "jobs/constants.h"

#include "base/memory.h"
#include "io/file.h"
#include "jobs/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char FORMAT[] = "patchbank-constants";
/* A file is some KiB; 1 MiB is far beyond any. */
enum { CONSTANTS_VERSION = 1, CONSTANTS_BYTES_MAX = 1 << 20 };

pb_status pb_constants_write(const pb_constants *constants, const char *path) {
    json_t *answer = json_pack("{s:s,s:i}", "format", FORMAT, "version", CONSTANTS_VERSION);
#define WRITE_TEXT(name) json_object_set_new(answer, #name, pb_json_text(constants->name));
#define WRITE_NUMBER(name, what) json_object_set_new(answer, #name, json_real(constants->name));
    PB_CONSTANT_TEXTS(WRITE_TEXT)
    PB_CONSTANT_NUMBERS(WRITE_NUMBER)
#undef WRITE_TEXT
#undef WRITE_NUMBER
    pb_status status = pb_json_write(answer, path);
    json_decref(answer);
    return status;
}

static pb_status read_text(const json_t *file, const char *name, char text[PB_CONSTANT_TEXT]) {
    const char *value = json_string_value(json_object_get(file, name));
    if (!value || strlen(value) >= PB_CONSTANT_TEXT)
        return pb_fail(PB_E_INPUT, "%s is missing or no text; measure again by patchbank bench constants", name);
    strcpy(text, value);
    return pb_ok();
}

/* Written so that NaN is refused, which JSON cannot have anyway; 0 is fine here, and plan.c says where it is not. */
static pb_status read_number(const json_t *file, const char *name, double *number) {
    const json_t *value = json_object_get(file, name);
    *number = json_number_value(value);
    bool within = json_is_number(value) && isfinite(*number) && *number >= 0;
    if (!within)
        return pb_fail(PB_E_INPUT, "%s is missing or no number >= 0; measure again by patchbank bench constants", name);
    return pb_ok();
}

/* Without the file's name: pb_constants_read puts it before. */
static pb_status read_all(const json_t *file, pb_constants *constants) {
    const char *format = json_string_value(json_object_get(file, "format"));
    if (!format || strcmp(format, FORMAT) != 0 || json_integer_value(json_object_get(file, "version")) != CONSTANTS_VERSION)
        return pb_fail(PB_E_INPUT, "not constants of version %d; measure by patchbank bench constants", CONSTANTS_VERSION);
#define READ_TEXT(name) PB_TRY(read_text(file, #name, constants->name));
#define READ_NUMBER(name, what) PB_TRY(read_number(file, #name, &constants->name));
    PB_CONSTANT_TEXTS(READ_TEXT)
    PB_CONSTANT_NUMBERS(READ_NUMBER)
#undef READ_TEXT
#undef READ_NUMBER
    return pb_ok();
}

/* A key twice is refused: which of the two would count? */
pb_status pb_constants_read(const char *path, pb_constants *constants) {
    char *text = NULL;
    size_t size;
    json_error_t error;
    PB_TRY(pb_file_read(path, CONSTANTS_BYTES_MAX, &text, &size));
    json_t *file = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    pb_release(&text);
    pb_status status = file ? read_all(file, constants) : pb_fail(PB_E_INPUT, "line %d: %s", error.line, error.text);
    json_decref(file);
    return pb_prefix(status, path);
}

void pb_constants_print(const pb_constants *constants) {
#define PRINT_TEXT(name) printf("%-24s %s\n", #name, constants->name);
#define PRINT_NUMBER(name, what) printf("%-24s %-14.6g %s\n", #name, constants->name, what);
    PB_CONSTANT_TEXTS(PRINT_TEXT)
    PB_CONSTANT_NUMBERS(PRINT_NUMBER)
#undef PRINT_TEXT
#undef PRINT_NUMBER
}
