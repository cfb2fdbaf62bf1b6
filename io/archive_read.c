/* archive_read.c: an opened archive: which shards and images there are, what is known of each image, and its bytes.
 *
 * An image has a global index. Its shard is found by halving in first[], the running sum of the shards' images; from there on an
 * image is its number within the shard. Columns of a shard are read whole when the first of its images is asked about, and stay
 * until the archive is closed, since records point into them; the file of one shard at a time is open.
 *    manifest    read at opening: names, counts and SHA-256 of all shards
 *    columns     one read a shard, checked value by value (archive_columns.c) and against the manifest's counts
 *    bytes       one read a shard and request, CRC32C for each image
 * Nothing is believed that is not checked (invariant 8): the manifest by its form, columns by HDF5's checksums and by what their
 * values can be, bytes by CRC32C. The SHA-256 of a shard is not compared here, which would read all of it; that is what `verify`
 * is for.
 */
#include "io/archive_private.h"

#include "base/memory.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- opening ---------------------------------------------------------------------------------------------------- */

/* Names in the manifest are checked to be those that pb_shard_file makes, so the path leads to nothing outside of the archive. */
pb_status pb_archive_shard_path(const pb_archive *archive, size_t shard, char *path) {
    return pb_path_join(archive->folder, archive->manifest.summaries[shard].file, path);
}

/* A missing shard is found now, not hours later when its turn comes. */
static pb_status check_shard_file(const pb_archive *archive, size_t shard) {
    char path[PB_PATH_MAX];
    struct stat facts;
    PB_TRY(pb_archive_shard_path(archive, shard, path));
    if (stat(path, &facts) != 0 || !S_ISREG(facts.st_mode))
        return pb_fail(PB_E_INPUT, "%s: the manifest lists this shard, but there is no such file", path);
    return pb_ok();
}

/* Forgets what came after the edition with this manifest, which is proved to have been it: its text is made again and its SHA-256
 * compared. The summaries of later shards stay in memory and are not looked at. */
static pb_status cut_back(const char *folder, const char *sha256, pb_manifest *manifest) {
    size_t edition = 0;
    while (edition < manifest->edition_count && strcmp(manifest->editions[edition].sha256, sha256) != 0)
        edition++;
    if (edition == manifest->edition_count)
        return pb_fail(PB_E_INPUT, "%s: neither is nor was an archive with the manifest sha256 %s; it is %s", folder, sha256,
                       manifest->editions[edition - 1].sha256);
    while (manifest->edition_count > edition + 1)
        pb_release(&manifest->editions[--manifest->edition_count].source);
    manifest->shards = manifest->editions[edition].shards;
    manifest->images = manifest->editions[edition].images;
    return pb_manifest_prove(folder, manifest, edition);
}

/* sha256: of the edition that is wanted; NULL: the newest. The newest one, too, may be asked for by its name, and is not proved
 * then: the file itself has just been read. */
static pb_status fill_archive(pb_archive *archive, const char *folder, const char *sha256, pb_shards presence) {
    PB_TRY(pb_path_join("", folder, archive->folder));
    PB_TRY(pb_manifest_read(folder, &archive->manifest));
    if (sha256 && strcmp(sha256, pb_archive_sha256(archive)) != 0)
        PB_TRY(cut_back(folder, sha256, &archive->manifest));
    size_t shards = archive->manifest.shards;
    PB_TRY(pb_allocate(&archive->first, shards + 1, sizeof *archive->first, "an archive"));
    PB_TRY(pb_allocate(&archive->columns, shards, sizeof *archive->columns, "an archive"));
    PB_TRY(pb_allocate(&archive->loaded, shards, sizeof *archive->loaded, "an archive"));
    for (size_t i = 0; i < shards; i++) {
        archive->first[i + 1] = archive->first[i] + archive->manifest.summaries[i].images;
        if (presence == PB_SHARDS_THERE)
            PB_TRY(check_shard_file(archive, i));
    }
    return pb_ok();
}

