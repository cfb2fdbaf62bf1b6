#include "io/archive_private.h"

#include "base/memory.h"
#include "io/file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MANIFEST_FILE[] = "manifest.json", MANIFEST_FORMAT[] = "patchbank-archive";
enum { MANIFEST_VERSION = 1, MANIFEST_BYTES_MAX = 1 << 28 };

void pb_shard_file(size_t shard, char file[32]) {
    int written = snprintf(file, 32, "shard-%05zu.h5", shard);
    PB_ASSERT(written > 0 && written < 32);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* A text as JSON. JSON is UTF-8 and file names need not be; the source is for people, so a byte that cannot be shown becomes a
 * question mark instead of the end of a long job. */
static json_t *text_to_json(const char *text) {
    json_t *value = json_string(text);
    if (value)
        return value;
    char *plain = strdup(text);
    for (char *c = plain; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = plain ? json_string(plain) : NULL;
    free(plain);
    return value;
}

static json_t *summary_to_json(const pb_shard_summary *summary) {
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "file", summary->file, "images", (json_int_t)summary->images, "bytes",
                     (json_int_t)summary->bytes, "train", (json_int_t)summary->train, "defective",
                     (json_int_t)summary->defective, "sha256", summary->sha256);
}

/* NULL when memory is out; json functions pass NULL on and release what they were given. */
static json_t *manifest_to_json(const char *source, size_t shard_images, const pb_shard_summary *summaries, size_t count) {
    json_t *shards = json_array();
    uint64_t images = 0;
    for (size_t i = 0; i < count; i++) {
        images += summaries[i].images;
        if (json_array_append_new(shards, summary_to_json(&summaries[i])) != 0) {
            json_decref(shards);
            return NULL;
        }
    }
    return json_pack("{s:s, s:i, s:o, s:I, s:I, s:o}", "format", MANIFEST_FORMAT, "version", MANIFEST_VERSION, "source",
                     text_to_json(source), "shard_images", (json_int_t)shard_images, "images", (json_int_t)images, "shards",
                     shards);
}

pb_status pb_manifest_write(const char *folder, const char *source, size_t shard_images, const pb_shard_summary *summaries,
                            size_t count) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, MANIFEST_FILE, path));
    json_t *root = manifest_to_json(source, shard_images, summaries, count);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    pb_status status = text ? pb_file_write(path, text, strlen(text)) : pb_fail(PB_E_SYSTEM, "%s: out of memory", path);
    free(text);
    json_decref(root);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Everything that is read is checked here, so that no later code need ask. "!" forbids unknown keys: a manifest that says more
 * than version 1 may say is not of version 1. */
static pb_status parse_summary(const char *path, json_t *entry, size_t shard, size_t shard_images, pb_shard_summary *summary) {
    json_error_t trouble;
    const char *file, *sha256;
    json_int_t images, bytes, train, defective;
    if (json_unpack_ex(entry, &trouble, 0, "{s:s, s:I, s:I, s:I, s:I, s:s !}", "file", &file, "images", &images, "bytes", &bytes,
                       "train", &train, "defective", &defective, "sha256", &sha256) != 0)
        return pb_fail(PB_E_INPUT, "%s: shard %zu: %s", path, shard, trouble.text);
    pb_shard_file(shard, summary->file);
    if (strcmp(file, summary->file) != 0) /* so it has no slash either, and no file counts twice */
        return pb_fail(PB_E_INPUT, "%s: shard %zu is in file \"%.60s\", expected \"%s\"", path, shard, file, summary->file);
    if (images < 0 || images > (json_int_t)shard_images || train < 0 || train > images || defective < 0 || defective > images ||
        bytes < 0)
        return pb_fail(PB_E_INPUT, "%s: shard %zu: impossible counts", path, shard);
    if (strlen(sha256) != PB_SHA256_TEXT - 1 || strspn(sha256, "0123456789abcdef") != PB_SHA256_TEXT - 1)
        return pb_fail(PB_E_INPUT, "%s: shard %zu: \"%.80s\" is not a SHA-256", path, shard, sha256);
    summary->images = (uint64_t)images;
    summary->bytes = (uint64_t)bytes;
    summary->train = (uint64_t)train;
    summary->defective = (uint64_t)defective;
    memcpy(summary->sha256, sha256, PB_SHA256_TEXT);
    return pb_ok();
}

