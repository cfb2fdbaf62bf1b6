/* archive_write.c: a shard from entries of a list: read the files, decode them to know that they can be decoded, put their bytes
 * and facts down.
 *
 * A shard is made under a temporary name by a writer (pb_shard_writer), which archive_repair.c fills too, from another source. It
 * is the same bytes whoever makes it (invariant 3): entries in the order of the list, bytes end to end, no time or host, and
 * HDF5's format pinned (io/h5.h). An image costs its file's size in memory, and decoded pixels only while it is checked.
 *
 * What is wrong with an image or its mask (PB_E_INPUT) leaves out the entry and goes to the caller's `rejected` (invariant 7);
 * what is wrong with the machine ends the shard, and its file goes.
 */
#include "io/archive_private.h"

#include "base/memory.h"
#include "base/stop.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>

size_t pb_shard_count(size_t count, size_t shard_images) {
    PB_ASSERT(shard_images > 0);
    return count / shard_images + (count % shard_images != 0);
}

/* One encoded file, read and found good. bytes: owned. */
typedef struct encoded {
    uint8_t *bytes;
    size_t size;
    pb_image facts; /* without pixels */
} encoded;

/* Reads a file of the list's folder and decodes it once, whole: a file that is only damaged at its end would otherwise be found
 * when a job of hours reaches it. The pixels are dropped; decoding for the network is another matter (io/resize.h). */
static pb_status read_encoded(const char *folder, const char *name, encoded *file) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, name, path));
    PB_TRY(pb_file_read(path, PB_IMAGE_FILE_BYTES_MAX, &file->bytes, &file->size));
    pb_image image = {0};
    pb_status status = pb_image_decode(file->bytes, file->size, &image);
    file->facts = image;
    file->facts.pixels = NULL;
    pb_image_free(&image);
    return pb_prefix(status, path);
}

/* A mask of another size cannot be laid over its image. An entry without one is fine, and leaves *mask empty. */
static pb_status read_mask(const pb_list *list, const pb_list_item *item, const pb_image *image, encoded *mask) {
    if (item->mask[0] == '\0')
        return pb_ok();
    PB_TRY(read_encoded(list->folder, item->mask, mask));
    if (mask->facts.width != image->width || mask->facts.height != image->height)
        return pb_fail(PB_E_INPUT, "%s: mask is %d x %d pixels, its image %s is %d x %d", item->mask, mask->facts.width,
                       mask->facts.height, item->path, image->width, image->height);
    return pb_ok();
}

/* What the columns say of an entry. The strings are lent by the list. No mask is CRC32C 0, that of no bytes. */
static pb_shard_row row_of(const pb_list_item *item, const encoded *image, const encoded *mask) {
    return (pb_shard_row){.list_index = item->index,
                          .split = (uint8_t)item->split,
                          .label = (int8_t)item->label,
                          .width = (uint32_t)image->facts.width,
                          .height = (uint32_t)image->facts.height,
                          .channels = (uint8_t)image->facts.channels,
                          .format = (uint8_t)image->facts.format,
                          .crc32c = pb_crc32c(image->bytes, image->size),
                          .mask_crc32c = pb_crc32c(mask->bytes, mask->size),
                          .path = item->path,
                          .class = item->class,
                          .group = item->group};
}

/* Adds the row. The arrays have room for all entries of the shard. */
static void set_columns(pb_shard_columns *columns, const pb_shard_row *row) {
    size_t i = columns->images++;
    columns->list_index[i] = row->list_index;
    columns->split[i] = row->split;
    columns->label[i] = row->label;
    columns->width[i] = row->width;
    columns->height[i] = row->height;
    columns->channels[i] = row->channels;
    columns->format[i] = row->format;
    columns->crc32c[i] = row->crc32c;
    columns->mask_crc32c[i] = row->mask_crc32c;
    /* only read through these pointers */
    columns->path[i] = (char *)(uintptr_t)row->path;
    columns->class[i] = (char *)(uintptr_t)row->class;
    columns->group[i] = (char *)(uintptr_t)row->group;
}

/* Bytes first: if they cannot be written the shard is given up, rows and all. */
pb_status pb_shard_writer_add(pb_shard_writer *writer, const pb_shard_row *row, pb_span image, pb_span mask) {
    PB_TRY(pb_h5_ragged_append(&writer->image, image.bytes, image.size));
    PB_TRY(pb_h5_ragged_append(&writer->mask, mask.bytes, mask.size));
    set_columns(&writer->columns, row);
    writer->summary.images++;
    writer->summary.bytes += image.size + mask.size;
    writer->summary.train += row->split == PB_SPLIT_TRAIN;
    writer->summary.defective += row->label == PB_LABEL_DEFECTIVE;
    return pb_ok();
}

