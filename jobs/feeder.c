/* feeder.c: one reader thread, some decoder threads, and the caller's thread, between them two rings. docs/decisions/0023 says
 * why there are threads and why they use no HDF5.
 *
 * The pass is a list of images; position p belongs to batch p / batch_max and to the place p % batch_max in it, whoever decodes
 * it.
 * - The reader fills pieces: encoded bytes of consecutive images. A piece is free when all its images are decoded.
 * - A decoder takes the next position, one image at a time, and fills its place in a tray, the memory of a batch. The tray of
 *   batch k can be filled once batch k - tray_count was given back.
 * - The caller waits for the tray of the next batch to be complete, works on it and gives it back.
 *
 * One lock guards the counters that say all this; reading and decoding go on without it, in memory that the counters have given
 * to one thread alone. Positions are taken in order, so the batch that the caller waits for is always among those in the making,
 * and nothing can wait in a circle: the reader waits for decoders, decoders for the reader and the caller, the caller for
 * decoders; a piece always becomes free, because decoders with an image in hand wait for nobody. Threads end by themselves at the
 * end of the pass, or at the next image or piece when `stop` is set; only pb_feeder_end joins them. */
#include "jobs/feeder.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "io/stream.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Most images of a piece: small ones need not come in long pieces, or the first decoder waits for nothing. Also what `spans` has
 * room for. */
enum { PIECE_IMAGES = 256 };

/* Encoded images as they were read. */
typedef struct piece {
    uint8_t *bytes;
    size_t capacity;
    size_t first, count; /* positions in the pass */
    size_t left;         /* of them not yet decoded; 0: the piece can be read into */
    pb_span *spans;      /* [PIECE_IMAGES] */
    pb_status status;    /* of reading */
} piece;

/* A batch of inputs in the making. */
typedef struct tray {
    uint8_t *inputs; /* [batch_max], as all that follows */
    double (*brightness)[PB_BRIGHTNESS_STATS];
    pb_status *verdict;
    bool *unread;
    size_t done; /* images whose turn is over */
} tray;

/* Piece k of the pass is in pieces[k % piece_count], batch k in trays[k % tray_count]. What the threads share is guarded by
 * `lock`, but for the contents of a piece while it is read and of an image's place while it is decoded: these belong to the
 * thread that does it. */
struct pb_feeder {
    pb_feeder_setup setup;
    pb_stream *stream; /* planned and read by the reader alone; its checksums by all */
    piece *pieces;
    size_t piece_count; /* decoders + 2 */
    tray *trays;
    size_t tray_count; /* PB_FEEDER_BATCHES, or as many as there are batches */
    pthread_mutex_t lock;
    pthread_cond_t workable; /* for decoders: a piece was read, a tray was given back */
    pthread_cond_t room;     /* for the reader: a piece is free */
    pthread_cond_t ready;    /* for the caller: a batch is complete */
    bool stop;               /* asks the threads to end */
    size_t read;             /* pieces read so far */
    size_t taking;           /* the piece from which the next image is taken */
    size_t next;             /* its position */
    size_t handed, released; /* batches that the caller got, and gave back */
    double begun;            /* when the threads were started */
    pb_stages stages;        /* what reader and decoders did */
    pthread_t reader, *decoders;
    bool reader_runs;
    int decoders_run;
};

/* Batches of the pass; 0 for no images. */
static size_t batches_of(const pb_feeder_setup *setup) {
    return setup->count / setup->batch_max + (setup->count % setup->batch_max != 0);
}

/* Images of one batch: batch_max, but for the last. */
static size_t images_of(const pb_feeder *feeder, size_t batch) {
    size_t first = batch * feeder->setup.batch_max, left = feeder->setup.count - first;
    return left < feeder->setup.batch_max ? left : feeder->setup.batch_max;
}

/* --- the reader ------------------------------------------------------------------------------------------------- */

/* Reads the piece that begins at `first`, in memory that is nobody else's for now. A failure is kept in the piece: its images get
 * it as their verdict, each in its place, and the reader goes on. *bytes: read from the archive. */