static pb_status parse_shards(const char *path, json_t *shards, size_t shard_images, pb_manifest *manifest) {
    if (!json_is_array(shards))
        return pb_fail(PB_E_INPUT, "%s: shards is not a list", path);
    manifest->shards = json_array_size(shards);
    PB_TRY(pb_allocate(&manifest->summaries, manifest->shards, sizeof *manifest->summaries, path));
    for (size_t i = 0; i < manifest->shards; i++) {
        PB_TRY(parse_summary(path, json_array_get(shards, i), i, shard_images, &manifest->summaries[i]));
        manifest->images += manifest->summaries[i].images;
    }
    return pb_ok();
}

static pb_status check_version(const char *path, json_t *root) {
    const char *format = json_string_value(json_object_get(root, "format"));
    json_t *version = json_object_get(root, "version");
    if (!format || strcmp(format, MANIFEST_FORMAT) != 0)
        return pb_fail(PB_E_INPUT, "%s: not the manifest of a patchbank archive: format is not \"%s\"", path, MANIFEST_FORMAT);
    if (!json_is_integer(version) || json_integer_value(version) < 1)
        return pb_fail(PB_E_INPUT, "%s: version is not a number from 1", path);
    if (json_integer_value(version) > MANIFEST_VERSION)
        return pb_fail(PB_E_INPUT, "%s: version %lld of %s is newer than this build reads (%d): use a newer patchbank", path,
                       (long long)json_integer_value(version), MANIFEST_FORMAT, MANIFEST_VERSION);
    return pb_ok();
}

static pb_status parse_root(const char *path, json_t *root, pb_manifest *manifest) {
    json_error_t trouble;
    const char *format, *source;
    int version;
    json_int_t shard_images, images;
    json_t *shards;
    PB_TRY(check_version(path, root));
    if (json_unpack_ex(root, &trouble, 0, "{s:s, s:i, s:s, s:I, s:I, s:o !}", "format", &format, "version", &version, "source",
                       &source, "shard_images", &shard_images, "images", &images, "shards", &shards) != 0)
        return pb_fail(PB_E_INPUT, "%s: %s", path, trouble.text);
    if (shard_images < 1 || shard_images > PB_SHARD_IMAGES_MAX)
        return pb_fail(PB_E_INPUT, "%s: shard_images is %lld, expected 1 to %d", path, (long long)shard_images,
                       PB_SHARD_IMAGES_MAX);
    PB_TRY(parse_shards(path, shards, (size_t)shard_images, manifest));
    if (images < 0 || manifest->images != (uint64_t)images)
        return pb_fail(PB_E_INPUT, "%s: says %lld images in all, its shards have %ju", path, (long long)images,
                       (uintmax_t)manifest->images);
    return pb_ok();
}

static pb_status parse_text(const char *path, const char *text, size_t size, pb_manifest *manifest) {
    json_error_t trouble;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &trouble);
    if (!root)
        return pb_fail(PB_E_INPUT, "%s: not JSON: line %d: %s", path, trouble.line, trouble.text);
    pb_status status = parse_root(path, root, manifest);
    json_decref(root);
    return status;
}

pb_status pb_manifest_read(const char *folder, pb_manifest *manifest_out) {
    char path[PB_PATH_MAX];
    char *text;
    size_t size;
    *manifest_out = (pb_manifest){0};
    PB_TRY(pb_path_join(folder, MANIFEST_FILE, path));
    PB_TRY(pb_file_read(path, MANIFEST_BYTES_MAX, &text, &size));
    pb_status status = parse_text(path, text, size, manifest_out);
    pb_sha256(text, size, manifest_out->sha256);
    pb_release(&text);
    if (pb_failed(&status))
        pb_manifest_free(manifest_out);
    return status;
}

void pb_manifest_free(pb_manifest *manifest) {
    pb_release(&manifest->summaries);
    *manifest = (pb_manifest){0};
}
