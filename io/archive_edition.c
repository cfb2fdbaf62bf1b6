/* archive_edition.c: how an archive grows (decision 0030): a folder with new shards and a manifest over all shards becomes the
 * next edition by one rename.
 *    pb_edition_publish   make the manifest, then `appear`: the rename, which fails where the edition is there already
 *    pb_edition_point     manifest.json of the archive is made a copy of the newest edition's manifest, for other programs
 * The rename decides between two appends; the lock only saves the slower one its work. A process may die or sleep between any two
 * steps: before the rename nothing has changed, after it the edition is there, whole, and whether manifest.json is behind does
 * not matter to patchbank.
 */
#include "io/archive_private.h"

#include "base/fault.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the archive's folder. It stays: what locks is fcntl(2), not its being there. */
static const char LOCK_FILE[] = "lock";

/* All but the last, which is the manifest that was read. */
pb_status pb_archive_check_editions(const pb_archive *archive) {
    for (size_t i = 0; i + 1 < archive->manifest.edition_count; i++)
        PB_TRY(pb_manifest_prove(archive->folder, &archive->manifest, i));
    return pb_ok();
}

pb_status pb_edition_path(const char *folder, size_t edition, char path[PB_PATH_MAX]) {
    char name[PB_SHARD_FILE_MAX];
    pb_edition_folder(edition, name);
    return pb_path_join(folder, name, path);
}

pb_status pb_archive_lock(const char *folder, double wait_s, const char *who, pb_lock *lock) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, LOCK_FILE, path));
    return pb_lock_take(path, wait_s, who, lock);
}

/* The base's editions and, last, the new one, in *editions (pb_release; the sources are lent); all summaries in *all. The new
 * one's sha256 is left empty: it is not known before the text, and no manifest has its own. */
static pb_status extend(const pb_archive *base, const char *source, size_t shard_images, const pb_shard_summary *summaries,
                        size_t count, pb_edition **editions, pb_shard_summary **all) {
    const pb_manifest *old = &base->manifest;
    PB_TRY(pb_allocate(editions, old->edition_count + 1, sizeof **editions, "editions"));
    PB_TRY(pb_allocate(all, old->shards + count, sizeof **all, "shard summaries"));
    memcpy(*editions, old->editions, old->edition_count * sizeof **editions);
    memcpy(*all, old->summaries, old->shards * sizeof **all);
    memcpy(*all + old->shards, summaries, count * sizeof **all);
    pb_edition *last = &(*editions)[old->edition_count];
    *last = (pb_edition){.source = (char *)(uintptr_t)source, /* only read */
                         .shard_images = shard_images,
                         .shards = old->shards + count,
                         .images = old->images};
    for (size_t i = 0; i < count; i++)
        last->images += summaries[i].images;
    return pb_ok();
}

/* The manifest of the new edition into its folder; sha256: of its text. */
static pb_status write_manifest(const pb_archive *base, const char *folder, const pb_edition *editions,
                                const pb_shard_summary *all, char sha256[PB_SHA256_TEXT]) {
    char *text, path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, PB_MANIFEST_FILE, path));
    PB_TRY(pb_manifest_text(editions, base->manifest.edition_count, all, &text));
    pb_sha256(text, strlen(text), sha256);
    pb_status status = pb_file_write(path, text, strlen(text));
    free(text);
    return status;
}

/* Whether the edition's folder at `path` has this manifest. What cannot be read is not ours. */
static bool is_ours(const char *path, const char *sha256) {
    char manifest[PB_PATH_MAX], found[PB_SHA256_TEXT];
    pb_status status = pb_path_join(path, PB_MANIFEST_FILE, manifest);
    if (!pb_failed(&status))
        status = pb_sha256_file(manifest, found);
    return !pb_failed(&status) && strcmp(found, sha256) == 0;
}

/* The compare-and-swap: an edition's folder is never empty, and rename(2) replaces no folder that is not. A server of NFS may do
 * it and lose its answer, so what stands there is looked at before it is called another's. */
static pb_status appear(const pb_archive *base, const char *folder, const char *sha256) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_edition_path(base->folder, base->manifest.edition_count, path));
    int error = (pb_fault("io.rename") ? (errno = EIO, -1) : rename(folder, path)) == 0 ? 0 : errno;
    if (error != 0 && !is_ours(path, sha256))
        return error == ENOTEMPTY || error == EEXIST
                   ? pb_fail(PB_E_SYSTEM, "%s: was made meanwhile, by another; nothing was changed: try again", path)
                   : pb_fail_errno(error, path, "cannot rename the finished edition to it");
    return pb_folder_flush(base->folder);
}

/* A manifest that was edited by hand, or written by another program, may read well and yet not be made again byte for byte; then
 * no later edition could prove it, and the append is refused before anything is written. */
pb_status pb_edition_publish(const pb_archive *base, const char *folder, const char *source, size_t shard_images,
                             pb_shard_summary *summaries, size_t count) {
    const pb_manifest *old = &base->manifest;
    pb_edition *editions = NULL;
    pb_shard_summary *all = NULL;
    char sha256[PB_SHA256_TEXT];
    PB_ASSERT(count > 0);
    /* What cannot be made again could not be proved later. */
    PB_TRY(pb_manifest_prove(base->folder, old, old->edition_count - 1));
    for (size_t i = 0; i < count; i++)
        pb_shard_file(old->edition_count, old->shards + i, summaries[i].file);
    pb_status status = extend(base, source, shard_images, summaries, count, &editions, &all);
    if (!pb_failed(&status))
        status = write_manifest(base, folder, editions, all, sha256);
    if (!pb_failed(&status))
        status = appear(base, folder, sha256);
    pb_release(&editions);
    pb_release(&all);
    return status;
}

/* Whether both files have the same bytes: by SHA-256, for which there is a function; a manifest is small. */
static pb_status same_file(const char *a, const char *b, bool *same) {
    char sha256_a[PB_SHA256_TEXT], sha256_b[PB_SHA256_TEXT];
    PB_TRY(pb_sha256_file(a, sha256_a));
    PB_TRY(pb_sha256_file(b, sha256_b));
    *same = strcmp(sha256_a, sha256_b) == 0;
    return pb_ok();
}

/* Copies the newest edition's manifest to manifest.json unless it is there. Again, when an edition came meanwhile: of several
 * that do so at once, the last to look finds the newest. The copy appears by a rename, so readers see one manifest or the other,
 * whole. */
pb_status pb_edition_point(const char *folder) {
    char from[PB_PATH_MAX], path[PB_PATH_MAX], edition[PB_PATH_MAX];
    bool same = false;
    PB_TRY(pb_path_join(folder, PB_MANIFEST_FILE, path));
    for (;;) {
        pb_manifest manifest;
        PB_TRY(pb_manifest_read(folder, &manifest));
        size_t newest = manifest.edition_count - 1;
        pb_manifest_free(&manifest);
        if (newest == 0)
            return pb_ok();
        PB_TRY(pb_edition_path(folder, newest, edition));
        PB_TRY(pb_path_join(edition, PB_MANIFEST_FILE, from));
        PB_TRY(same_file(from, path, &same));
        if (same)
            return pb_ok();
        PB_TRY(pb_file_copy(from, path));
    }
}
