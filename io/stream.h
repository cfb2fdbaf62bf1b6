/* stream.h: the encoded bytes of many images of an archive, read in one thread while other threads go on.
 *
 * HDF5 can be used by one thread at a time only. So it is asked first, when the stream is opened, where the images lie in their
 * shards; after that the stream reads with pread(2), in large pieces and straight into the caller's buffer, and HDF5 is free for
 * whoever else needs it.
 * A stream vouches for little: an image that it cannot get, or whose checksum does not match, is one to be read again by
 * pb_archive_read, which then has the image or the reason. Nothing here is a verdict on an image.
 * Not collective. Opened and closed by the thread of the archive; planned and read by one thread at a time; pb_stream_is_sound by
 * any. The archive may be used meanwhile and must be closed last.
 * Fault point: stream.read (as io.read, of io/file.h).
 *
 * A pass over the images, position by position:
 *     count = pb_stream_plan(stream, at, most, bytes, &room);      grow the buffer to `room`
 *     pb_stream_read(stream, at, count, buffer, spans, &bytes);    here or in a thread of its own
 *     pb_stream_is_sound(stream, at + i, spans[i]);                any thread; what is not is read by pb_archive_read
 */
#ifndef PB_IO_STREAM_H
#define PB_IO_STREAM_H

#include "base/status.h"
#include "io/archive.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the images of one pass are, and the shard's file that is open. */
typedef struct pb_stream pb_stream;

/* Opens a stream of the images index[count], in that order; rising indices are read fastest. index is not kept. Memory: 24 bytes
 * an image. Errors: PB_E_SYSTEM. A damaged shard is none: its images are those that the stream cannot get. */
PB_CHECKED pb_status pb_stream_open(pb_archive *archive, const uint64_t *index, size_t count, pb_stream **stream_out);
/* Sets *stream to NULL; NULL is fine. */
void pb_stream_close(pb_stream **stream);

/* How many images from position `at` (below count) on make one piece: at least 1, at most count_most, and no more than
 * bytes_most bytes unless the first alone is longer.
 * *room: bytes of buffer that pb_stream_read needs for them. */
size_t pb_stream_plan(const pb_stream *stream, size_t at, size_t count_most, size_t bytes_most, size_t *room);

/* Reads the images at positions at .. at + count - 1, a piece as pb_stream_plan gave it, into `buffer`. spans[count]: into the
 * buffer; bytes is NULL where the image could not be had. *bytes: read from the files, gaps between images included.
 * Errors: PB_E_SYSTEM when the system refused to open or read a file that is there. */
PB_CHECKED pb_status pb_stream_read(pb_stream *stream, size_t at, size_t count, uint8_t *buffer, pb_span *spans, uint64_t *bytes);

/* Whether `span` is the image at position `at`, by its CRC32C. */
bool pb_stream_is_sound(const pb_stream *stream, size_t at, pb_span span);

#endif
