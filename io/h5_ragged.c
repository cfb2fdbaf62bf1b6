/* h5_ragged.c: ragged columns (bytes end to end, and where each item begins) and strings, which are ragged columns of text.
 *
 * While it is written a ragged column needs memory for one chunk and the offsets. The chunk is 1 MiB, of whatever items; a column
 * that never fills one is made with a chunk of just its size, so that small archives have small files. Offsets are written at the
 * end, when all are known.
 */
#include "io/h5.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* The names of a ragged column's two datasets. */
static void make_names(const char *name, char bytes_name[PB_H5_NAME_MAX], char offset_name[PB_H5_NAME_MAX]) {
    PB_ASSERT(strlen(name) + sizeof "/offset" <= PB_H5_NAME_MAX);
    snprintf(bytes_name, PB_H5_NAME_MAX, "%s/bytes", name);
    snprintf(offset_name, PB_H5_NAME_MAX, "%s/offset", name);
}

/* --- a ragged column that grows --------------------------------------------------------------------------------- */

/* Offsets there is room for at first; doubled when full. */
enum { FIRST_CAPACITY = 256 };

/* offset[0] is 0, since memory is zeroed. After a failure pb_h5_ragged_free frees what was made. */
pb_status pb_h5_ragged_begin(pb_h5_ragged *ragged, const pb_h5 *h5, const char *name) {
    *ragged = (pb_h5_ragged){.h5 = h5, .capacity = FIRST_CAPACITY};
    make_names(name, ragged->bytes_name, ragged->offset_name);
    ragged->bytes = pb_h5_vector(ragged->bytes_name, PB_H5_U8, 0);
    PB_TRY(pb_allocate(&ragged->chunk, PB_H5_CHUNK_BYTES, 1, "a chunk of a shard"));
    PB_TRY(pb_allocate(&ragged->offset, ragged->capacity, sizeof *ragged->offset, "offsets of a shard"));
    return pb_h5_create_group(h5, name);
}

/* Writes the bytes that wait; `chunk` is the chunk size of the dataset if it is not there yet. */
static pb_status flush_chunk(pb_h5_ragged *ragged, size_t chunk) {
    if (!ragged->created)
        PB_TRY(pb_h5_create_growing(ragged->h5, &ragged->bytes, chunk));
    ragged->created = true;
    PB_TRY(pb_h5_append_items(ragged->h5, &ragged->bytes, ragged->filled, ragged->chunk));
    ragged->filled = 0;
    return pb_ok();
}

/* Through the chunk, in pieces; a full one is written. */
static pb_status append_bytes(pb_h5_ragged *ragged, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        size_t room = PB_H5_CHUNK_BYTES - ragged->filled;
        size_t piece = size < room ? size : room;
        memcpy(ragged->chunk + ragged->filled, bytes, piece);
        ragged->filled += piece;
        bytes += piece;
        size -= piece;
        if (ragged->filled == PB_H5_CHUNK_BYTES)
            PB_TRY(flush_chunk(ragged, PB_H5_CHUNK_BYTES));
    }
    return pb_ok();
}

/* The offset is noted before the bytes: after a failure of these the column is given up. */
pb_status pb_h5_ragged_append(pb_h5_ragged *ragged, const void *bytes, size_t size) {
    if (ragged->items + 1 == ragged->capacity) {
        size_t doubled = 2 * ragged->capacity;
        PB_TRY(pb_resize(&ragged->offset, ragged->capacity, doubled, sizeof *ragged->offset, "offsets of a shard"));
        ragged->capacity = doubled;
    }
    ragged->offset[ragged->items + 1] = ragged->offset[ragged->items] + size;
    ragged->items++;
    return append_bytes(ragged, bytes, size);
}

/* A column of no bytes is a dataset too, of chunks of one byte, of which there are none. */
pb_status pb_h5_ragged_end(pb_h5_ragged *ragged) {
    PB_TRY(flush_chunk(ragged, ragged->filled > 0 ? ragged->filled : 1));
    pb_h5_column offset = pb_h5_vector(ragged->offset_name, PB_H5_U64, ragged->items + 1);
    return pb_h5_write(ragged->h5, &offset, ragged->offset);
}

