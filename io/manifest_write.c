/* manifest_write.c: a manifest as text. The order of keys, the indentation by one blank and the missing newline at the end are
 * part of the format (docs/FORMATS.md): an earlier manifest is made again from a later one, and must have the same SHA-256.
 * jansson keeps the order in which keys are set. */
#include "io/archive_private.h"
#include "io/json_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Counts are below 2^63, so json_int_t has them exactly. */
static json_t *summary_to_json(const pb_shard_summary *summary) {
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "file", summary->file, "images", (json_int_t)summary->images, "bytes",
                     (json_int_t)summary->bytes, "train", (json_int_t)summary->train, "defective",
                     (json_int_t)summary->defective, "sha256", summary->sha256);
}

/* NULL when memory is out, here and below; json functions pass NULL on and release what they were given. */
static json_t *summaries_to_json(const pb_shard_summary *summaries, size_t count) {
    json_t *shards = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(shards, summary_to_json(&summaries[i])) != 0) {
            json_decref(shards);
            return NULL;
        }
    return shards;
}

/* An earlier edition as later manifests list it. */
static json_t *edition_to_json(const pb_edition *edition) {
    return json_pack("{s:o, s:I, s:I, s:I, s:s}", "source", pb_json_text(edition->source), "shard_images",
                     (json_int_t)edition->shard_images, "images", (json_int_t)edition->images, "shards",
                     (json_int_t)edition->shards, "sha256", edition->sha256);
}

static json_t *editions_to_json(const pb_edition *editions, size_t count) {
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(all, edition_to_json(&editions[i])) != 0) {
            json_decref(all);
            return NULL;
        }
    return all;
}

/* An archive that never grew says no more than version 1 can, and is of version 1. */
static json_t *manifest_to_json(const pb_edition *editions, size_t edition, const pb_shard_summary *summaries) {
    const pb_edition *self = &editions[edition];
    json_t *root =
        json_pack("{s:s, s:i, s:o, s:I, s:I, s:o}", "format", PB_MANIFEST_FORMAT, "version",
                  edition == 0 ? PB_MANIFEST_VERSION_ALONE : PB_MANIFEST_VERSION, "source", pb_json_text(self->source),
                  "shard_images", (json_int_t)self->shard_images, "images", (json_int_t)self->images, "shards",
                  summaries_to_json(summaries, self->shards));
    if (root && edition > 0 && json_object_set_new(root, "earlier", editions_to_json(editions, edition)) != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}

pb_status pb_manifest_text(const pb_edition *editions, size_t edition, const pb_shard_summary *summaries, char **text_out) {
    json_t *root = manifest_to_json(editions, edition, summaries);
    *text_out = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return *text_out ? pb_ok() : pb_fail(PB_E_SYSTEM, "out of memory for a manifest of %zu shards", editions[edition].shards);
}

/* Of a new archive: one edition, whose SHA-256 is nobody's business before it is read. */
pb_status pb_manifest_write(const char *folder, const char *source, size_t shard_images, const pb_shard_summary *summaries,
                            size_t count) {
    char path[PB_PATH_MAX], *text;
    pb_edition first = {.source = (char *)(uintptr_t)source, .shard_images = shard_images, .shards = count}; /* only read */
    for (size_t i = 0; i < count; i++)
        first.images += summaries[i].images;
    PB_TRY(pb_path_join(folder, PB_MANIFEST_FILE, path));
    PB_TRY(pb_manifest_text(&first, 0, summaries, &text));
    pb_status status = pb_file_write(path, text, strlen(text));
    free(text);
    return status;
}