/* After a failure everything that fill_archive had made goes by closing. */
pb_status pb_archive_open_edition(const char *folder, const char *sha256, pb_shards shards, pb_archive **archive_out) {
    PB_TRY(pb_allocate(archive_out, 1, sizeof **archive_out, "an archive"));
    (*archive_out)->open_shard = NO_SHARD_OPEN;
    pb_status status = fill_archive(*archive_out, folder, sha256, shards);
    if (pb_failed(&status))
        pb_archive_close(archive_out);
    return status;
}

pb_status pb_archive_open(const char *folder, pb_archive **archive_out) {
    return pb_archive_open_edition(folder, NULL, PB_SHARDS_THERE, archive_out);
}

/* Its columns stay: they are memory. */
static void close_shard(pb_archive *archive) {
    pb_status ignored = pb_h5_close(&archive->h5); /* nothing was written to it */
    (void)ignored;
    archive->open_shard = NO_SHARD_OPEN;
}

/* Columns of shards that were never loaded are zeroed, and freeing them does nothing. */
void pb_archive_close(pb_archive **archive_inout) {
    pb_archive *archive = *archive_inout;
    if (!archive)
        return;
    close_shard(archive);
    for (size_t i = 0; archive->columns && i < archive->manifest.shards; i++)
        pb_shard_columns_free(&archive->columns[i]);
    pb_release(&archive->first);
    pb_release(&archive->columns);
    pb_release(&archive->loaded);
    pb_release(&archive->images.bytes);
    pb_release(&archive->mask.bytes);
    pb_manifest_free(&archive->manifest);
    pb_release(archive_inout);
}

uint64_t pb_archive_images(const pb_archive *archive) { return archive->manifest.images; }

size_t pb_archive_shards(const pb_archive *archive) { return archive->manifest.shards; }

const pb_shard_summary *pb_archive_shard(const pb_archive *archive, size_t shard) {
    PB_ASSERT(shard < archive->manifest.shards);
    return &archive->manifest.summaries[shard];
}

size_t pb_archive_editions(const pb_archive *archive) { return archive->manifest.edition_count; }

const pb_edition *pb_archive_edition(const pb_archive *archive, size_t edition) {
    PB_ASSERT(edition < archive->manifest.edition_count);
    return &archive->manifest.editions[edition];
}

const char *pb_archive_sha256(const pb_archive *archive) {
    return pb_archive_edition(archive, archive->manifest.edition_count - 1)->sha256;
}

/* A hard link is the same file, so there is nothing to compare; a copy could be one of a damaged shard, or be damaged on its way.
 * What is not sound does not stay under a shard's name. */
pb_status pb_shard_link(const pb_archive *archive, size_t shard, const char *folder, size_t number,
                        pb_shard_summary *summary_out) {
    char from[PB_PATH_MAX], path[PB_PATH_MAX], sha256[PB_SHA256_TEXT];
    bool copied;
    pb_shard_summary summary = *pb_archive_shard(archive, shard);
    pb_shard_file(0, number, summary.file);
    PB_TRY(pb_archive_shard_path(archive, shard, from));
    PB_TRY(pb_path_join(folder, summary.file, path));
    PB_TRY(pb_file_link(from, path, &copied));
    pb_status status = copied ? pb_sha256_file(path, sha256) : pb_ok();
    if (copied && !pb_failed(&status) && strcmp(sha256, summary.sha256) != 0)
        status = pb_fail(PB_E_INPUT, "%s: damaged: its SHA-256 is %s, the manifest says %s", from, sha256, summary.sha256);
    if (pb_failed(&status))
        unlink(path);
    else
        *summary_out = summary;
    return status;
}

/* --- a shard's columns ------------------------------------------------------------------------------------------ */

/* Opens the file and checks what it says it is; the shard that was open is closed. Its attributes are those of every shard, and
 * of no interest. */
static pb_status open_shard(pb_archive *archive, size_t shard) {
    if (archive->open_shard == (int64_t)shard)
        return pb_ok();
    close_shard(archive);
    char path[PB_PATH_MAX];
    pb_attributes none = {0};
    PB_TRY(pb_archive_shard_path(archive, shard, path));
    PB_TRY(pb_h5_open(&archive->h5, path));
    pb_status status = pb_h5_read_header(&archive->h5, PB_SHARD_FORMAT, PB_SHARD_VERSION, &none);
    pb_attributes_free(&none);
    if (pb_failed(&status))
        close_shard(archive);
    else
        archive->open_shard = (int64_t)shard;
    return status;
}

