/* archive_resume.c: whether a shard that an earlier run has left is the one that packing would make (decision 0030: going on).
 *
 * There is no record of progress that could be wrong: the shard itself is compared. Its rows must be those of the list, entry by
 * entry; the bytes of every image and mask must have their CRC32C; and what it lacks must be bad still. That costs reading the
 * shard, where packing costs reading and decoding all its files, from wherever they lie.
 *
 * Whatever is not right is PB_E_INPUT inside of this file and no failure outside of it: the shard is then packed again.
 */
#include "io/archive_private.h"

#include "base/memory.h"

#include <string.h>
#include <unistd.h>

/* Bytes are compared with their CRC32C in blocks of about this size (16 MiB): large reads, of bounded memory. */
enum { BLOCK_BYTES = 16 << 20 };

/* A shard that an earlier run has left, and the list entries that it should have. */
typedef struct left {
    const pb_list *list;
    size_t first, end; /* of the list */
    pb_h5 h5;
    pb_shard_columns columns;
    pb_shard_summary summary;
} left;

/* Damage and doubt are no failures: the shard is packed again then. The message is seen by nobody but a debugger. */
static pb_status refuse(const left *shard, const char *why) { return pb_fail(PB_E_INPUT, "%s: %s", shard->h5.name, why); }

/* Opens the shard and reads all its columns. More images than entries cannot be of this list, and are found before memory is
 * taken for them. */
static pb_status read_columns(left *shard, const char *path) {
    pb_attributes none = {0};
    pb_h5_column index = pb_h5_vector("list_index", PB_H5_U64, 0);
    PB_TRY(pb_h5_open(&shard->h5, path));
    pb_status status = pb_h5_read_header(&shard->h5, PB_SHARD_FORMAT, PB_SHARD_VERSION, &none);
    pb_attributes_free(&none);
    if (!pb_failed(&status))
        status = pb_h5_examine(&shard->h5, &index);
    if (!pb_failed(&status) && index.size[0] > shard->end - shard->first)
        status = refuse(shard, "more images than list entries");
    return pb_failed(&status) ? status : pb_shard_columns_read(&shard->h5, (size_t)index.size[0], &shard->columns);
}

/* Whether row i of the shard is what packing the entry would say, but for what its image files say (size, channels, CRC32C):
 * these are compared with the bytes that were packed, not with files that would have to be read again. */
static bool is_row_of(const pb_shard_columns *columns, size_t i, const pb_list_item *item) {
    bool has_mask = columns->mask_offset[i + 1] > columns->mask_offset[i];
    return strcmp(columns->path[i], item->path) == 0 && strcmp(columns->class[i], item->class) == 0 &&
           strcmp(columns->group[i], item->group) == 0 && columns->split[i] == (uint8_t)item->split &&
           columns->label[i] == (int8_t)item->label && has_mask == (item->mask[0] != '\0');
}

/* Called for each entry that the shard has not. Errors: PB_E_INPUT: it should have it. */
typedef pb_status (*missing_entry)(const left *shard, size_t list_index, pb_rejected rejected, void *context);

/* What is missing must be bad still, or the shard is not what packing would make of the list now. */
static pb_status check_bad(const left *shard, size_t list_index, pb_rejected rejected, void *context) {
    pb_status status = pb_list_entry_check(shard->list, list_index);
    if (!pb_failed(&status))
        return refuse(shard, "an image that was bad is not so any more");
    if (status.code != PB_E_INPUT)
        return status;
    if (rejected)
        rejected(context, list_index, &status);
    return pb_ok();
}

/* Goes through the entries that the shard should have, and its rows beside them: both rise by the position in the list, so an
 * entry is the next row or missing. item->index, not i: entries may have been left out of the list (pb_list_leave_out). */
static pb_status match_rows(const left *shard, missing_entry missing, pb_rejected rejected, void *context) {
    const pb_shard_columns *columns = &shard->columns;
    size_t row = 0;
    for (size_t i = shard->first; i < shard->end; i++) {
        const pb_list_item *item = &shard->list->items[i];
        if (row < columns->images && columns->list_index[row] == item->index) {
            if (!is_row_of(columns, row++, item))
                return refuse(shard, "is of another list");
        } else {
            PB_TRY(missing(shard, i, rejected, context));
        }
    }
    return row == columns->images ? pb_ok() : refuse(shard, "is of another list");
}

