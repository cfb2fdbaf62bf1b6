/* archive_columns.c: what a shard says of its images beside their bytes: one column a fact, one value an image. Written once, at
 * the end of a shard; read whole and checked. docs/FORMATS.md has the meaning of each.
 *
 * The columns are listed in two tables, and allocating, freeing, writing and reading are walks over these: a new column is one
 * line here and one member of pb_shard_columns. A member is found by its offset and handled as "address of any pointer"
 * (base/memory.h).
 */
#include "io/archive_private.h"

#include "base/memory.h"

#include <string.h>

/* The one list of a shard's columns of numbers: name in the file, type, size of a value, member. In the order of the file. */
typedef struct number_column {
    const char *name;
    pb_h5_type type;
    size_t item_bytes, member;
} number_column;

#define NUMBERS(name, type, member) {(name), (type), sizeof *((pb_shard_columns *)0)->member, offsetof(pb_shard_columns, member)}
static const number_column NUMBER_COLUMNS[] = {
    NUMBERS("list_index", PB_H5_U64, list_index),
    NUMBERS("split", PB_H5_U8, split),
    NUMBERS("label", PB_H5_I8, label),
    NUMBERS("width", PB_H5_U32, width),
    NUMBERS("height", PB_H5_U32, height),
    NUMBERS("channels", PB_H5_U8, channels),
    NUMBERS("format", PB_H5_U8, format),
    NUMBERS("image/crc32c", PB_H5_U32, crc32c),
    NUMBERS("mask/crc32c", PB_H5_U32, mask_crc32c),
};

/* Likewise of strings, behind the numbers. */
static const struct {
    const char *name;
    size_t member;
} STRING_COLUMNS[] = {
    {"path", offsetof(pb_shard_columns, path)},
    {"class", offsetof(pb_shard_columns, class)},
    {"group", offsetof(pb_shard_columns, group)},
};

enum {
    NUMBER_COUNT = sizeof NUMBER_COLUMNS / sizeof NUMBER_COLUMNS[0],
    STRING_COUNT = sizeof STRING_COLUMNS / sizeof STRING_COLUMNS[0]
};

/* The address of a member, to be handed on as "address of any pointer". */
static void *member_of(pb_shard_columns *columns, size_t member) { return (char *)columns + member; }

/* The array that a member holds, by memcpy: the members have different types. */
static void *array_of(const pb_shard_columns *columns, size_t member) {
    void *array;
    memcpy(&array, (const char *)columns + member, sizeof array);
    return array;
}

/* Strings that were read lie in one block with the array that points to them (pb_h5_read_strings), and strings of a writer are
 * lent, so freeing the arrays is right for both. */
void pb_shard_columns_free(pb_shard_columns *columns) {
    for (int i = 0; i < NUMBER_COUNT; i++)
        pb_release(member_of(columns, NUMBER_COLUMNS[i].member));
    for (int i = 0; i < STRING_COUNT; i++)
        pb_release(member_of(columns, STRING_COLUMNS[i].member));
    pb_release(&columns->offset);
    pb_release(&columns->mask_offset);
    columns->images = 0;
}

/* What is made before a failure is freed by pb_shard_columns_free. */
static pb_status allocate_numbers(pb_shard_columns *columns, size_t most) {
    for (int i = 0; i < NUMBER_COUNT; i++)
        PB_TRY(pb_allocate(member_of(columns, NUMBER_COLUMNS[i].member), most, NUMBER_COLUMNS[i].item_bytes, "shard columns"));
    return pb_ok();
}

static pb_status allocate_all(pb_shard_columns *columns, size_t most) {
    PB_TRY(allocate_numbers(columns, most));
    for (int i = 0; i < STRING_COUNT; i++)
        PB_TRY(pb_allocate(member_of(columns, STRING_COLUMNS[i].member), most, sizeof(char *), "shard columns"));
    return pb_ok();
}

/* For a writer: images counts what has been added, so it begins at 0. */
pb_status pb_shard_columns_allocate(pb_shard_columns *columns, size_t most) {
    *columns = (pb_shard_columns){0};
    pb_status status = allocate_all(columns, most);
    if (pb_failed(&status))
        pb_shard_columns_free(columns);
    return status;
}