/* A shard of the right form that belongs elsewhere (copied over, restored from another archive) is told by its counts and bytes:
 * cheap, since the columns are in memory, and enough against mistakes. The number of images was compared when they were read. */
static pb_status check_against_manifest(const pb_archive *archive, size_t shard, const pb_shard_columns *columns) {
    const pb_shard_summary *summary = &archive->manifest.summaries[shard];
    uint64_t train = 0, defective = 0;
    uint64_t bytes = columns->offset[columns->images] + columns->mask_offset[columns->images];
    for (size_t i = 0; i < columns->images; i++) {
        train += columns->split[i] == PB_SPLIT_TRAIN;
        defective += columns->label[i] == PB_LABEL_DEFECTIVE;
    }
    if (bytes != summary->bytes || train != summary->train || defective != summary->defective)
        return pb_fail(PB_E_INPUT, "%s: is not the shard that the manifest describes: other bytes or counts", archive->h5.name);
    return pb_ok();
}

/* Both steps are remembered; loaded is set only when the columns are found right, so that a damaged shard is damaged each
 * time. */
pb_status pb_archive_load(pb_archive *archive, size_t shard) {
    PB_TRY(open_shard(archive, shard));
    if (archive->loaded[shard])
        return pb_ok();
    pb_shard_columns *columns = &archive->columns[shard];
    PB_TRY(pb_shard_columns_read(&archive->h5, archive->manifest.summaries[shard].images, columns));
    pb_status status = check_against_manifest(archive, shard, columns);
    if (pb_failed(&status))
        pb_shard_columns_free(columns);
    archive->loaded[shard] = !pb_failed(&status);
    return status;
}

