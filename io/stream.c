/* stream.c: encoded images read with pread(2), while HDF5 is free for others (decision 0023).
 *
 * When it is opened a stream asks, through the archive and HDF5, where the bytes of each image lie: a place is a stretch of its
 * shard's column of bytes, and pb_h5_layout says where such a stretch is in the file. From then on it uses nothing of the archive
 * that changes.
 *
 * Reading goes through three units. A piece is what the caller asks for, and has one buffer. It consists of ranges: images of one
 * shard that lie close enough to be read in one go. A range is read chunk by chunk of the column, since between chunks lies a
 * checksum or something of HDF5's. pb_stream_plan and pb_stream_read cut ranges by the same rule, so the room that the one names
 * is what the other fills.
 *
 * An image that cannot be had this way has no bytes (NULL), and one whose CRC32C is wrong the caller finds out; both are read
 * again through HDF5.
 */
#include "io/stream.h"

#include "base/fault.h"
#include "base/memory.h"
#include "io/archive_private.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Images that lie no further apart are read in one go: 64 KiB more cost less than another request. */
enum { GAP_BYTES = 64 << 10 };

/* While no file is open; the shard of an image that cannot be had. */
enum { NO_FILE = -1 };
#define NOWHERE UINT32_MAX

/* An image: where in its shard's column of bytes, and the CRC32C that it must have. */
typedef struct place {
    uint64_t begin, size;
    uint32_t shard; /* in stream->shards, or NOWHERE */
    uint32_t crc32c;
} place;

/* A shard that images of the stream are in. */
typedef struct shard_layout {
    size_t number; /* in the archive */
    pb_h5_layout bytes;
} shard_layout;

/* A stream. Once opened, only file and file_shard change, by the thread that reads. Memory: 24 bytes an image. */
struct pb_stream {
    const pb_archive *archive; /* only what never changes while it is open */
    size_t count;
    place *places; /* [count] */
    shard_layout *shards;
    size_t shard_count, shard_room;
    int file; /* of shard file_shard, or NO_FILE */
    uint32_t file_shard;
};

/* --- opening ---------------------------------------------------------------------------------------------------- */

/* Adds a shard that is open in the archive. Errors: PB_E_INPUT when its images cannot be had. A shard that the indices come back
 * to is added again: rising indices are the rule. */
static pb_status add_shard(pb_stream *stream, pb_archive *archive, size_t number) {
    if (stream->shard_count == stream->shard_room) {
        size_t room = 2 * stream->shard_room + 4;
        PB_TRY(pb_resize(&stream->shards, stream->shard_room, room, sizeof *stream->shards, "shards of a stream"));
        stream->shard_room = room;
    }
    shard_layout *added = &stream->shards[stream->shard_count];
    PB_TRY(pb_archive_load(archive, number));
    PB_TRY(pb_h5_locate(&archive->h5, "image/bytes", &added->bytes));
    added->number = number;
    stream->shard_count++; /* from here on freed with the stream */
    const pb_shard_columns *columns = &archive->columns[number];
    if (columns->offset[columns->images] != added->bytes.bytes)
        return pb_fail(PB_E_INPUT, "%s: has changed since its columns were read", archive->h5.name);
    return pb_ok();
}

/* The images index[at] .. of one shard; *at becomes the first of another. A shard that is damaged, or cannot be read directly,
 * makes its images NOWHERE and is no failure: what to say of them is pb_archive_read's. */
static pb_status place_images(pb_stream *stream, pb_archive *archive, const uint64_t *index, size_t *at) {
    size_t number = pb_archive_shard_of(archive, index[*at]);
    pb_status status = add_shard(stream, archive, number);
    bool there = !pb_failed(&status);
    const pb_shard_columns *columns = &archive->columns[number];
    for (; *at < stream->count && pb_archive_shard_of(archive, index[*at]) == number; ++*at) {
        size_t i = (size_t)(index[*at] - archive->first[number]);
        stream->places[*at] =
            there ? (place){columns->offset[i], columns->offset[i + 1] - columns->offset[i], (uint32_t)(stream->shard_count - 1),
                            columns->crc32c[i]}
                  : (place){.shard = NOWHERE};
    }
    return status.code == PB_E_INPUT ? pb_ok() : status;
}