static void read_piece(pb_feeder *feeder, piece *into, size_t first, uint64_t *bytes) {
    size_t room;
    *bytes = 0;
    into->first = first;
    into->count = pb_stream_plan(feeder->stream, first, PIECE_IMAGES, PB_FEEDER_PIECE_BYTES, &room);
    into->status = pb_ok();
    if (!into->bytes || room > into->capacity) {
        size_t capacity = room > PB_FEEDER_PIECE_BYTES ? room : PB_FEEDER_PIECE_BYTES;
        pb_release(&into->bytes);
        into->status = pb_allocate(&into->bytes, capacity, 1, "encoded images");
        into->capacity = into->bytes ? capacity : 0;
    }
    if (!pb_failed(&into->status))
        into->status = pb_stream_read(feeder->stream, first, into->count, into->bytes, into->spans, bytes);
}

/* The lock is held but while a piece is read. `first` is the reader's own; a new piece is announced to all decoders, as it has
 * work for several. */
static void *run_reader(void *context) {
    pb_feeder *feeder = context;
    pthread_mutex_lock(&feeder->lock);
    for (size_t first = 0; first < feeder->setup.count && !feeder->stop;) {
        /* Pieces are filled round the ring, so the oldest is the next: while it has images in work the reader is far enough
         * ahead. */
        piece *into = &feeder->pieces[feeder->read % feeder->piece_count];
        if (into->left > 0) {
            pthread_cond_wait(&feeder->room, &feeder->lock);
            continue;
        }
        pthread_mutex_unlock(&feeder->lock);
        uint64_t bytes;
        double begun = pb_clock_seconds();
        /* left is 0: no decoder has an image of this piece, and none will take one before `read` says that it is there. */
        read_piece(feeder, into, first, &bytes);
        double seconds = pb_clock_seconds() - begun;
        pthread_mutex_lock(&feeder->lock);
        feeder->stages.read_busy_s += seconds;
        feeder->stages.bytes += bytes;
        first += into->count;
        into->left = into->count;
        feeder->read++;
        pthread_cond_broadcast(&feeder->workable);
    }
    pthread_mutex_unlock(&feeder->lock);
    return NULL;
}

/* --- the decoders ----------------------------------------------------------------------------------------------- */

/* Fills the place of one image in its tray: an input and brightness, or why there is none. Nobody else touches this place, this
 * tray's array elements being written by one thread each. Bytes that are missing or fail their CRC32C are no verdict: the
 * caller's thread reads them again. */
static void decode(pb_feeder *feeder, const piece *from, size_t position, tray *into) {
    size_t place = position % feeder->setup.batch_max;
    pb_span span = from->spans[position - from->first];
    into->verdict[place] = from->status;
    into->unread[place] = false;
    if (pb_failed(&from->status))
        return;
    if (pb_fault("feeder.decode"))
        into->verdict[place] = pb_fail(PB_E_SYSTEM, "out of memory for a decoded image");
    else if (!span.bytes || !pb_stream_is_sound(feeder->stream, position, span))
        into->unread[place] = true;
    else
        into->verdict[place] = pb_prepare(&feeder->setup.how, span, into->inputs + place * pb_prepared_bytes(&feeder->setup.how),
                                          into->brightness[place]);
}

/* Whether the next image is read and has a tray to go to. The lock is held. */
static bool can_take(const pb_feeder *feeder) {
    return feeder->taking < feeder->read && feeder->next / feeder->setup.batch_max < feeder->released + feeder->tray_count;
}

/* Takes the next image, the lock being held. The piece stays the reader's to fill again only when all its images are finished, so
 * it may be used until finish. */
static piece *take(pb_feeder *feeder, size_t *position) {
    piece *from = &feeder->pieces[feeder->taking % feeder->piece_count];
    *position = feeder->next++;
    if (feeder->next == from->first + from->count)
        feeder->taking++;
    return from;
}

/* Notes, the lock being held, that an image's turn is over. The reader and the caller are one thread each, so a signal wakes whom
 * it is for; it may come when nobody waits, and is then not needed. */
static void finish(pb_feeder *feeder, piece *from, size_t position, double seconds) {
    size_t batch = position / feeder->setup.batch_max;
    tray *into = &feeder->trays[batch % feeder->tray_count];
    feeder->stages.decode_busy_s += seconds;
    if (--from->left == 0)
        pthread_cond_signal(&feeder->room);
    if (++into->done == images_of(feeder, batch))
        pthread_cond_signal(&feeder->ready);
}

/* The lock is held but while an image is decoded. Whoever takes the last image wakes the others when it is done: they wait for an
 * image that will not come. */
