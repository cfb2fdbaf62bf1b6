/* feeder.h: private to jobs/: images of an archive as inputs of the network, made ahead by threads.
 *
 *   reader (1 thread) ── pieces of encoded bytes ──▶ decoders (threads) ── batches of inputs ──▶ pb_feeder_next
 *
 * Both queues are rings of fixed length, so a fast stage waits for a slow one. Batch k has the images at positions k * batch_max
 * .. of the pass, each in its place, whatever the threads do and in whichever order they end. Nothing is judged here: an image
 * that cannot be read or decoded keeps its place and says why, for the caller's thread to deal with in order.
 *
 * Memory: PB_FEEDER_BATCHES batches of inputs; decoders + 2 pieces of PB_FEEDER_PIECE_BYTES of encoded bytes, or of one image
 * that is longer; one decoded image a decoder.
 * Not collective. Used by one thread; the threads inside call neither HDF5 nor MPI and log nothing. Between begin and end the
 * archive may be used by the caller's thread.
 * Fault points: stream.read (io/stream.h), feeder.start (a thread cannot be started: EAGAIN), feeder.decode (memory is out);
 * each is PB_E_SYSTEM.
 */
#ifndef PB_JOBS_FEEDER_H
#define PB_JOBS_FEEDER_H

#include "base/status.h"
#include "gpu/ahead.h"
#include "io/archive.h"
#include "jobs/prepare.h"
#include "jobs/stages.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Batches: one at the device, one ready for it, one in the making. Bytes of a piece, which is read at once: 4 MiB, so that a read
 * is large and `decoders` + 2 of them are not (docs/decisions/0023). */
enum { PB_FEEDER_BATCHES = 3, PB_FEEDER_PIECE_BYTES = 4 << 20 };

/* A pass: which images, made into what, by how many threads. */
typedef struct pb_feeder_setup {
    pb_archive *archive;   /* borrowed */
    const uint64_t *index; /* [count] images of the pass in order; read during begin only */
    size_t count, batch_max; /* images of the pass; of a batch, at least 1 */
    pb_preparation how;      /* what an input is: size, and how it is resized */
    int decoders;      /* threads, at least 1 */
    pb_device *device; /* that inputs are copied to, from its kind of host memory; NULL: plain memory */
} pb_feeder_setup;

typedef struct pb_feeder pb_feeder;

/* A batch. Everything belongs to the feeder and is valid until pb_feeder_release; the caller may change what is in it. */
typedef struct pb_fed {
    size_t first, count; /* positions in the pass */
    uint8_t *inputs;     /* [count][pb_prepared_bytes] */
    double (*brightness)[PB_BRIGHTNESS_STATS]; /* [count] */
    pb_status *verdict;  /* [count] why there is no input: what pb_prepare says, or PB_E_SYSTEM */
    bool *unread;        /* [count] pb_stream had no sound bytes: pb_archive_read has them or the reason. The verdict is PB_OK */
} pb_fed;

/* Starts the threads. count 0: a pass without batches. Errors: PB_E_SYSTEM; no thread runs then, and *feeder_out is NULL. */
PB_CHECKED pb_status pb_feeder_begin(const pb_feeder_setup *setup, pb_feeder **feeder_out);

/* Waits for the next batch; count 0 after the last one. The one before is released. It has no failure of its own: what went wrong
 * with an image, or with the reading of it, is in the image's verdict. */
void pb_feeder_next(pb_feeder *feeder, pb_fed *fed);

/* Gives back the batch that pb_feeder_next gave, so that it can be filled again. */
void pb_feeder_release(pb_feeder *feeder);

/* Ends the threads, also in the middle of a pass: each ends its present image or piece first. Adds what they did to
 * *stages: the times of reader and decoders, and the bytes. Sets *feeder to NULL; NULL is fine. */
void pb_feeder_end(pb_feeder **feeder, pb_stages *stages);

#endif
