/* archive_repair.c: makes a damaged shard what it was, byte for byte, or, where that cannot be, better than it is (decision
 * 0030).
 *
 * The manifest's SHA-256 says what the shard was, and HDF5 makes the same file of the same content, so whatever is tried can be
 * judged by one comparison. Three ways, in this order (repair_damaged):
 *    1 copy_shard   the shard's own columns, its sound bytes, and the source's bytes in place of damaged ones: needs few files
 *    2 pack_again   all of it from the list, at the place where its neighbours say it is: needs nothing of the shard
 *    3 copy_shard   once more, as far as it goes: the shard is damaged afterwards too, but has images back
 * An image is never replaced by another version of it: a source file counts only if it has the recorded length and CRC32C.
 * Nothing is written over: a shard is made beside its place and renamed, and an attempt that is no better leaves the old file as
 * it is.
 */
#include "io/archive_private.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* Places in the list that are tried for a shard whose columns cannot be read: as each neighbour has it, and as it is counted. */
enum { PLACES_MAX = 3 };

/* A repair of one shard. archive, source, report and result are borrowed. result holds what the present attempt has done; each
 * attempt counts from 0. */
typedef struct repairer {
    pb_archive *archive;
    size_t shard;
    const pb_list *source;
    const pb_list_item **sorted; /* [source->count] */
    char path[PB_PATH_MAX];      /* of the shard */
    pb_rejected report;
    void *context;
    pb_repair *result;
    bool last; /* whether what cannot be had is lost, and told; before, there is another way to try */
} repairer;

/* What the manifest says the shard was. */
static const pb_shard_summary *summary_of(const repairer *r) { return &r->archive->manifest.summaries[r->shard]; }

/* The index in the archive of image i of the shard. */
static uint64_t index_of(const repairer *r, size_t i) { return r->archive->first[r->shard] + i; }

/* --- image by image --------------------------------------------------------------------------------------------- */

/* Bytes that stand in a shard under construction: borrowed from the archive, or owned, from a source file. */
typedef struct piece {
    pb_span span;
    uint8_t *owned;
} piece;

/* The source file's bytes, if they are those that were packed: never another version of the image. Errors: PB_E_INPUT, which is a
 * loss and not an end; found->owned may be set even then. */
static pb_status read_source(const repairer *r, const char *name, uint64_t size, uint32_t crc32c, piece *found) {
    char path[PB_PATH_MAX];
    size_t got;
    PB_TRY(pb_path_join(r->source->folder, name, path));
    PB_TRY(pb_file_read(path, PB_IMAGE_FILE_BYTES_MAX, &found->owned, &got));
    if (got != size || pb_crc32c(found->owned, got) != crc32c)
        return pb_fail(PB_E_INPUT, "%s: is not what was packed: %zu bytes, CRC32C %08x; it was %ju bytes, CRC32C %08x", path, got,
                       (unsigned)pb_crc32c(found->owned, got), (uintmax_t)size, (unsigned)crc32c);
    found->span = (pb_span){found->owned, got};
    return pb_ok();
}

/* The damaged bytes themselves, so that all others keep their places: a shard with one image lost then differs from the packed
 * one in that image alone. Read without HDF5's checksums, which would refuse them. */
static pb_status keep_damaged(const repairer *r, const char *column, const uint64_t *offset, piece *found) {
    pb_release(&found->owned);
    PB_TRY(pb_allocate(&found->owned, offset[1] - offset[0], 1, "a damaged image"));
    found->span = (pb_span){found->owned, offset[1] - offset[0]};
    return pb_h5_read_bytes(&r->archive->h5, column, PB_H5_UNCHECKED, offset[0], offset[1], found->owned);
}

/* What takes the place of bytes that are damaged: those of the source, or, told and counted, what is there. The item is found by
 * its path, so a list that is longer, or in another order, serves as well. Only the last attempt tells of losses, since an
 * earlier one may yet be made up for. */
static pb_status replace(const repairer *r, size_t i, bool is_mask, piece *found) {
    const pb_shard_columns *columns = &r->archive->columns[r->shard];
    const uint64_t *offset = (is_mask ? columns->mask_offset : columns->offset) + i;
    uint32_t crc32c = is_mask ? columns->mask_crc32c[i] : columns->crc32c[i];
    const pb_list_item *item = pb_list_find(r->sorted, r->source->count, columns->path[i]);
    pb_status status;
    if (!item || (is_mask && item->mask[0] == '\0'))
        status = pb_fail(PB_E_INPUT, "%s: %s not in the source", columns->path[i], is_mask ? "its mask is" : "is");
    else
        status = read_source(r, is_mask ? item->mask : item->path, offset[1] - offset[0], crc32c, found);
    if (!pb_failed(&status)) {
        r->result->repaired++;
        return status;
    }
    if (status.code != PB_E_INPUT)
        return status;
    if (r->last)
        r->report(r->context, index_of(r, i), &status);
    r->result->lost++;
    return keep_damaged(r, is_mask ? "mask" : "image", offset, found);
}