/* Shard by shard, on the archive's thread: all that needs HDF5 happens here. */
pb_status pb_stream_open(pb_archive *archive, const uint64_t *index, size_t count, pb_stream **stream_out) {
    pb_stream *stream;
    *stream_out = NULL;
    PB_TRY(pb_allocate(&stream, 1, sizeof *stream, "a stream of images"));
    *stream = (pb_stream){.archive = archive, .count = count, .file = NO_FILE};
    pb_status status = pb_allocate(&stream->places, count, sizeof *stream->places, "places of images");
    for (size_t at = 0; at < count && !pb_failed(&status);)
        status = place_images(stream, archive, index, &at);
    if (pb_failed(&status))
        pb_stream_close(&stream);
    *stream_out = stream;
    return status;
}

/* One shard's file is open at a time. */
static void close_file(pb_stream *stream) {
    if (stream->file != NO_FILE)
        close(stream->file);
    stream->file = NO_FILE;
}

void pb_stream_close(pb_stream **stream_inout) {
    pb_stream *stream = *stream_inout;
    if (!stream)
        return;
    close_file(stream);
    for (size_t i = 0; i < stream->shard_count; i++)
        pb_h5_layout_free(&stream->shards[i].bytes);
    pb_release(&stream->shards);
    pb_release(&stream->places);
    pb_release(stream_inout);
}

/* --- ranges ----------------------------------------------------------------------------------------------------- */

/* Images that are read in one go: bytes begin .. end - 1 of a shard's column. */
typedef struct range {
    size_t images;
    uint64_t begin, end;
    uint32_t shard;
} range;

static range begin_range(const place *first) {
    return (range){.images = 1, .begin = first->begin, .end = first->begin + first->size, .shard = first->shard};
}

/* Whether the next image continues a range: same shard, behind it, near. All that are NOWHERE join, and are read as one: not at
 * all. */
static bool joins(const range *now, const place *next) {
    return next->shard == now->shard && next->begin >= now->end && next->begin - now->end <= GAP_BYTES;
}

static void extend(range *now, const place *next) {
    now->images++;
    now->end = next->begin + next->size;
}

/* The room is that of ranges, gaps included. The first image is always in, however long; the next one is in if what it adds still
 * fits. */
size_t pb_stream_plan(const pb_stream *stream, size_t at, size_t count_most, size_t bytes_most, size_t *room) {
    PB_ASSERT(at < stream->count && count_most > 0);
    size_t left = stream->count - at, most = left < count_most ? left : count_most, count = 1;
    range now = begin_range(&stream->places[at]);
    *room = now.end - now.begin;
    for (; count < most; count++) {
        const place *next = &stream->places[at + count];
        bool joined = joins(&now, next);
        uint64_t more = next->size + (joined ? next->begin - now.end : 0);
        if (*room > bytes_most || more > bytes_most - *room)
            break;
        *room += more;
        if (joined)
            extend(&now, next);
        else
            now = begin_range(next);
    }
    return count;
}