static void *run_decoder(void *context) {
    pb_feeder *feeder = context;
    pthread_mutex_lock(&feeder->lock);
    while (feeder->next < feeder->setup.count && !feeder->stop) {
        if (!can_take(feeder)) {
            pthread_cond_wait(&feeder->workable, &feeder->lock);
            continue;
        }
        size_t position;
        piece *from = take(feeder, &position);
        pthread_mutex_unlock(&feeder->lock);
        double begun = pb_clock_seconds();
        /* This place of the tray is this thread's until finish counts it; the piece cannot be read into while `left` counts
         * it. */
        decode(feeder, from, position, &feeder->trays[position / feeder->setup.batch_max % feeder->tray_count]);
        double seconds = pb_clock_seconds() - begun;
        pthread_mutex_lock(&feeder->lock);
        finish(feeder, from, position, seconds);
    }
    pthread_cond_broadcast(&feeder->workable); /* the others may wait for an image that this one took */
    pthread_mutex_unlock(&feeder->lock);
    return NULL;
}

/* --- the caller's thread ---------------------------------------------------------------------------------------- */

/* `images`: of the largest batch. The inputs are memory from which the device copies fast (pb_device_host_alloc). */
static pb_status allocate_tray(tray *made, size_t images, const pb_feeder_setup *setup) {
    PB_TRY(pb_device_host_alloc(setup->device, images * pb_prepared_bytes(&setup->how), &made->inputs, "network inputs"));
    PB_TRY(pb_allocate(&made->brightness, images, sizeof *made->brightness, "a batch"));
    PB_TRY(pb_allocate(&made->verdict, images, sizeof *made->verdict, "a batch"));
    return pb_allocate(&made->unread, images, sizeof *made->unread, "a batch");
}

/* Not more trays than batches, nor larger ones than the pass has images: a short pass costs little. Pieces: one in the hands of
 * each decoder, one that waits, one that is read. */
static pb_status allocate(pb_feeder *feeder) {
    const pb_feeder_setup *setup = &feeder->setup;
    size_t batches = batches_of(setup), trays = batches < PB_FEEDER_BATCHES ? batches : PB_FEEDER_BATCHES;
    size_t images = setup->count < setup->batch_max ? setup->count : setup->batch_max;
    PB_TRY(pb_stream_open(setup->archive, setup->index, setup->count, &feeder->stream));
    PB_TRY(pb_allocate(&feeder->decoders, (size_t)setup->decoders, sizeof *feeder->decoders, "threads"));
    PB_TRY(pb_allocate(&feeder->trays, trays, sizeof *feeder->trays, "batches"));
    for (; feeder->tray_count < trays; feeder->tray_count++)
        PB_TRY(allocate_tray(&feeder->trays[feeder->tray_count], images, setup));
    size_t pieces = (size_t)setup->decoders + 2;
    PB_TRY(pb_allocate(&feeder->pieces, pieces, sizeof *feeder->pieces, "pieces of a stream"));
    for (; feeder->piece_count < pieces; feeder->piece_count++)
        PB_TRY(pb_allocate(&feeder->pieces[feeder->piece_count].spans, PIECE_IMAGES, sizeof(pb_span), "pieces of a stream"));
    return pb_ok();
}

static pb_status start_thread(pb_feeder *feeder, pthread_t *thread, void *(*run)(void *)) {
    int error = pb_fault("feeder.start") ? EAGAIN : pthread_create(thread, NULL, run, feeder);
    return error == 0 ? pb_ok() : pb_fail(PB_E_SYSTEM, "cannot start a thread that decodes: %s", strerror(error));
}

static pb_status start(pb_feeder *feeder) {
    feeder->begun = pb_clock_seconds();
    PB_TRY(start_thread(feeder, &feeder->reader, run_reader));
    feeder->reader_runs = true;
    for (; feeder->decoders_run < feeder->setup.decoders; feeder->decoders_run++)
        PB_TRY(start_thread(feeder, &feeder->decoders[feeder->decoders_run], run_decoder));
    return pb_ok();
}

/* After a failure everything is undone by pb_feeder_end, which takes a feeder in any state. The list of images is not needed any
 * more once the stream has looked up where they lie. */
