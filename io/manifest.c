/* manifest.c: reading manifest.json: its text becomes a pb_manifest in which every number has been checked, and the newest
 * edition is found.
 *
 * Manifests are read strictly: a key that is missing, unknown or of another type makes it no manifest. For a manifest's bytes are
 * an identity (its SHA-256 is written into banks), and what it does not say cannot be made again from it. An edition after the
 * first has the earlier ones listed, each with the counts and hash that its own manifest had; pb_manifest_prove makes such a text
 * again and compares.
 */
#include "io/archive_private.h"

#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 256 MiB: about a million shards of 200 bytes each. */
enum { MANIFEST_BYTES_MAX = 1 << 28 };

/* --- names ------------------------------------------------------------------------------------------------------ */

/* Editions are counted from 0 here and from 1 in names. */
void pb_edition_folder(size_t edition, char name[PB_SHARD_FILE_MAX]) {
    name[0] = '\0';
    if (edition > 0)
        snprintf(name, PB_SHARD_FILE_MAX, "edition-%06zu", edition + 1);
}

void pb_shard_file(size_t edition, size_t shard, char file[PB_SHARD_FILE_MAX]) {
    char folder[PB_SHARD_FILE_MAX];
    pb_edition_folder(edition, folder);
    int written = snprintf(file, PB_SHARD_FILE_MAX, "%.24s%sshard-%05zu.h5", folder, *folder ? "/" : "", shard);
    PB_ASSERT(written > 0 && written < PB_SHARD_FILE_MAX);
}

