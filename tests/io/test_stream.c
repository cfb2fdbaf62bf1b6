/* Checks io/stream.c and io/h5_layout.c: what a stream reads without HDF5 is what pb_archive_read reads with it, however the
 * bytes are stored; what it cannot vouch for it leaves to pb_archive_read. */
#include "io/stream.h"

#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 7 };

static sample made;
static pb_archive *archive;

static void make_archive(size_t shard_images) {
    sample_report report = {0};
    sample_make(&made, "");
    sample_assert_ok(sample_archive(&made, "a", shard_images, &report));
    archive = sample_open(&made, "a");
    cr_assert_eq(pb_archive_images(archive), IMAGES);
}

static void remove_archive(void) {
    pb_archive_close(&archive);
    sample_remove(&made);
}

/* What became of the images of a pass. */
typedef struct outcome {
    int sound, unsound, missing;
} outcome;

/* The image at position `at`, which is image `index`: sound is right, or it is left to pb_archive_read. */
static void look_at(const pb_stream *stream, size_t at, uint64_t index, pb_span span, outcome *found) {
    pb_span truth;
    if (!span.bytes) {
        found->missing++;
    } else if (!pb_stream_is_sound(stream, at, span)) {
        found->unsound++;
    } else {
        found->sound++;
        sample_assert_ok(pb_archive_read(archive, index, 1, &truth));
        cr_assert(truth.size == span.size && memcmp(truth.bytes, span.bytes, span.size) == 0, "image %zu", (size_t)index);
    }
}

/* Reads the images piece by piece; *pieces counts them. */
static outcome read_all(const uint64_t *index, size_t count, size_t count_most, size_t bytes_most, int *pieces) {
    pb_stream *stream;
    outcome found = {0};
    pb_span spans[3 * IMAGES];
    sample_assert_ok(pb_stream_open(archive, index, count, &stream));
    for (size_t at = 0, taken; at < count; at += taken, ++*pieces) {
        size_t room, sum = 0;
        uint64_t bytes;
        taken = pb_stream_plan(stream, at, count_most, bytes_most, &room);
        cr_assert(taken >= 1 && taken <= count_most && taken <= count - at && (room <= bytes_most || taken == 1));
        uint8_t *buffer = malloc(room + 1); /* exactly, so that a sanitizer sees a byte too many */
        sample_assert_ok(pb_stream_read(stream, at, taken, buffer, spans, &bytes));
        cr_assert_eq(bytes, room);
        for (size_t i = 0; i < taken; i++) {
            sum += spans[i].size;
            look_at(stream, at + i, index[at + i], spans[i], &found);
        }
        cr_assert_leq(sum, room);
        free(buffer);
    }
    pb_stream_close(&stream);
    cr_assert_null(stream);
    return found;
}

static const uint64_t IN_ORDER[IMAGES] = {0, 1, 2, 3, 4, 5, 6};

static outcome read_in_order(void) {
    int pieces = 0;
    return read_all(IN_ORDER, IMAGES, IMAGES, 1 << 20, &pieces);
}

TestSuite(stream, .fini = remove_archive);

Test(stream, every_order_in_pieces_of_every_size) {
    static const uint64_t ORDERS[][IMAGES] = {
        {0, 1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1, 0}, {0, 2, 4, 6, 1, 3, 5}, {3, 3, 3, 0, 6, 6, 1}};
    static const size_t SHARD_IMAGES[] = {1, 3, 100};
    for (size_t s = 0; s < sizeof SHARD_IMAGES / sizeof SHARD_IMAGES[0]; s++) {
        make_archive(SHARD_IMAGES[s]);
        for (size_t o = 0; o < sizeof ORDERS / sizeof ORDERS[0]; o++)
            for (size_t bytes = 1; bytes < 4096; bytes *= 2)
                for (size_t most = 1; most <= IMAGES; most++) {
                    int pieces = 0;
                    outcome found = read_all(ORDERS[o], IMAGES, most, bytes, &pieces);
                    cr_assert_eq(found.sound, IMAGES);
                    cr_assert(bytes > 1 || pieces == IMAGES);
                    cr_assert(most > 1 || pieces == IMAGES);
                }
        if (s < 2)
            remove_archive();
    }
}

Test(stream, nothing_to_read) {
    pb_stream *stream;
    make_archive(3);
    sample_assert_ok(pb_stream_open(archive, NULL, 0, &stream));
    pb_stream_close(&stream);
    pb_stream_close(&stream);
}

/* A kind of h5_storage.py, and whether the stream finds the bytes there. */
static const struct storage {
    const char *kind;
    int sound, unsound, missing;
} STORAGES[] = {
    {"contiguous", IMAGES, 0, 0}, {"plain 64", IMAGES, 0, 0},     {"plain 2000", IMAGES, 0, 0}, {"checked 7", IMAGES, 0, 0},
    {"checked 2000", IMAGES, 0, 0}, {"backwards 50", IMAGES, 0, 0}, {"deflated 64", 0, 0, IMAGES},  {"compact", 0, 0, IMAGES},
    {"user-block", 0, 0, IMAGES},
};

static void store_as(const char *kind) {
    char words[3 * ORACLE_PATH];
    pb_archive_close(&archive);
    snprintf(words, sizeof words, "'%s/a/shard-00000.h5' %s", made.folder, kind);
    free(oracle_python("tests/io/h5_storage.py", words, NULL));
    archive = sample_open(&made, "a");
}

