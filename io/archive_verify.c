/* archive_verify.c: everything that can be told of a shard: its SHA-256, the form of its columns, the CRC32C of every image and
 * mask, and that each of them decodes to what is recorded. Going on after a damage is the point: all of them are told, each by
 * its image. */
#include "io/archive_private.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* Images are read in blocks of about this many bytes; only where a block is damaged they are read one by one, to name it. */
enum { BLOCK_BYTES = 16 << 20 };

/* A check of one shard. spans: of the block that was read last. */
typedef struct verifier {
    pb_archive *archive;
    size_t shard;
    pb_rejected report;
    void *context;
    uint64_t damaged;
    pb_span *spans; /* [images of the shard] */
} verifier;

/* Damage is handed on and counted, and checking goes on; anything else ends it. index: of the image in the archive, or SIZE_MAX
 * for the file. PB_OK passes. */
static pb_status note(verifier *checking, size_t index, pb_status status) {
    if (status.code != PB_E_INPUT)
        return status;
    checking->report(checking->context, index, &status);
    checking->damaged++;
    return pb_ok();
}

/* Reads the whole file once. A shard may fail here and have every image sound: then HDF5's own bytes have decayed. */
static pb_status check_sha256(const verifier *checking) {
    char path[PB_PATH_MAX], found[PB_SHA256_TEXT];
    PB_TRY(pb_archive_shard_path(checking->archive, checking->shard, path));
    PB_TRY(pb_sha256_file(path, found));
    const char *expected = pb_archive_shard(checking->archive, checking->shard)->sha256;
    if (strcmp(found, expected) != 0)
        return pb_fail(PB_E_INPUT, "%s: damaged: its SHA-256 is %s, the manifest says %s", path, found, expected);
    return pb_ok();
}

/* Decodes one image or mask and compares it with its record. what: how the message calls it. Channels and format are recorded of
 * images alone; of masks only the size must fit. */
static pb_status check_decoded(const verifier *checking, size_t i, const char *what, pb_span span, bool is_image) {
    const pb_shard_columns *columns = &checking->archive->columns[checking->shard];
    pb_image image = {0};
    pb_status status = pb_prefix(pb_image_decode(span.bytes, span.size, &image), columns->path[i]);
    int width = (int)columns->width[i], height = (int)columns->height[i];
    bool same = image.width == width && image.height == height;
    if (image.orientation >= 5) /* an archive from before orientation was applied has the sides as stored */
        same = same || (image.width == height && image.height == width);
    if (is_image)
        same = same && image.channels == columns->channels[i] && image.format == (pb_image_format)columns->format[i];
    if (!pb_failed(&status) && !same)
        status = pb_fail(PB_E_INPUT, "%s: %s decodes to %d x %d pixels of %d channels, recorded are %u x %u of %d",
                         columns->path[i], what, image.width, image.height, image.channels, columns->width[i],
                         columns->height[i], columns->channels[i]);
    pb_image_free(&image);
    return status;
}

/* Equal offsets: no mask. It is shown like an image, in the upright position, so its size must be the image's. */
static pb_status check_mask(const verifier *checking, size_t i) {
    pb_archive *archive = checking->archive;
    const pb_shard_columns *columns = &archive->columns[checking->shard];
    pb_span span;
    if (columns->mask_offset[i] == columns->mask_offset[i + 1])
        return pb_ok();
    PB_TRY(pb_archive_read_mask(archive, archive->first[checking->shard] + i, &span));
    return check_decoded(checking, i, "its mask", span, false);
}

/* Images first .. first + count - 1 of the shard. A count of 1 names the image at fault: where a block is damaged it is gone
 * through again, one by one. Calls itself once at most. */
static pb_status check_images(verifier *checking, size_t first, size_t count) {
    uint64_t index = checking->archive->first[checking->shard] + first;
    pb_status read = pb_archive_read(checking->archive, index, count, checking->spans);
    if (read.code == PB_E_INPUT && count > 1) {
        for (size_t i = 0; i < count; i++)
            PB_TRY(check_images(checking, first + i, 1));
        return pb_ok();
    }
    if (pb_failed(&read))
        return note(checking, index, read);
    for (size_t i = 0; i < count; i++)
        PB_TRY(note(checking, index + i, check_decoded(checking, first + i, "it", checking->spans[i], true)));
    return pb_ok();
}

/* Images in blocks, then masks one by one: most images have none. */
static pb_status check_all_images(verifier *checking) {
    const pb_shard_columns *columns = &checking->archive->columns[checking->shard];
    PB_TRY(pb_allocate(&checking->spans, columns->images, sizeof *checking->spans, "spans of a shard"));
    for (size_t first = 0; first < columns->images;) {
        size_t end = first + 1;
        while (end < columns->images && columns->offset[end + 1] - columns->offset[first] <= BLOCK_BYTES)
            end++;
        PB_TRY(check_images(checking, first, end - first));
        first = end;
    }
    for (size_t i = 0; i < columns->images; i++)
        PB_TRY(note(checking, checking->archive->first[checking->shard] + i, check_mask(checking, i)));
    return pb_ok();
}

/* Without columns nothing more can be asked; with a wrong SHA-256 everything still can. */
static pb_status check_shard(verifier *checking) {
    PB_TRY(note(checking, SIZE_MAX, check_sha256(checking)));
    pb_status load = pb_archive_load(checking->archive, checking->shard);
    return pb_failed(&load) ? note(checking, SIZE_MAX, load) : check_all_images(checking);
}

pb_status pb_archive_verify(pb_archive *archive, size_t shard, pb_rejected report, void *context, uint64_t *damaged_out) {
    PB_ASSERT(shard < archive->manifest.shards);
    verifier checking = {.archive = archive, .shard = shard, .report = report, .context = context};
    pb_status status = check_shard(&checking);
    *damaged_out = checking.damaged;
    pb_release(&checking.spans);
    return status;
}