/* editions[].shards are running totals. */
size_t pb_manifest_edition_of(const pb_manifest *manifest, size_t shard) {
    size_t edition = 0;
    while (edition + 1 < manifest->edition_count && manifest->editions[edition].shards <= shard)
        edition++;
    return edition;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Everything that is read is checked here, so that no later code need ask. "!" forbids unknown keys: a manifest that says more
 * than its version may say is not of that version. */
static pb_status parse_summary(const char *path, json_t *entry, size_t edition, size_t shard, size_t shard_images,
                               pb_shard_summary *summary) {
    json_error_t trouble;
    const char *file, *sha256;
    json_int_t images, bytes, train, defective;
    if (json_unpack_ex(entry, &trouble, 0, "{s:s, s:I, s:I, s:I, s:I, s:s !}", "file", &file, "images", &images, "bytes", &bytes,
                       "train", &train, "defective", &defective, "sha256", &sha256) != 0)
        return pb_fail(PB_E_INPUT, "%s: shard %zu: %s", path, shard, trouble.text);
    pb_shard_file(edition, shard, summary->file);
    if (strcmp(file, summary->file) != 0) /* so it leads nowhere else, and no file counts twice */
        return pb_fail(PB_E_INPUT, "%s: shard %zu is in file \"%.60s\", expected \"%s\"", path, shard, file, summary->file);
    if (images < 0 || images > (json_int_t)shard_images || train < 0 || train > images || defective < 0 || defective > images ||
        bytes < 0)
        return pb_fail(PB_E_INPUT, "%s: shard %zu: impossible counts", path, shard);
    if (!pb_is_sha256(sha256))
        return pb_fail(PB_E_INPUT, "%s: shard %zu: \"%.80s\" is not a SHA-256", path, shard, sha256);
    summary->images = (uint64_t)images;
    summary->bytes = (uint64_t)bytes;
    summary->train = (uint64_t)train;
    summary->defective = (uint64_t)defective;
    memcpy(summary->sha256, sha256, PB_SHA256_TEXT);
    return pb_ok();
}

/* The summaries of all editions' shards, each checked by the rules of the edition that it came with. The images that an edition
 * says it has must be the sum of its and all earlier shards, and so none where there is no shard: an archive may be empty at
 * first. Its shards rise strictly from edition to edition up to the length of the list, so that all of them are met. */
static pb_status parse_shards(const char *path, json_t *shards, pb_manifest *manifest) {
    size_t shard = 0;
    PB_TRY(pb_allocate(&manifest->summaries, manifest->shards, sizeof *manifest->summaries, path));
    for (size_t edition = 0; edition < manifest->edition_count; edition++) {
        const pb_edition *self = &manifest->editions[edition];
        for (; shard < self->shards; shard++) {
            pb_shard_summary *summary = &manifest->summaries[shard];
            PB_TRY(parse_summary(path, json_array_get(shards, shard), edition, shard, self->shard_images, summary));
            manifest->images += summary->images;
        }
        if (self->images != manifest->images)
            return pb_fail(PB_E_INPUT, "%s: says %ju images in all, its shards have %ju", path, (uintmax_t)self->images,
                           (uintmax_t)manifest->images);
    }
    return pb_ok();
}

/* Before anything else: of a newer version nothing but this can be understood. */
static pb_status check_version(const char *path, json_t *root) {
    const char *format = json_string_value(json_object_get(root, "format"));
    json_t *version = json_object_get(root, "version");
    if (!format || strcmp(format, PB_MANIFEST_FORMAT) != 0)
        return pb_fail(PB_E_INPUT, "%s: not the manifest of a patchbank archive: format is not \"%s\"", path, PB_MANIFEST_FORMAT);
    if (!json_is_integer(version) || json_integer_value(version) < 1)
        return pb_fail(PB_E_INPUT, "%s: version is not a number from 1", path);
    if (json_integer_value(version) > PB_MANIFEST_VERSION)
        return pb_fail(PB_E_INPUT, "%s: version %lld of %s is newer than this build reads (%d): use a newer patchbank", path,
                       (long long)json_integer_value(version), PB_MANIFEST_FORMAT, PB_MANIFEST_VERSION);
    return pb_ok();
}

/* Checks and sets what an edition says of itself, for earlier ones and the last alike. `after`: the edition before it, NULL for
 * the first. Counts are running totals, so they rise: shards strictly, since an edition after the first has at least one; images
 * perhaps not, since all may be bad. */
static pb_status set_edition(const char *path, const char *source, json_int_t shard_images, json_int_t images, json_int_t shards,
                             const pb_edition *after, pb_edition *edition) {
    if (shard_images < 1 || shard_images > PB_SHARD_IMAGES_MAX)
        return pb_fail(PB_E_INPUT, "%s: shard_images is %lld, expected 1 to %d", path, (long long)shard_images,
                       PB_SHARD_IMAGES_MAX);
    if (images < 0)
        return pb_fail(PB_E_INPUT, "%s: says %lld images", path, (long long)images);
    if (after && (shards <= (json_int_t)after->shards || images < (json_int_t)after->images))
        return pb_fail(PB_E_INPUT, "%s: an edition has fewer shards or images than the one before it", path);
    edition->shard_images = (size_t)shard_images;
    edition->images = (uint64_t)images;
    edition->shards = (size_t)shards;
    PB_TRY(pb_allocate(&edition->source, strlen(source) + 1, 1, path));
    memcpy(edition->source, source, strlen(source));
    return pb_ok();
}

/* An earlier edition: what the manifest lists of it, its own SHA-256 among it. */
static pb_status parse_edition(const char *path, json_t *entry, const pb_edition *after, pb_edition *edition) {
    json_error_t trouble;
    const char *source, *sha256;
    json_int_t shard_images, images, shards;
    if (json_unpack_ex(entry, &trouble, 0, "{s:s, s:I, s:I, s:I, s:s !}", "source", &source, "shard_images", &shard_images,
                       "images", &images, "shards", &shards, "sha256", &sha256) != 0)
        return pb_fail(PB_E_INPUT, "%s: an earlier edition: %s", path, trouble.text);
    if (!pb_is_sha256(sha256))
        return pb_fail(PB_E_INPUT, "%s: an earlier edition: \"%.80s\" is not a SHA-256", path, sha256);
    if (shards < 0)
        return pb_fail(PB_E_INPUT, "%s: an earlier edition: says %lld shards", path, (long long)shards);
    memcpy(edition->sha256, sha256, PB_SHA256_TEXT);
    return set_edition(path, source, shard_images, images, shards, after, edition);
}

/* The whole document. The last of the editions is the manifest itself, whose SHA-256 is set by whoever has the text. A grown
 * archive has the key `earlier`, one that never grew must not have it. */
static pb_status parse_root(const char *path, json_t *root, pb_manifest *manifest) {
    json_error_t trouble;
    const char *format, *source;
    int version;
    json_int_t shard_images, images;
    json_t *shards, *earlier = NULL;
    PB_TRY(check_version(path, root));
    bool grown = json_integer_value(json_object_get(root, "version")) > PB_MANIFEST_VERSION_ALONE;
    if (json_unpack_ex(root, &trouble, 0, grown ? "{s:s, s:i, s:s, s:I, s:I, s:o, s:o !}" : "{s:s, s:i, s:s, s:I, s:I, s:o !}",
                       "format", &format, "version", &version, "source", &source, "shard_images", &shard_images, "images",
                       &images, "shards", &shards, "earlier", &earlier) != 0)
        return pb_fail(PB_E_INPUT, "%s: %s", path, trouble.text);
    if (!json_is_array(shards) || (earlier && !json_is_array(earlier)))
        return pb_fail(PB_E_INPUT, "%s: %s is not a list", path, json_is_array(shards) ? "earlier" : "shards");
    size_t before = json_array_size(earlier);
    manifest->shards = json_array_size(shards);
    PB_TRY(pb_allocate(&manifest->editions, before + 1, sizeof *manifest->editions, path));
    manifest->edition_count = before + 1;
    for (size_t i = 0; i < before; i++)
        PB_TRY(parse_edition(path, json_array_get(earlier, i), i > 0 ? &manifest->editions[i - 1] : NULL,
                             &manifest->editions[i]));
    PB_TRY(set_edition(path, source, shard_images, images, (json_int_t)manifest->shards,
                       before > 0 ? &manifest->editions[before - 1] : NULL, &manifest->editions[before]));
    return parse_shards(path, shards, manifest);
}

/* Doubled keys are refused: readers differ on which of them counts. */
static pb_status parse_text(const char *path, const char *text, size_t size, pb_manifest *manifest) {
    json_error_t trouble;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &trouble);
    if (!root)
        return pb_fail(PB_E_INPUT, "%s: not JSON: line %d: %s", path, trouble.line, trouble.text);
    pb_status status = parse_root(path, root, manifest);
    json_decref(root);
    return status;
}