/* pb_archive_read reads all of them, so whoever asks it next has the images in any case. */
static void all_are_in_the_archive(void) {
    pb_span spans[IMAGES];
    sample_assert_ok(pb_archive_read(archive, 0, IMAGES, spans));
}

Test(stream, every_storage) {
    make_archive(100);
    for (size_t i = 0; i < sizeof STORAGES / sizeof STORAGES[0]; i++) {
        const struct storage *expected = &STORAGES[i];
        store_as(expected->kind);
        outcome found = read_in_order();
        cr_assert(found.sound == expected->sound && found.unsound == expected->unsound && found.missing == expected->missing,
                  "%s: %d sound, %d unsound, %d missing", expected->kind, found.sound, found.unsound, found.missing);
        all_are_in_the_archive();
    }
}

/* Chunks between two others that are as far apart as a straight run would have them, but not in order: what h5_layout.c takes
 * for granted is wrong here, and the checksums tell. */
Test(stream, chunks_out_of_order_are_noticed) {
    make_archive(100);
    store_as("swapped 64");
    outcome found = read_in_order();
    cr_assert(found.unsound > 0 && found.missing == 0, "%d sound, %d unsound", found.sound, found.unsound);
    all_are_in_the_archive();
}

static void edit_shard(size_t shard, size_t cut, bool flip) {
    char path[2 * ORACLE_PATH];
    size_t size;
    pb_span span;
    snprintf(path, sizeof path, "%s/a/shard-%05zu.h5", made.folder, shard);
    uint8_t *bytes = oracle_read(path, &size);
    sample_assert_ok(pb_archive_read(archive, 3, 1, &span));
    uint8_t *place = memmem(bytes, size, span.bytes, span.size);
    cr_assert(place || !flip);
    if (flip)
        place[span.size / 2] ^= 1;
    oracle_write(path, bytes, size - cut);
    free(bytes);
}

Test(stream, a_flipped_byte_is_one_unsound_image) {
    make_archive(100);
    edit_shard(0, 0, true);
    outcome found = read_in_order();
    cr_assert(found.sound == IMAGES - 1 && found.unsound == 1);
}

/* A shard that HDF5 refuses costs its own images only. */
Test(stream, a_cut_shard_is_missing) {
    make_archive(3);
    edit_shard(0, 1, false);
    pb_archive_close(&archive);
    archive = sample_open(&made, "a");
    outcome found = read_in_order();
    cr_assert(found.sound == IMAGES - 3 && found.missing == 3);
}

Test(stream, a_file_that_shrinks_or_vanishes_after_opening) {
    char path[2 * ORACLE_PATH];
    make_archive(100);
    snprintf(path, sizeof path, "%s/a/shard-00000.h5", made.folder);
    for (int vanishes = 0; vanishes < 2; vanishes++) {
        pb_stream *stream;
        pb_span spans[IMAGES];
        size_t room;
        uint64_t bytes;
        sample_assert_ok(pb_stream_open(archive, IN_ORDER, IMAGES, &stream));
        cr_assert_eq(vanishes ? unlink(path) : truncate(path, 100), 0);
        cr_assert_eq(pb_stream_plan(stream, 0, IMAGES, 1 << 20, &room), IMAGES);
        uint8_t *buffer = malloc(room);
        sample_assert_ok(pb_stream_read(stream, 0, IMAGES, buffer, spans, &bytes));
        for (int i = 0; i < IMAGES; i++)
            cr_assert_null(spans[i].bytes);
        free(buffer);
        pb_stream_close(&stream);
        if (!vanishes) {
            remove_archive();
            make_archive(100);
            snprintf(path, sizeof path, "%s/a/shard-00000.h5", made.folder);
        }
    }
}

Test(stream, a_system_that_refuses_to_read) {
    pb_stream *stream;
    pb_span spans[IMAGES];
    size_t room;
    uint64_t bytes;
    make_archive(100);
    sample_assert_ok(pb_stream_open(archive, IN_ORDER, IMAGES, &stream));
    pb_stream_plan(stream, 0, IMAGES, 1 << 20, &room);
    uint8_t *buffer = malloc(room);
    trouble_arm("stream.read");
    sample_assert_failed(pb_stream_read(stream, 0, IMAGES, buffer, spans, &bytes), PB_E_SYSTEM, "shard-00000.h5: cannot read");
    sample_assert_ok(pb_stream_read(stream, 0, IMAGES, buffer, spans, &bytes));
    free(buffer);
    pb_stream_close(&stream);
}

/* Whatever cannot be allocated, opening fails and nothing leaks. */
Test(stream, no_memory) {
    make_archive(3);
    for (int hit = 1;; hit++) {
        char fault[32];
        pb_stream *stream;
        snprintf(fault, sizeof fault, "base.allocate@0:%d", hit);
        trouble_arm(fault);
        pb_status status = pb_stream_open(archive, IN_ORDER, IMAGES, &stream);
        trouble_arm("");
        pb_stream_close(&stream);
        if (!pb_failed(&status))
            break;
        cr_assert_eq(status.code, PB_E_SYSTEM, "%d: %s", hit, status.message);
        cr_assert_lt(hit, 100);
    }
}