/* Image and mask of an entry, each owned by the caller even after a failure. */
static pb_status read_entry(const pb_list *list, size_t list_index, encoded *image, encoded *mask) {
    const pb_list_item *item = &list->items[list_index];
    PB_TRY(read_encoded(list->folder, item->path, image));
    return read_mask(list, item, &image->facts, mask);
}

/* The same reading as when packing, so that an entry is judged the same by both. */
pb_status pb_list_entry_check(const pb_list *list, size_t list_index) {
    encoded image = {0}, mask = {0};
    pb_status status = read_entry(list, list_index, &image, &mask);
    pb_release(&image.bytes);
    pb_release(&mask.bytes);
    return status;
}

/* Takes one entry or hands it to `rejected`: whatever is wrong with it is data, not a failure. */
static pb_status add_entry(pb_shard_writer *writer, const pb_list *list, size_t list_index, pb_rejected rejected, void *context) {
    encoded image = {0}, mask = {0};
    pb_status status = read_entry(list, list_index, &image, &mask);
    if (status.code == PB_E_INPUT) {
        rejected(context, list_index, &status);
        status = pb_ok();
    } else if (!pb_failed(&status)) {
        pb_shard_row row = row_of(&list->items[list_index], &image, &mask);
        status = pb_shard_writer_add(writer, &row, (pb_span){image.bytes, image.size}, (pb_span){mask.bytes, mask.size});
    }
    pb_release(&image.bytes);
    pb_release(&mask.bytes);
    return status;
}

/* After a failure pb_shard_writer_free takes everything back. */
pb_status pb_shard_writer_begin(pb_shard_writer *writer, const char *path, size_t most) {
    PB_TRY(pb_shard_columns_allocate(&writer->columns, most));
    PB_TRY(pb_output_begin(&writer->output, path));
    PB_TRY(pb_h5_create(&writer->h5, &writer->output));
    PB_TRY(pb_h5_write_header(&writer->h5, PB_SHARD_FORMAT, PB_SHARD_VERSION, NULL));
    PB_TRY(pb_h5_ragged_begin(&writer->image, &writer->h5, "image"));
    return pb_h5_ragged_begin(&writer->mask, &writer->h5, "mask");
}

/* The columns can be written only now: how many images there are depends on how many were bad. SHA-256 is of the closed file,
 * read again from the temporary name: what the system has is what is vouched for. */
pb_status pb_shard_writer_finish(pb_shard_writer *writer) {
    PB_TRY(pb_h5_ragged_end(&writer->image));
    PB_TRY(pb_h5_ragged_end(&writer->mask));
    PB_TRY(pb_shard_columns_write(&writer->h5, &writer->columns));
    PB_TRY(pb_h5_close(&writer->h5));
    return pb_sha256_file(writer->output.temporary, writer->summary.sha256);
}

void pb_shard_writer_free(pb_shard_writer *writer) {
    pb_h5_ragged_free(&writer->image);
    pb_h5_ragged_free(&writer->mask);
    pb_shard_columns_free(&writer->columns);
    pb_status ignored = pb_h5_close(&writer->h5); /* open only after a failure, which is already told */
    (void)ignored;
    pb_output_abandon(&writer->output);
}

/* Shards are cut by position in the list, bad entries included, so that which shard has an image does not depend on others. */
pb_status pb_shard_build(pb_shard_writer *writer, const char *path, const pb_list *list, size_t shard, size_t shard_images,
                         pb_rejected rejected, void *context) {
    PB_ASSERT(shard_images > 0 && shard_images <= PB_SHARD_IMAGES_MAX && shard < pb_shard_count(list->count, shard_images));
    size_t first = shard * shard_images;
    size_t count = list->count - first < shard_images ? list->count - first : shard_images;
    PB_TRY(pb_shard_writer_begin(writer, path, count));
    for (size_t i = first; i < first + count; i++) {
        PB_TRY(pb_stop_check()); /* a shard of large images takes minutes */
        PB_TRY(add_entry(writer, list, i, rejected, context));
    }
    return pb_shard_writer_finish(writer);
}

/* The summary is handed out only with the file under its name. */
pb_status pb_shard_write(const char *folder, size_t number, const pb_list *list, size_t shard, size_t shard_images,
                         pb_rejected rejected, void *context, pb_shard_summary *summary_out) {
    pb_shard_writer *writer;
    char path[PB_PATH_MAX];
    PB_TRY(pb_allocate(&writer, 1, sizeof *writer, "a shard"));
    pb_shard_file(0, number, writer->summary.file);
    pb_status status = pb_path_join(folder, writer->summary.file, path);
    if (!pb_failed(&status))
        status = pb_shard_build(writer, path, list, shard, shard_images, rejected, context);
    if (!pb_failed(&status))
        status = pb_output_commit(&writer->output);
    if (!pb_failed(&status))
        *summary_out = writer->summary;
    pb_shard_writer_free(writer);
    pb_release(&writer);
    return status;
}