/* One manifest file. On error the manifest is empty. */
static pb_status read_file(const char *path, pb_manifest *manifest) {
    char *text;
    size_t size;
    *manifest = (pb_manifest){0};
    PB_TRY(pb_file_read(path, MANIFEST_BYTES_MAX, &text, &size));
    pb_status status = parse_text(path, text, size, manifest);
    if (!pb_failed(&status))
        pb_sha256(text, size, manifest->editions[manifest->edition_count - 1].sha256);
    pb_release(&text);
    if (pb_failed(&status))
        pb_manifest_free(manifest);
    return status;
}

/* Of the edition after the manifest's. */
static pb_status next_path(const char *folder, const pb_manifest *manifest, char path[PB_PATH_MAX]) {
    char name[PB_SHARD_FILE_MAX], file[PB_SHARD_FILE_MAX + sizeof PB_MANIFEST_FILE];
    pb_edition_folder(manifest->edition_count, name);
    snprintf(file, sizeof file, "%s/%s", name, PB_MANIFEST_FILE);
    return pb_path_join(folder, file, path);
}

/* Replaces the manifest by the next edition's, which must list this one, with its SHA-256, as the one before it. An edition of
 * something else that was copied into the folder is found here. */
static pb_status step(const char *path, pb_manifest *manifest) {
    pb_manifest next;
    size_t count = manifest->edition_count;
    PB_TRY(read_file(path, &next));
    bool follows = next.edition_count == count + 1 &&
                   strcmp(next.editions[count - 1].sha256, manifest->editions[count - 1].sha256) == 0;
    if (!follows) {
        pb_manifest_free(&next);
        return pb_fail(PB_E_INPUT, "%s: is not the edition that follows the one before it", path);
    }
    pb_manifest_free(manifest);
    *manifest = next;
    return pb_ok();
}

/* manifest.json may be an edition behind (its writer was killed between two renames), or set back by one that was asleep; an
 * edition's folder never changes. So the newest is that after which there is none: one failed lookup, where manifest.json is up
 * to date. */
pb_status pb_manifest_read(const char *folder, pb_manifest *manifest_out) {
    char path[PB_PATH_MAX];
    *manifest_out = (pb_manifest){0};
    PB_TRY(pb_path_join(folder, PB_MANIFEST_FILE, path));
    PB_TRY(read_file(path, manifest_out));
    pb_status status = next_path(folder, manifest_out, path);
    while (!pb_failed(&status) && access(path, F_OK) == 0) {
        status = step(path, manifest_out);
        pb_keep_first(&status, next_path(folder, manifest_out, path));
    }
    if (pb_failed(&status))
        pb_manifest_free(manifest_out);
    return status;
}

/* What was found in the manifest is put into text by the writer's own code; if a byte were another, so would be the hash. */
pb_status pb_manifest_prove(const char *folder, const pb_manifest *manifest, size_t edition) {
    char *text, sha256[PB_SHA256_TEXT];
    const pb_edition *self = &manifest->editions[edition];
    PB_TRY(pb_manifest_text(manifest->editions, edition, manifest->summaries, &text));
    pb_sha256(text, strlen(text), sha256);
    free(text);
    if (strcmp(sha256, self->sha256) != 0)
        return pb_fail(PB_E_INPUT, "%s: its edition %zu is not the one whose manifest had the sha256 %s: made again it has %s",
                       folder, edition + 1, self->sha256, sha256);
    return pb_ok();
}

void pb_manifest_free(pb_manifest *manifest) {
    for (size_t i = 0; i < manifest->edition_count; i++)
        pb_release(&manifest->editions[i].source);
    pb_release(&manifest->editions);
    pb_release(&manifest->summaries);
    *manifest = (pb_manifest){0};
}