/* The bytes of image i: from the shard if their CRC32C is right. The span points into the archive's buffer until the next image
 * is read. */
static pb_status find_image(const repairer *r, size_t i, piece *found) {
    pb_status status = pb_archive_read(r->archive, index_of(r, i), 1, &found->span);
    return status.code == PB_E_INPUT ? replace(r, i, false, found) : status;
}

/* Likewise of its mask, in a buffer of its own. */
static pb_status find_mask(const repairer *r, size_t i, piece *found) {
    pb_status status = pb_archive_read_mask(r->archive, index_of(r, i), &found->span);
    return status.code == PB_E_INPUT ? replace(r, i, true, found) : status;
}

/* All that the columns say of image i, unchanged: CRC32C included, so a lost image is still told by it. */
static pb_shard_row row_at(const pb_shard_columns *columns, size_t i) {
    return (pb_shard_row){.list_index = columns->list_index[i],
                          .split = columns->split[i],
                          .label = columns->label[i],
                          .width = columns->width[i],
                          .height = columns->height[i],
                          .channels = columns->channels[i],
                          .format = columns->format[i],
                          .crc32c = columns->crc32c[i],
                          .mask_crc32c = columns->mask_crc32c[i],
                          .path = columns->path[i],
                          .class = columns->class[i],
                          .group = columns->group[i]};
}

/* Image and mask into the new shard. Other failures than damage (memory, disk) end the attempt. */
static pb_status copy_image(const repairer *r, pb_shard_writer *writer, size_t i) {
    piece image = {0}, mask = {0};
    pb_shard_row row = row_at(&r->archive->columns[r->shard], i);
    pb_status status = find_image(r, i, &image);
    if (!pb_failed(&status))
        status = find_mask(r, i, &mask);
    if (!pb_failed(&status))
        status = pb_shard_writer_add(writer, &row, image.span, mask.span);
    pb_release(&image.owned);
    pb_release(&mask.owned);
    return status;
}

/* The whole copy, in the order of the old shard. */
static pb_status fill_copy(const repairer *r, pb_shard_writer *writer) {
    size_t images = r->archive->columns[r->shard].images;
    PB_TRY(pb_shard_writer_begin(writer, r->path, images));
    for (size_t i = 0; i < images; i++)
        PB_TRY(copy_image(r, writer, i));
    return pb_shard_writer_finish(writer);
}

/* Writes the shard again from its own columns, with the bytes that are sound or can be had. It replaces the old one if it is what
 * was packed, or, at last, if it has more. Where nothing was damaged and the result is still another file, the columns or HDF5's
 * own bytes are what changed, and only packing again could help. The writer is allocated: it is larger than a stack should
 * hold. */
static pb_status copy_shard(const repairer *r) {
    pb_shard_writer *writer;
    r->result->repaired = r->result->lost = 0;
    PB_TRY(pb_allocate(&writer, 1, sizeof *writer, "a shard"));
    pb_status status = fill_copy(r, writer);
    bool whole = !pb_failed(&status) && strcmp(writer->summary.sha256, summary_of(r)->sha256) == 0;
    /* A copy that repairs nothing and is not whole would only replace damage by damage. */
    if (whole || (!pb_failed(&status) && r->last && r->result->repaired > 0))
        status = pb_output_commit(&writer->output);
    r->result->whole = whole && !pb_failed(&status);
    if (!pb_failed(&status) && !whole && r->last && r->result->lost == 0) {
        pb_status other = pb_fail(PB_E_INPUT, "%s: none of its images is damaged, but it is not what was packed", r->path);
        r->report(r->context, SIZE_MAX, &other);
    }
    pb_shard_writer_free(writer);
    pb_release(&writer);
    return status;
}

/* --- the whole shard from the list ------------------------------------------------------------------------------- */

/* Entries that are bad today are left out without a word; if they were good when packed, the SHA-256 says so. */
static void leave_out(void *context, size_t list_index, const pb_status *why) {
    (void)context;
    (void)list_index;
    (void)why;
}

/* Adds a shard's place in the list unless it is there; gives the new count. */
static size_t add_place(int64_t *places, size_t count, int64_t place) {
    for (size_t i = 0; i < count; i++)
        if (places[i] == place)
            return count;
    places[count] = place;
    return count + 1;
}