pb_status pb_feeder_begin(const pb_feeder_setup *setup, pb_feeder **feeder_out) {
    PB_ASSERT(setup->batch_max > 0 && setup->decoders > 0);
    pb_feeder *feeder;
    pb_stages unused = {0};
    *feeder_out = NULL;
    PB_TRY(pb_allocate(&feeder, 1, sizeof *feeder, "a feeder"));
    feeder->setup = *setup;
    pthread_mutex_init(&feeder->lock, NULL);
    pthread_cond_init(&feeder->workable, NULL);
    pthread_cond_init(&feeder->room, NULL);
    pthread_cond_init(&feeder->ready, NULL);
    pb_status status = allocate(feeder);
    feeder->setup.index = NULL;
    if (!pb_failed(&status))
        status = start(feeder);
    if (pb_failed(&status))
        pb_feeder_end(&feeder, &unused);
    *feeder_out = feeder;
    return status;
}

/* No batch is handed out twice and none is missed: `handed` is the caller's thread's alone. The tray is complete and cannot
 * change before it is released, so it is given out without the lock. */
void pb_feeder_next(pb_feeder *feeder, pb_fed *fed) {
    *fed = (pb_fed){0};
    pb_feeder_release(feeder);
    if (feeder->handed == batches_of(&feeder->setup))
        return;
    tray *from = &feeder->trays[feeder->handed % feeder->tray_count];
    size_t count = images_of(feeder, feeder->handed);
    pthread_mutex_lock(&feeder->lock);
    /* Every place was filled by a thread that took the lock afterwards, in finish: once `done` is seen, all of the tray is. */
    while (from->done < count)
        pthread_cond_wait(&feeder->ready, &feeder->lock);
    pthread_mutex_unlock(&feeder->lock);
    *fed = (pb_fed){feeder->handed * feeder->setup.batch_max, count, from->inputs, from->brightness, from->verdict, from->unread};
    feeder->handed++;
}

/* A tray that is given back is empty again before anybody can take an image for it, both under the lock. */
void pb_feeder_release(pb_feeder *feeder) {
    if (feeder->released == feeder->handed)
        return;
    pthread_mutex_lock(&feeder->lock);
    feeder->trays[feeder->released % feeder->tray_count].done = 0;
    feeder->released++;
    pthread_cond_broadcast(&feeder->workable);
    pthread_mutex_unlock(&feeder->lock);
}

/* Tells all threads to end and waits for it. Threads that were never started are not waited for. */
static void stop(pb_feeder *feeder) {
    pthread_mutex_lock(&feeder->lock);
    feeder->stop = true;
    pthread_cond_broadcast(&feeder->workable);
    pthread_cond_broadcast(&feeder->room);
    pthread_mutex_unlock(&feeder->lock);
    if (feeder->reader_runs)
        pthread_join(feeder->reader, NULL);
    for (int i = 0; i < feeder->decoders_run; i++)
        pthread_join(feeder->decoders[i], NULL);
}

/* By the setup's numbers and not by how far allocate came: what it did not reach is NULL. */
static void release_all(pb_feeder *feeder) {
    for (size_t i = 0; feeder->pieces && i < (size_t)feeder->setup.decoders + 2; i++) {
        pb_release(&feeder->pieces[i].bytes);
        pb_release(&feeder->pieces[i].spans);
    }
    for (size_t i = 0; feeder->trays && i < PB_FEEDER_BATCHES && i < batches_of(&feeder->setup); i++) {
        pb_device_host_release(feeder->setup.device, &feeder->trays[i].inputs);
        pb_release(&feeder->trays[i].brightness);
        pb_release(&feeder->trays[i].verdict);
        pb_release(&feeder->trays[i].unread);
    }
    pb_release(&feeder->pieces);
    pb_release(&feeder->trays);
    pb_release(&feeder->decoders);
    pb_stream_close(&feeder->stream);
}

/* Waiting times are what the threads' lifetimes leave, so a pass that was ended early counts to its end. Only after the join:
 * until then the stages are shared. */
void pb_feeder_end(pb_feeder **feeder_inout, pb_stages *stages) {
    pb_feeder *feeder = *feeder_inout;
    if (!feeder)
        return;
    stop(feeder);
    double lasted = pb_clock_seconds() - feeder->begun;
    feeder->stages.read_wait_s = lasted - feeder->stages.read_busy_s;
    feeder->stages.decode_wait_s = feeder->setup.decoders * lasted - feeder->stages.decode_busy_s;
    pb_stages_add(stages, &feeder->stages);
    release_all(feeder);
    pthread_cond_destroy(&feeder->ready);
    pthread_cond_destroy(&feeder->room);
    pthread_cond_destroy(&feeder->workable);
    pthread_mutex_destroy(&feeder->lock);
    pb_release(feeder_inout);
}