void pb_h5_ragged_free(pb_h5_ragged *ragged) {
    pb_release(&ragged->chunk);
    pb_release(&ragged->offset);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* What was read must never fall, and must begin and end where the column does, as far as these ends were read. Then every item
 * lies within the bytes. */
static pb_status check_offsets(const pb_h5 *h5, const char *name, uint64_t items, uint64_t first, uint64_t count, uint64_t total,
                               const uint64_t *offset) {
    bool right = (first > 0 || offset[0] == 0) && (first + count < items || offset[count] == total) && offset[count] <= total;
    for (uint64_t i = 0; i < count; i++)
        right = right && offset[i] <= offset[i + 1];
    if (!right)
        return pb_fail(PB_E_INPUT, "%s: impossible offsets in dataset %s", h5->name, name);
    return pb_ok();
}

/* The number of bytes comes from the other dataset, so a file in which the two do not belong together is refused. */
pb_status pb_h5_read_offsets(const pb_h5 *h5, const char *name, uint64_t items, uint64_t first, uint64_t count,
                             uint64_t *offset) {
    PB_ASSERT(first <= items && count <= items - first);
    char bytes_name[PB_H5_NAME_MAX], offset_name[PB_H5_NAME_MAX];
    make_names(name, bytes_name, offset_name);
    pb_h5_column bytes = pb_h5_vector(bytes_name, PB_H5_U8, 0);
    pb_h5_column offsets = pb_h5_vector(offset_name, PB_H5_U64, items + 1);
    PB_TRY(pb_h5_examine(h5, &bytes));
    PB_TRY(pb_h5_read_items(h5, &offsets, PB_H5_CHECKED, first, count + 1, offset));
    return check_offsets(h5, offset_name, items, first, count, bytes.size[0], offset);
}

/* begin and end are from offsets that were checked; that they do not fit any more means that the file was replaced. */
pb_status pb_h5_read_bytes(const pb_h5 *h5, const char *name, pb_h5_check check, uint64_t begin, uint64_t end,
                           uint8_t *bytes) {
    char bytes_name[PB_H5_NAME_MAX], offset_name[PB_H5_NAME_MAX];
    make_names(name, bytes_name, offset_name);
    pb_h5_column column = pb_h5_vector(bytes_name, PB_H5_U8, 0);
    PB_TRY(pb_h5_examine(h5, &column));
    if (begin > end || end > column.size[0])
        return pb_fail(PB_E_INPUT, "%s: dataset %s has changed while it was read", h5->name, bytes_name);
    return pb_h5_read_items(h5, &column, check, begin, end - begin, bytes);
}

/* --- strings ---------------------------------------------------------------------------------------------------- */

/* What is not set is written as "". */
static const char *text_of(const char *string) { return string ? string : ""; }

/* The texts end to end, and the group with both datasets. Strings are written whole, so these are ordinary columns, deflated. */
static pb_status write_pool(const pb_h5 *h5, const char *name, char *const *strings, size_t count, uint8_t *pool,
                            uint64_t *offset) {
    for (size_t i = 0; i < count; i++)
        memcpy(pool + offset[i], text_of(strings[i]), offset[i + 1] - offset[i]);
    char bytes_name[PB_H5_NAME_MAX], offset_name[PB_H5_NAME_MAX];
    make_names(name, bytes_name, offset_name);
    pb_h5_column bytes = pb_h5_vector(bytes_name, PB_H5_U8, offset[count]);
    pb_h5_column offsets = pb_h5_vector(offset_name, PB_H5_U64, count + 1);
    PB_TRY(pb_h5_create_group(h5, name));
    PB_TRY(pb_h5_write(h5, &bytes, pool));
    return pb_h5_write(h5, &offsets, offset);
}

/* The pool is made in memory: strings are paths and names, some dozens of bytes each. */
pb_status pb_h5_write_strings(const pb_h5 *h5, const char *name, char *const *strings, size_t count) {
    uint64_t *offset = NULL;
    uint8_t *pool = NULL;
    PB_TRY(pb_allocate(&offset, count + 1, sizeof *offset, name));
    for (size_t i = 0; i < count; i++)
        offset[i + 1] = offset[i] + strlen(text_of(strings[i]));
    pb_status status = pb_allocate(&pool, offset[count], 1, name);
    if (!pb_failed(&status))
        status = write_pool(h5, name, strings, count, pool, offset);
    pb_release(&offset);
    pb_release(&pool);
    return status;
}

/* Moves the texts to the front of the block, each with a zero behind it. They were read `count` bytes further back, so that a
 * zero never falls on a text that has yet to move: before item i, i zeros have been added. A zero within a text would cut it
 * short, and is refused. */
static pb_status separate(const pb_h5 *h5, const char *name, const uint64_t *offset, uint64_t count, char **strings,
                          char *texts) {
    const char *packed = texts + count;
    for (uint64_t i = 0; i < count; i++) {
        size_t length = offset[i + 1] - offset[i];
        if (memchr(packed, '\0', length))
            return pb_fail(PB_E_INPUT, "%s: string %ju of %s has a zero in it", h5->name, (uintmax_t)i, name);
        strings[i] = texts;
        memmove(texts, packed, length);
        texts[length] = '\0';
        texts += length + 1;
        packed += length;
    }
    return pb_ok();
}

/* One block: `count` pointers, then room for the texts and their zeros. One release frees it all. */
static pb_status read_texts(const pb_h5 *h5, const char *name, const uint64_t *offset, uint64_t count, char ***strings_out) {
    uint64_t bytes = offset[count] - offset[0];
    PB_TRY(pb_allocate(strings_out, count * sizeof(char *) + count + bytes, 1, name));
    char **strings = *strings_out, *texts = (char *)(strings + count);
    PB_TRY(pb_h5_read_bytes(h5, name, PB_H5_CHECKED, offset[0], offset[count], (uint8_t *)texts + count));
    return separate(h5, name, offset, count, strings, texts);
}

pb_status pb_h5_read_strings(const pb_h5 *h5, const char *name, uint64_t items, uint64_t first, uint64_t count,
                             char ***strings_out) {
    uint64_t *offset = NULL;
    *strings_out = NULL;
    PB_TRY(pb_allocate(&offset, count + 1, sizeof *offset, name));
    pb_status status = pb_h5_read_offsets(h5, name, items, first, count, offset);
    if (!pb_failed(&status))
        status = read_texts(h5, name, offset, count, strings_out);
    if (pb_failed(&status))
        pb_release(strings_out);
    pb_release(&offset);
    return status;
}