/* The offsets of images and masks are not among them: pb_h5_ragged_end writes these with the bytes. */
pb_status pb_shard_columns_write(const pb_h5 *h5, const pb_shard_columns *columns) {
    for (int i = 0; i < NUMBER_COUNT; i++) {
        pb_h5_column column = pb_h5_vector(NUMBER_COLUMNS[i].name, NUMBER_COLUMNS[i].type, columns->images);
        PB_TRY(pb_h5_write(h5, &column, array_of(columns, NUMBER_COLUMNS[i].member)));
    }
    for (int i = 0; i < STRING_COUNT; i++)
        PB_TRY(pb_h5_write_strings(h5, STRING_COLUMNS[i].name, array_of(columns, STRING_COLUMNS[i].member), columns->images));
    return pb_ok();
}

static pb_status read_numbers(const pb_h5 *h5, pb_shard_columns *columns) {
    for (int i = 0; i < NUMBER_COUNT; i++) {
        pb_h5_column column = pb_h5_vector(NUMBER_COLUMNS[i].name, NUMBER_COLUMNS[i].type, columns->images);
        PB_TRY(pb_h5_read(h5, &column, array_of(columns, NUMBER_COLUMNS[i].member)));
    }
    return pb_ok();
}

/* One more than images; checked to rise from 0 to the number of bytes. */
static pb_status read_offsets(const pb_h5 *h5, const char *name, size_t images, uint64_t **offset) {
    PB_TRY(pb_allocate(offset, images + 1, sizeof **offset, "shard offsets"));
    return pb_h5_read_offsets(h5, name, images, 0, images, *offset);
}

/* Checksums guard against decay; this guards every later use against a file that was made by something else. What passes can be
 * cast to its enum and used as a size without another look. */
static pb_status check_values(const pb_h5 *h5, const pb_shard_columns *columns) {
    for (size_t i = 0; i < columns->images; i++) {
        bool right = columns->split[i] <= PB_SPLIT_TEST;
        right = right && columns->label[i] >= PB_LABEL_UNKNOWN && columns->label[i] <= PB_LABEL_DEFECTIVE;
        right = right && columns->width[i] >= 1 && columns->width[i] <= PB_IMAGE_SIDE_MAX;
        right = right && columns->height[i] >= 1 && columns->height[i] <= PB_IMAGE_SIDE_MAX;
        right = right && (columns->channels[i] == 1 || columns->channels[i] == 3);
        right = right && (columns->format[i] == PB_IMAGE_JPEG || columns->format[i] == PB_IMAGE_PNG);
        if (!right)
            return pb_fail(PB_E_INPUT, "%s: impossible values for its image %zu (%s)", h5->name, i, columns->path[i]);
    }
    return pb_ok();
}

/* Numbers, strings, offsets, in the order of the file; the values last, when there is a path for the message. */
static pb_status read_all(const pb_h5 *h5, pb_shard_columns *columns) {
    /* Before memory is taken on the word of the manifest, the file must say the same. */
    pb_h5_column index = pb_h5_vector("list_index", PB_H5_U64, 0);
    PB_TRY(pb_h5_examine(h5, &index));
    if (index.size[0] != columns->images)
        return pb_fail(PB_E_INPUT, "%s: has %ju images, the manifest says %zu", h5->name, (uintmax_t)index.size[0],
                       columns->images);
    PB_TRY(allocate_numbers(columns, columns->images));
    PB_TRY(read_numbers(h5, columns));
    for (int i = 0; i < STRING_COUNT; i++)
        PB_TRY(pb_h5_read_strings(h5, STRING_COLUMNS[i].name, columns->images, 0, columns->images,
                                  member_of(columns, STRING_COLUMNS[i].member)));
    PB_TRY(read_offsets(h5, "image", columns->images, &columns->offset));
    PB_TRY(read_offsets(h5, "mask", columns->images, &columns->mask_offset));
    return check_values(h5, columns);
}

pb_status pb_shard_columns_read(const pb_h5 *h5, size_t images, pb_shard_columns *columns_out) {
    *columns_out = (pb_shard_columns){.images = images};
    pb_status status = read_all(h5, columns_out);
    if (pb_failed(&status))
        pb_shard_columns_free(columns_out);
    return status;
}