/* The first range of the images at positions at .. at + count - 1: cut as in pb_stream_plan, from the same beginning. */
static range range_at(const pb_stream *stream, size_t at, size_t count) {
    range now = begin_range(&stream->places[at]);
    while (now.images < count && joins(&now, &stream->places[at + now.images]))
        extend(&now, &stream->places[at + now.images]);
    return now;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Opens the file of a shard unless it is open; path: its name, for messages. *had: false when there is no such file any more,
 * which pb_archive_read will say better. */
static pb_status open_file(pb_stream *stream, uint32_t shard, char *path, bool *had) {
    *had = true;
    PB_TRY(pb_archive_shard_path(stream->archive, stream->shards[shard].number, path));
    if (stream->file != NO_FILE && stream->file_shard == shard)
        return pb_ok();
    close_file(stream);
    stream->file = open(path, O_RDONLY | O_CLOEXEC);
    stream->file_shard = shard;
    *had = stream->file >= 0;
    if (*had) /* a hint, so its failure is nothing: reading ahead then takes larger steps */
        (void)posix_fadvise(stream->file, 0, 0, POSIX_FADV_SEQUENTIAL);
    pb_status status = *had ? pb_ok() : pb_fail_errno(errno, path, "cannot open");
    return status.code == PB_E_INPUT ? pb_ok() : status;
}

/* As many bytes from `address` on as there are. *got: less than `size` at the end of the file. */
static pb_status read_at(int file, const char *path, uint64_t address, uint8_t *bytes, uint64_t size, uint64_t *got) {
    for (*got = 0; *got < size;) {
        ssize_t more = pb_fault("stream.read") ? (errno = EIO, -1)
                                               : pread(file, bytes + *got, size - *got, (off_t)(address + *got));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return pb_fail_errno(errno, path, "cannot read");
        if (more == 0)
            return pb_ok();
        *got += (uint64_t)more;
    }
    return pb_ok();
}

/* The address in the file of byte `at` of the column, and how many bytes follow there. */
static uint64_t address_of(const pb_h5_layout *layout, uint64_t at, uint64_t *follow) {
    uint64_t chunk = at / layout->chunk_bytes, inside = at % layout->chunk_bytes;
    size_t low = 0, high = layout->count; /* runs[low].first <= chunk < runs[high].first */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (layout->runs[middle].first <= chunk)
            low = middle;
        else
            high = middle;
    }
    *follow = layout->chunk_bytes - inside;
    return layout->runs[low].address + (chunk - layout->runs[low].first) * layout->stride + inside;
}

/* Reads bytes begin .. end - 1 of a shard's column. *had: whether all of them are there. */
static pb_status read_range(pb_stream *stream, const range *wanted, uint8_t *bytes, bool *had) {
    char path[PB_PATH_MAX];
    *had = wanted->shard != NOWHERE;
    if (*had)
        PB_TRY(open_file(stream, wanted->shard, path, had));
    /* As far as the chunk goes that `at` is in; what lies between two chunks is passed over. */
    for (uint64_t at = wanted->begin; at < wanted->end && *had;) {
        uint64_t follow, got, address = address_of(&stream->shards[wanted->shard].bytes, at, &follow);
        uint64_t size = wanted->end - at < follow ? wanted->end - at : follow;
        PB_TRY(read_at(stream->file, path, address, bytes + (at - wanted->begin), size, &got));
        *had = got == size;
        at += size;
    }
    return pb_ok();
}

/* Ranges end to end in the buffer, gaps between images included. Images of a range stand at their distances. */
pb_status pb_stream_read(pb_stream *stream, size_t at, size_t count, uint8_t *buffer, pb_span *spans, uint64_t *bytes) {
    PB_ASSERT(at <= stream->count && count <= stream->count - at);
    *bytes = 0;
    for (size_t done = 0; done < count;) {
        range next = range_at(stream, at + done, count - done);
        bool had;
        PB_TRY(read_range(stream, &next, buffer + *bytes, &had));
        for (size_t i = 0; i < next.images; i++) {
            const place *image = &stream->places[at + done + i];
            spans[done + i] = (pb_span){had ? buffer + *bytes + (image->begin - next.begin) : NULL, had ? image->size : 0};
        }
        *bytes += next.end - next.begin;
        done += next.images;
    }
    return pb_ok();
}

bool pb_stream_is_sound(const pb_stream *stream, size_t at, pb_span span) {
    return pb_crc32c(span.bytes, span.size) == stream->places[at].crc32c;
}
