#include "io/archive_private.h"

#include "base/memory.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>

/* Larger than any photograph, smaller than what would endanger the machine. */
enum { IMAGE_FILE_BYTES_MAX = 1 << 30 };

size_t pb_shard_count(size_t count, size_t shard_images) {
    PB_ASSERT(shard_images > 0);
    return count / shard_images + (count % shard_images != 0);
}

/* A shard under construction. */
typedef struct shard_writer {
    pb_output output;
    pb_h5 h5;
    pb_h5_ragged image, mask;
    pb_shard_columns columns;
    pb_shard_summary summary;
} shard_writer;

/* One encoded file, read and found good. */
typedef struct encoded {
    uint8_t *bytes;
    size_t size;
    pb_image facts; /* without pixels */
} encoded;

static pb_status read_encoded(const char *folder, const char *name, encoded *file) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, name, path));
    PB_TRY(pb_file_read(path, IMAGE_FILE_BYTES_MAX, &file->bytes, &file->size));
    pb_image image = {0};
    pb_status status = pb_image_decode(file->bytes, file->size, &image);
    file->facts = image;
    file->facts.pixels = NULL;
    pb_image_free(&image);
    return pb_prefix(status, path);
}

static pb_status read_mask(const pb_list *list, const pb_list_item *item, const pb_image *image, encoded *mask) {
    if (item->mask[0] == '\0')
        return pb_ok();
    PB_TRY(read_encoded(list->folder, item->mask, mask));
    if (mask->facts.width != image->width || mask->facts.height != image->height)
        return pb_fail(PB_E_INPUT, "%s: mask is %d x %d pixels, its image %s is %d x %d", item->mask, mask->facts.width,
                       mask->facts.height, item->path, image->width, image->height);
    return pb_ok();
}

static void set_columns(shard_writer *writer, size_t list_index, const pb_list_item *item, const encoded *image,
                        const encoded *mask) {
    pb_shard_columns *columns = &writer->columns;
    size_t i = columns->images++;
    columns->list_index[i] = list_index;
    columns->split[i] = (uint8_t)item->split;
    columns->label[i] = (int8_t)item->label;
    columns->width[i] = (uint32_t)image->facts.width;
    columns->height[i] = (uint32_t)image->facts.height;
    columns->channels[i] = (uint8_t)image->facts.channels;
    columns->format[i] = (uint8_t)image->facts.format;
    columns->crc32c[i] = pb_crc32c(image->bytes, image->size);
    columns->mask_crc32c[i] = pb_crc32c(mask->bytes, mask->size);
    /* lent by the list; only read through these pointers */
    columns->path[i] = (char *)(uintptr_t)item->path;
    columns->class[i] = (char *)(uintptr_t)item->class;
    columns->group[i] = (char *)(uintptr_t)item->group;
}

static pb_status take(shard_writer *writer, size_t list_index, const pb_list_item *item, const encoded *image,
                      const encoded *mask) {
    PB_TRY(pb_h5_ragged_append(&writer->image, image->bytes, image->size));
    PB_TRY(pb_h5_ragged_append(&writer->mask, mask->bytes, mask->size));
    set_columns(writer, list_index, item, image, mask);
    writer->summary.images++;
    writer->summary.bytes += image->size + mask->size;
    writer->summary.train += item->split == PB_SPLIT_TRAIN;
    writer->summary.defective += item->label == PB_LABEL_DEFECTIVE;
    return pb_ok();
}

/* Takes one entry or hands it to `rejected`: whatever is wrong with it is data, not a failure. */
static pb_status add_entry(shard_writer *writer, const pb_list *list, size_t list_index, pb_rejected rejected, void *context) {
    const pb_list_item *item = &list->items[list_index];
    encoded image = {0}, mask = {0};
    pb_status status = read_encoded(list->folder, item->path, &image);
    if (!pb_failed(&status))
        status = read_mask(list, item, &image.facts, &mask);
    if (status.code == PB_E_INPUT) {
        rejected(context, list_index, &status);
        status = pb_ok();
    } else if (!pb_failed(&status)) {
        status = take(writer, list_index, item, &image, &mask);
    }
    pb_release(&image.bytes);
    pb_release(&mask.bytes);
    return status;
}

static pb_status begin_shard(shard_writer *writer, const char *folder, size_t most) {
    char path[PB_PATH_MAX];
    PB_TRY(pb_path_join(folder, writer->summary.file, path));
    PB_TRY(pb_shard_columns_allocate(&writer->columns, most));
    PB_TRY(pb_output_begin(&writer->output, path));
    PB_TRY(pb_h5_create(&writer->h5, &writer->output));
    PB_TRY(pb_h5_write_header(&writer->h5, PB_SHARD_FORMAT, PB_SHARD_VERSION, NULL));
    PB_TRY(pb_h5_ragged_begin(&writer->image, &writer->h5, "image"));
    return pb_h5_ragged_begin(&writer->mask, &writer->h5, "mask");
}

static pb_status end_shard(shard_writer *writer) {
    PB_TRY(pb_h5_ragged_end(&writer->image));
    PB_TRY(pb_h5_ragged_end(&writer->mask));
    PB_TRY(pb_shard_columns_write(&writer->h5, &writer->columns));
    PB_TRY(pb_h5_close(&writer->h5));
    PB_TRY(pb_sha256_file(writer->output.temporary, writer->summary.sha256));
    return pb_output_commit(&writer->output);
}

static void drop_shard(shard_writer *writer) {
    pb_h5_ragged_free(&writer->image);
    pb_h5_ragged_free(&writer->mask);
    pb_shard_columns_free(&writer->columns);
    pb_status ignored = pb_h5_close(&writer->h5); /* open only after a failure, which is already told */
    (void)ignored;
    pb_output_abandon(&writer->output);
}

pb_status pb_shard_write(const char *folder, const pb_list *list, size_t shard, size_t shard_images, pb_rejected rejected,
                         void *context, pb_shard_summary *summary_out) {
    PB_ASSERT(shard_images > 0 && shard_images <= PB_SHARD_IMAGES_MAX && shard < pb_shard_count(list->count, shard_images));
    size_t first = shard * shard_images;
    size_t count = list->count - first < shard_images ? list->count - first : shard_images;
    shard_writer *writer;
    PB_TRY(pb_allocate(&writer, 1, sizeof *writer, "a shard"));
    pb_shard_file(shard, writer->summary.file);
    pb_status status = begin_shard(writer, folder, count);
    for (size_t i = first; i < first + count && !pb_failed(&status); i++)
        status = add_entry(writer, list, i, rejected, context);
    if (!pb_failed(&status))
        status = end_shard(writer);
    if (!pb_failed(&status))
        *summary_out = writer->summary;
    drop_shard(writer);
    pb_release(&writer);
    return status;
}
