/* bank_version.c: meta.json of a version: to and from JSON, and the names of versions. Unlike manifests it is read with tolerance
 * for keys that are not known, since nothing depends on its bytes; what is known must be there and possible.
 *
 * jansson's functions pass NULL on and release what they were given, so out of memory shows once, at the end.
 */
#include "io/bank_version.h"

#include "base/memory.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char VERSION_FORMAT[] = "patchbank-version";
/* The format; bytes of a meta.json, which has about 1,000; the most values of a row, as of banks. */
enum { META_VERSION = 1, META_BYTES_MAX = 1 << 16, DIM_MAX = 1 << 20 };
static const int64_t COUNT_MOST = INT64_C(1) << 53; /* what JSON readers keep exactly */

/* --- names -------------------------------------------------------------------------------------- */

/* Six digits at least, so that names sort by number up to a million; more only where they are needed, so that no two names have
 * one number. 0 and whatever is no name give 0. */
uint64_t pb_version_number(const char *name) {
    size_t length = strlen(name);
    bool fits = length >= 6 && length < PB_VERSION_NAME && strspn(name, "0123456789") == length && (length == 6 || *name != '0');
    return fits ? strtoull(name, NULL, 10) : 0;
}

void pb_version_name(uint64_t number, char name[PB_VERSION_NAME]) {
    int written = snprintf(name, PB_VERSION_NAME, "%06" PRIu64, number);
    PB_ASSERT(written > 0 && written < PB_VERSION_NAME);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* "" and NaN are how the struct says that there is none; JSON has null. */
static json_t *text_or_null(const char *text) { return *text ? json_string(text) : json_null(); }

static json_t *real_or_null(double value) { return isnan(value) ? json_null() : json_real(value); }

/* null for a version without a gate. */
static json_t *gate_to_json(const pb_gate_record *gate) {
    if (!*gate->kind)
        return json_null();
    return json_pack("{s:s, s:f, s:o, s:f, s:f, s:o, s:I, s:s}", "kind", gate->kind, "figure", gate->figure, "current_figure",
                     real_or_null(gate->current_figure), "margin", gate->margin, "floor", gate->floor, "threshold",
                     real_or_null(gate->threshold), "images", (json_int_t)gate->images, "archive_sha256", gate->archive_sha256);
}

/* Keys in the order in which people should read them: what it is, where it comes from, what let it in, who published it. */
pb_status pb_bank_version_to_json(const pb_bank_version *v, json_t **json_out) {
    char generation[PB_GENERATION_TEXT];
    pb_generation_text(v->generation, generation);
    *json_out = json_pack("{s:s, s:i, s:s, s:o, s:o, s:s, s:s, s:I, s:i, s:o, s:s, s:o, s:s, s:s, s:s}", "format",
                          VERSION_FORMAT, "version", META_VERSION, "name", v->name, "parent", text_or_null(v->parent),
                          "restores", text_or_null(v->restores), "bank_sha256", v->bank_sha256, "archive_sha256",
                          v->archive_sha256, "rows", (json_int_t)v->rows, "dim", v->dim, "covering_radius",
                          real_or_null(v->covering_radius), "generation", generation, "gate", gate_to_json(&v->gate),
                          "program_version", v->program_version, "program_commit", v->program_commit, "published",
                          v->published);
    return *json_out ? pb_ok() : pb_fail(PB_E_SYSTEM, "version %s: out of memory", v->name);
}

/* 17 digits are every bit of a double: the figure that decided can be compared again. */
pb_status pb_bank_version_write(const char *path, const pb_bank_version *version) {
    json_t *root;
    PB_TRY(pb_bank_version_to_json(version, &root));
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    pb_status status = text ? pb_file_write(path, text, strlen(text)) : pb_fail(PB_E_SYSTEM, "%s: out of memory", path);
    free(text);
    json_decref(root);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* A text that fits, or "" for null where null may be. */
static bool take_text(json_t *value, bool null_too, char *text, size_t size) {
    const char *from = json_is_null(value) && null_too ? "" : json_string_value(value);
    if (!from || strlen(from) >= size)
        return false;
    strcpy(text, from);
    return true;
}

/* A name of a version, or null. */
static bool take_version(json_t *value, bool null_too, char name[PB_VERSION_NAME]) {
    return take_text(value, null_too, name, PB_VERSION_NAME) && (json_is_null(value) || pb_version_number(name) > 0);
}

static bool take_sha256(json_t *value, char text[PB_SHA256_TEXT]) {
    return take_text(value, false, text, PB_SHA256_TEXT) && pb_is_sha256(text);
}

/* A number, whole or not; NaN for null. */
static bool take_real(json_t *value, bool null_too, double *number) {
    *number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    return json_is_number(value) || (null_too && json_is_null(value));
}

/* A whole number from 0 to `most`. */
static bool take_count(json_t *value, int64_t most, int64_t *count) {
    *count = json_integer_value(value);
    return json_is_integer(value) && *count >= 0 && *count <= most;
}

static bool take_generation(json_t *value, pb_generation *generation) {
    if (!json_is_string(value))
        return false;
    pb_status status = pb_generation_parse(json_string_value(value), generation);
    return !pb_failed(&status);
}

/* *gate is zeroed when it comes; null leaves it so. */
static bool take_gate(json_t *json, pb_gate_record *gate) {
    int64_t images;
    if (json_is_null(json))
        return true;
    bool sound = take_text(json_object_get(json, "kind"), false, gate->kind, sizeof gate->kind) && *gate->kind &&
                 take_real(json_object_get(json, "figure"), false, &gate->figure) &&
                 take_real(json_object_get(json, "current_figure"), true, &gate->current_figure) &&
                 take_real(json_object_get(json, "margin"), false, &gate->margin) &&
                 take_real(json_object_get(json, "floor"), false, &gate->floor) &&
                 take_real(json_object_get(json, "threshold"), true, &gate->threshold) &&
                 take_count(json_object_get(json, "images"), COUNT_MOST, &images) &&
                 take_sha256(json_object_get(json, "archive_sha256"), gate->archive_sha256);
    gate->images = sound ? (uint64_t)images : 0;
    return sound;
}

/* The numbers that every version has. */
static bool take_sizes(json_t *root, pb_bank_version *v) {
    int64_t rows, dim;
    bool sound = take_count(json_object_get(root, "rows"), COUNT_MOST, &rows) &&
                 take_count(json_object_get(root, "dim"), DIM_MAX, &dim) &&
                 take_real(json_object_get(root, "covering_radius"), true, &v->covering_radius);
    v->rows = sound ? (uint64_t)rows : 0;
    v->dim = sound ? (int)dim : 0;
    return sound;
}

/* The name of the first key whose value is missing or impossible, NULL when there is none. */
static const char *first_wrong(json_t *root, pb_bank_version *v) {
#define GET(key) json_object_get(root, key)
    return !take_version(GET("name"), false, v->name)                                                  ? "name"
           : !take_version(GET("parent"), true, v->parent)                                             ? "parent"
           : !take_version(GET("restores"), true, v->restores)                                         ? "restores"
           : !take_sha256(GET("bank_sha256"), v->bank_sha256)                                          ? "bank_sha256"
           : !take_sha256(GET("archive_sha256"), v->archive_sha256)                                    ? "archive_sha256"
           : !take_sizes(root, v)                                                                      ? "rows, dim or radius"
           : !take_generation(GET("generation"), &v->generation)                                       ? "generation"
           : !take_gate(GET("gate"), &v->gate)                                                         ? "gate"
           : !take_text(GET("program_version"), false, v->program_version, sizeof v->program_version) ? "program_version"
           : !take_text(GET("program_commit"), false, v->program_commit, sizeof v->program_commit)    ? "program_commit"
           : !take_text(GET("published"), false, v->published, sizeof v->published)                   ? "published"
                                                                                                       : NULL;
#undef GET
}

/* The format first: of a newer version nothing else can be trusted. */
static pb_status parse_root(const char *path, json_t *root, pb_bank_version *version) {
    const char *format = json_string_value(json_object_get(root, "format"));
    json_t *number = json_object_get(root, "version");
    if (!format || strcmp(format, VERSION_FORMAT) != 0)
        return pb_fail(PB_E_INPUT, "%s: not of a version of a bank: format is not \"%s\"", path, VERSION_FORMAT);
    if (!json_is_integer(number) || json_integer_value(number) < 1)
        return pb_fail(PB_E_INPUT, "%s: version is not a number from 1", path);
    if (json_integer_value(number) > META_VERSION)
        return pb_fail(PB_E_INPUT, "%s: version %lld of %s is newer than this build reads (%d): use a newer patchbank", path,
                       (long long)json_integer_value(number), VERSION_FORMAT, META_VERSION);
    const char *wrong = first_wrong(root, version);
    return wrong ? pb_fail(PB_E_INPUT, "%s: %s is missing or impossible", path, wrong) : pb_ok();
}

/* Limited to 64 KiB, so that a wrong file is refused before it is parsed. */
pb_status pb_bank_version_read(const char *path, pb_bank_version *version_out) {
    char *text;
    size_t size;
    json_error_t trouble;
    *version_out = (pb_bank_version){0};
    PB_TRY(pb_file_read(path, META_BYTES_MAX, &text, &size));
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &trouble);
    pb_release(&text);
    if (!root)
        return pb_fail(PB_E_INPUT, "%s: not JSON: line %d: %s", path, trouble.line, trouble.text);
    pb_status status = parse_root(path, root, version_out);
    json_decref(root);
    return status;
}