/* Halving, with the invariant beside it. Empty shards begin where the next one does, and the last of equals is taken. */
size_t pb_archive_shard_of(const pb_archive *archive, uint64_t index) {
    PB_ASSERT(index < archive->manifest.images);
    size_t low = 0, high = archive->manifest.shards; /* first[low] <= index < first[high] */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (archive->first[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The file need not be open for a record, only the columns loaded. */
pb_status pb_archive_record(pb_archive *archive, uint64_t index, pb_record *record_out) {
    size_t shard = pb_archive_shard_of(archive, index);
    if (!archive->loaded[shard])
        PB_TRY(pb_archive_load(archive, shard));
    const pb_shard_columns *columns = &archive->columns[shard];
    size_t i = index - archive->first[shard];
    *record_out = (pb_record){
        .path = columns->path[i],
        .class = columns->class[i],
        .group = columns->group[i],
        .split = (pb_split)columns->split[i],
        .label = columns->label[i],
        .width = (int)columns->width[i],
        .height = (int)columns->height[i],
        .channels = columns->channels[i],
        .format = (pb_image_format)columns->format[i],
        .length = columns->offset[i + 1] - columns->offset[i],
        .mask_length = columns->mask_offset[i + 1] - columns->mask_offset[i],
    };
    return pb_ok();
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

/* Consecutive images within one shard. */
typedef struct piece {
    size_t shard, first, count; /* first: within the shard */
} piece;

/* The piece that begins at image `index`: to the end of its shard, and of `most` images at most. */
static piece piece_at(const pb_archive *archive, uint64_t index, size_t most) {
    size_t shard = pb_archive_shard_of(archive, index);
    uint64_t left = archive->first[shard + 1] - index;
    return (piece){.shard = shard, .first = index - archive->first[shard], .count = left < most ? left : most};
}

/* After it the buffer is never NULL, so that an empty span too can be handed to memcpy. What was in it is not kept. */
static pb_status reserve(pb_byte_buffer *buffer, size_t size) {
    if (buffer->bytes && size <= buffer->capacity)
        return pb_ok();
    pb_release(&buffer->bytes);
    buffer->capacity = 0;
    PB_TRY(pb_allocate(&buffer->bytes, size, 1, "encoded images"));
    buffer->capacity = size;
    return pb_ok();
}

/* what: "image" or "mask". index: within the shard, path: of the image, both for the message. */
static pb_status check_crc(const pb_archive *archive, const char *what, size_t index, const char *path, pb_span span,
                           uint32_t expected) {
    if (pb_crc32c(span.bytes, span.size) == expected)
        return pb_ok();
    return pb_fail(PB_E_INPUT, "%s: damaged: %s %zu of the shard (%s): its CRC32C does not match", archive->h5.name, what, index,
                   path);
}

/* The bytes of all pieces. The sum must be known before the first is read: spans point into one buffer, which may not move.
 * Loading columns may switch the open shard; read_piece opens it again. */
static pb_status total_size(pb_archive *archive, uint64_t first, size_t count, size_t *size) {
    *size = 0;
    for (size_t done = 0; done < count;) {
        piece now = piece_at(archive, first + done, count - done);
        if (!archive->loaded[now.shard])
            PB_TRY(pb_archive_load(archive, now.shard));
        const uint64_t *offset = archive->columns[now.shard].offset;
        *size += offset[now.first + now.count] - offset[now.first];
        done += now.count;
    }
    return pb_ok();
}

/* One read for all images of the piece, whose bytes follow each other. HDF5's own checksums are not asked for: they are of chunks
 * of 1 MiB, and one bad byte would take all images of its chunk with it, while the CRC32C tells the one that has it. */
static pb_status read_piece(pb_archive *archive, piece now, uint8_t *bytes, pb_span *spans) {
    PB_TRY(pb_archive_load(archive, now.shard));
    const pb_shard_columns *columns = &archive->columns[now.shard];
    const uint64_t *offset = columns->offset + now.first;
    PB_TRY(pb_h5_read_bytes(&archive->h5, "image", PB_H5_UNCHECKED, offset[0], offset[now.count], bytes));
    for (size_t i = 0; i < now.count; i++) {
        size_t image = now.first + i;
        spans[i] = (pb_span){.bytes = bytes + (offset[i] - offset[0]), .size = offset[i + 1] - offset[i]};
        PB_TRY(check_crc(archive, "image", image, columns->path[image], spans[i], columns->crc32c[image]));
    }
    return pb_ok();
}

/* The first bad image ends it, and no span is to be used then. Whoever wants the others asks for them one by one, as
 * archive_verify.c does. */
pb_status pb_archive_read(pb_archive *archive, uint64_t first, size_t count, pb_span *spans) {
    PB_ASSERT(first <= archive->manifest.images && count <= archive->manifest.images - first);
    size_t size;
    PB_TRY(total_size(archive, first, count, &size));
    PB_TRY(reserve(&archive->images, size));
    uint8_t *bytes = archive->images.bytes;
    for (size_t done = 0; done < count;) {
        piece now = piece_at(archive, first + done, count - done);
        PB_TRY(read_piece(archive, now, bytes, spans + done));
        const uint64_t *offset = archive->columns[now.shard].offset;
        bytes += offset[now.first + now.count] - offset[now.first];
        done += now.count;
    }
    return pb_ok();
}

/* An image without a mask is an empty span, whose CRC32C is 0, as recorded. */
pb_status pb_archive_read_mask(pb_archive *archive, uint64_t index, pb_span *span) {
    piece now = piece_at(archive, index, 1);
    PB_TRY(pb_archive_load(archive, now.shard));
    const pb_shard_columns *columns = &archive->columns[now.shard];
    const uint64_t *offset = columns->mask_offset + now.first;
    PB_TRY(reserve(&archive->mask, offset[1] - offset[0]));
    PB_TRY(pb_h5_read_bytes(&archive->h5, "mask", PB_H5_UNCHECKED, offset[0], offset[1], archive->mask.bytes));
    *span = (pb_span){.bytes = archive->mask.bytes, .size = offset[1] - offset[0]};
    return check_crc(archive, "mask", now.first, columns->path[now.first], *span, columns->mask_crc32c[now.first]);
}