/* Where in the list the shard may begin, in shards: as its nearest neighbours of the edition say, which also are in place in a
 * part of a list or after a merge; else as it is counted in its edition. It is a guess; the SHA-256 decides. A neighbour that
 * cannot be loaded or has no images says nothing, and the next one on that side is asked. Places may be below 0 or beyond the
 * list: pack_again passes these over. */
static size_t find_places(const repairer *r, size_t shard_images, int64_t places[PLACES_MAX]) {
    const pb_manifest *manifest = &r->archive->manifest;
    size_t edition = pb_manifest_edition_of(manifest, r->shard), count = 0;
    int64_t begin = edition > 0 ? (int64_t)manifest->editions[edition - 1].shards : 0;
    int64_t end = (int64_t)manifest->editions[edition].shards, shard = (int64_t)r->shard;
    for (int64_t step = -1; step <= 1; step += 2)
        for (int64_t other = shard + step; other >= begin && other < end; other += step) {
            pb_status loaded = pb_archive_load(r->archive, (size_t)other);
            const pb_shard_columns *columns = &r->archive->columns[other];
            if (pb_failed(&loaded) || columns->images == 0)
                continue;
            count = add_place(places, count, (int64_t)(columns->list_index[0] / shard_images) + shard - other);
            break;
        }
    return add_place(places, count, shard - begin);
}

/* Writes the shard that begins at a place of the list; it replaces the old one if it is the one that was packed. */
static pb_status try_place(const repairer *r, size_t place, size_t shard_images) {
    pb_shard_writer *writer;
    PB_TRY(pb_allocate(&writer, 1, sizeof *writer, "a shard"));
    pb_status status = pb_shard_build(writer, r->path, r->source, place, shard_images, leave_out, NULL);
    if (!pb_failed(&status) && strcmp(writer->summary.sha256, summary_of(r)->sha256) == 0) {
        status = pb_output_commit(&writer->output);
        r->result->whole = !pb_failed(&status);
        r->result->repaired = r->result->whole ? writer->summary.images : 0;
        r->result->lost = 0;
    }
    pb_shard_writer_free(writer);
    pb_release(&writer);
    return status;
}

/* The places in turn until one is right. Reads and decodes all images of a shard for each. */
static pb_status pack_again(const repairer *r) {
    int64_t places[PLACES_MAX];
    size_t shard_images = r->archive->manifest.editions[pb_manifest_edition_of(&r->archive->manifest, r->shard)].shard_images;
    size_t count = find_places(r, shard_images, places), shards = pb_shard_count(r->source->count, shard_images);
    for (size_t i = 0; i < count && !r->result->whole; i++)
        if (places[i] >= 0 && (size_t)places[i] < shards)
            PB_TRY(try_place(r, (size_t)places[i], shard_images));
    return pb_ok();
}

/* --- a shard ---------------------------------------------------------------------------------------------------- */

/* First image by image, which needs the fewest files; then packed again, which needs nothing of the shard; then what is left of
 * it. load: why the first way cannot be gone, PB_E_INPUT alone being damage. A shard whose columns cannot be read and that cannot
 * be packed again is lost whole, and stays as it is. */
static pb_status repair_damaged(repairer *r) {
    pb_status load = pb_archive_load(r->archive, r->shard);
    if (!pb_failed(&load))
        load = copy_shard(r);
    if (load.code != PB_E_INPUT && (pb_failed(&load) || r->result->whole))
        return load; /* the machine failed, or all is well */
    PB_TRY(pack_again(r));
    if (r->result->whole)
        return pb_ok();
    r->last = true;
    if (!pb_failed(&load))
        return copy_shard(r);
    r->report(r->context, SIZE_MAX, &load);
    r->result->lost = summary_of(r)->images;
    return pb_ok();
}

/* A missing file is PB_E_INPUT as well, and so counts as damaged. */
static pb_status repair(repairer *r) {
    char found[PB_SHA256_TEXT];
    pb_status status = pb_sha256_file(r->path, found);
    r->result->whole = !pb_failed(&status) && strcmp(found, summary_of(r)->sha256) == 0;
    if (r->result->whole || (pb_failed(&status) && status.code != PB_E_INPUT))
        return status;
    r->result->was_damaged = true;
    PB_TRY(pb_list_sort(r->source, &r->sorted)); /* not for the many shards that are sound */
    status = repair_damaged(r);
    pb_release(&r->sorted);
    return status;
}

pb_status pb_archive_repair(pb_archive *archive, size_t shard, const pb_list *source, pb_rejected report, void *context,
                            pb_repair *result_out) {
    PB_ASSERT(shard < archive->manifest.shards);
    *result_out = (pb_repair){0};
    repairer r = {
        .archive = archive, .shard = shard, .source = source, .report = report, .context = context, .result = result_out};
    PB_TRY(pb_archive_shard_path(archive, shard, r.path));
    return repair(&r);
}