/* Images (or masks) first .. end - 1, whose bytes follow each other. */
static pb_status check_block(const left *shard, const char *name, const uint64_t *offset, const uint32_t *crc32c, size_t first,
                             size_t end) {
    uint8_t *bytes;
    PB_TRY(pb_allocate(&bytes, offset[end] - offset[first], 1, "encoded images"));
    pb_status status = pb_h5_read_bytes(&shard->h5, name, PB_H5_CHECKED, offset[first], offset[end], bytes);
    for (size_t i = first; i < end && !pb_failed(&status); i++)
        if (pb_crc32c(bytes + (offset[i] - offset[first]), offset[i + 1] - offset[i]) != crc32c[i])
            status = refuse(shard, "an image in it is damaged");
    pb_release(&bytes);
    return status;
}

/* All images (masks), in blocks of whole images; one larger than a block is a block. */
static pb_status check_bytes(const left *shard, const char *name, const uint64_t *offset, const uint32_t *crc32c) {
    for (size_t first = 0, end; first < shard->columns.images; first = end) {
        for (end = first + 1; end < shard->columns.images && offset[end + 1] - offset[first] <= BLOCK_BYTES; end++) {
        }
        PB_TRY(check_block(shard, name, offset, crc32c, first, end));
    }
    return pb_ok();
}

/* What pb_shard_write would say of it. sha256 is of the file as it is. */
static void summarise(left *shard) {
    const pb_shard_columns *columns = &shard->columns;
    shard->summary.images = columns->images;
    shard->summary.bytes = columns->offset[columns->images] + columns->mask_offset[columns->images];
    for (size_t i = 0; i < columns->images; i++) {
        shard->summary.train += columns->split[i] == PB_SPLIT_TRAIN;
        shard->summary.defective += columns->label[i] == PB_LABEL_DEFECTIVE;
    }
}

/* The cheap checks first. Rejections are told in a second walk over the rows, which decodes the bad entries again: they are few,
 * and a shard that is packed again will tell them itself. */
static pb_status check_all(left *shard, const char *path, pb_rejected rejected, void *context) {
    PB_TRY(read_columns(shard, path));
    PB_TRY(match_rows(shard, check_bad, NULL, NULL)); /* nothing is told before it is sure that the shard stays */
    PB_TRY(check_bytes(shard, "image", shard->columns.offset, shard->columns.crc32c));
    PB_TRY(check_bytes(shard, "mask", shard->columns.mask_offset, shard->columns.mask_crc32c));
    PB_TRY(pb_sha256_file(path, shard->summary.sha256));
    summarise(shard);
    return match_rows(shard, check_bad, rejected, context);
}

/* A shard that is not there is not kept, and that is all. Everything PB_E_INPUT about one that is there means: pack it again. */
pb_status pb_shard_resume(const char *folder, size_t number, const pb_list *list, size_t shard, size_t shard_images,
                          pb_rejected rejected, void *context, pb_shard_summary *summary_out, bool *kept) {
    PB_ASSERT(shard < pb_shard_count(list->count, shard_images));
    size_t first = shard * shard_images;
    left *found; /* its h5 holds a path of 4 KiB: not on the stack */
    char path[PB_PATH_MAX];
    *kept = false;
    PB_TRY(pb_allocate(&found, 1, sizeof *found, "a shard"));
    *found = (left){.list = list, .first = first};
    found->end = list->count - first < shard_images ? list->count : first + shard_images;
    pb_shard_file(0, number, found->summary.file);
    pb_status status = pb_path_join(folder, found->summary.file, path);
    bool there = !pb_failed(&status) && access(path, F_OK) == 0;
    if (there)
        status = check_all(found, path, rejected, context);
    *kept = there && !pb_failed(&status);
    if (*kept)
        *summary_out = found->summary;
    pb_shard_columns_free(&found->columns);
    pb_status ignored = pb_h5_close(&found->h5); /* nothing was written to it */
    (void)ignored;
    pb_release(&found);
    return status.code == PB_E_INPUT && there ? pb_ok() : status;
}
