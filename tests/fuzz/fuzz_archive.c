/* libFuzzer on archives: a manifest and its only shard are opened, read in every way and verified.
 *
 * An input is the length of the manifest (4 bytes, little-endian), the manifest, the shard. HDF5 keeps checksums of nearly all of
 * a file, so bytes changed at random rarely get past it; the mutator therefore changes values through HDF5, which then are what
 * io/archive_columns.c has to judge. */
#include "fuzz.h"
#include "io/archive.h"
#include "io/file.h"
#include "io/h5.h"
#include "io/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 4 };

static char folder[] = "/dev/shm/patchbank-fuzz-XXXXXX", manifest_path[64], shard_path[64], spare_path[64];

static void remove_folder(void) {
    unlink(manifest_path);
    unlink(shard_path);
    unlink(spare_path);
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    PB_ASSERT(mkdtemp(folder));
    snprintf(manifest_path, sizeof manifest_path, "%s/manifest.json", folder);
    snprintf(shard_path, sizeof shard_path, "%s/shard-00000.h5", folder);
    snprintf(spare_path, sizeof spare_path, "%s/spare.h5", folder);
    atexit(remove_folder);
    pb_h5 none = {0}; /* our HDF5 layer has settings to make before the mutator uses the library */
    pb_status missing = pb_h5_open(&none, spare_path);
    PB_ASSERT(missing.code == PB_E_INPUT);
    return 0;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    PB_ASSERT(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* Where the shard begins. */
static size_t shard_of(const uint8_t *bytes, size_t size) {
    size_t length = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    return length < size - HEAD ? HEAD + length : size;
}

/* --- the target ------------------------------------------------------------------------------------------------- */

static void expect_input(pb_status status) {
    PB_ASSERT(!pb_failed(&status) || (status.code == PB_E_INPUT && !strchr(status.message, '\n')));
}

static size_t total; /* of bytes seen, so that no reading is left out by the compiler */

static void read_image(pb_archive *archive, uint64_t index) {
    pb_record record;
    pb_span span;
    pb_status status = pb_archive_record(archive, index, &record);
    expect_input(status);
    if (pb_failed(&status))
        return;
    total += strlen(record.path) + strlen(record.class) + strlen(record.group);
    status = pb_archive_read(archive, index, 1, &span);
    expect_input(status);
    for (size_t i = 0; !pb_failed(&status) && i < span.size; i++)
        total += span.bytes[i];
    status = pb_archive_read_mask(archive, index, &span);
    expect_input(status);
    for (size_t i = 0; !pb_failed(&status) && i < span.size; i++)
        total += span.bytes[i];
}

enum { STREAMED = 64 };

/* The stream's bytes, where it vouches for them, are those of pb_archive_read. */
static void compare(pb_archive *archive, const pb_stream *stream, uint64_t index, pb_span span) {
    pb_span truth;
    if (!span.bytes || !pb_stream_is_sound(stream, index, span))
        return;
    pb_status status = pb_archive_read(archive, index, 1, &truth);
    PB_ASSERT(!pb_failed(&status) && truth.size == span.size && memcmp(truth.bytes, span.bytes, span.size) == 0);
}

static void stream_images(pb_archive *archive, size_t count) {
    pb_stream *stream;
    uint64_t index[STREAMED], bytes;
    pb_span spans[STREAMED];
    for (size_t i = 0; i < count; i++)
        index[i] = i;
    pb_status status = pb_stream_open(archive, index, count, &stream);
    PB_ASSERT(!pb_failed(&status));
    for (size_t at = 0, taken; at < count; at += taken) {
        size_t room;
        taken = pb_stream_plan(stream, at, 3, 1000, &room);
        uint8_t *buffer = malloc(room + 1);
        PB_ASSERT(buffer);
        status = pb_stream_read(stream, at, taken, buffer, spans, &bytes);
        PB_ASSERT(!pb_failed(&status) && bytes == room);
        for (size_t i = 0; i < taken; i++)
            compare(archive, stream, at + i, spans[i]);
        free(buffer);
    }
    pb_stream_close(&stream);
}

static void report(void *context, size_t index, const pb_status *why) {
    (void)context, (void)index;
    expect_input(*why);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    pb_archive *archive;
    uint64_t damaged;
    if (size < HEAD)
        return 0;
    size_t shard = shard_of(bytes, size);
    write_file(manifest_path, bytes + HEAD, shard - HEAD);
    write_file(shard_path, bytes + shard, size - shard);
    pb_status status = pb_archive_open(folder, &archive);
    expect_input(status);
    if (pb_failed(&status))
        return 0;
    uint64_t images = pb_archive_images(archive);
    for (uint64_t i = 0; i < images && i < 64; i++)
        read_image(archive, i);
    stream_images(archive, images < STREAMED ? (size_t)images : STREAMED);
    pb_archive_close(&archive);
    PB_ASSERT(!pb_failed(&status));
    status = pb_archive_open(folder, &archive);
    PB_ASSERT(!pb_failed(&status));
    for (size_t i = 0; i < pb_archive_shards(archive); i++)
        expect_input(pb_archive_verify(archive, i, report, NULL, &damaged));
    pb_archive_close(&archive);
    return 0;
}

/* --- the mutator ------------------------------------------------------------------------------------------------ */

static const char *const COLUMNS[] = {
    "image/bytes", "image/offset", "image/crc32c", "mask/bytes",   "mask/offset", "mask/crc32c", "list_index",
    "split",       "label",        "width",        "height",       "channels",    "format",      "path/bytes",
    "path/offset", "class/bytes",  "class/offset", "group/bytes",  "group/offset",
};
enum { COLUMN_COUNT = sizeof COLUMNS / sizeof *COLUMNS, COLUMN_BYTES_MAX = 1 << 16 };

/* Changes values of one dataset; its size stays. */
static void change_column(hid_t file, const char *name) {
    static uint8_t values[COLUMN_BYTES_MAX];
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0)
        return;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    size_t size = (size_t)H5Sget_simple_extent_npoints(space) * H5Tget_size(type);
    if (size > 0 && size <= sizeof values && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0) {
        LLVMFuzzerMutate(values, size, size);
        H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed) {
    if (seed % 4 == 0 || size < HEAD || shard_of(bytes, size) == size)
        return LLVMFuzzerMutate(bytes, size, most);
    size_t shard = shard_of(bytes, size);
    write_file(spare_path, bytes + shard, size - shard);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(spare_path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0)
        return LLVMFuzzerMutate(bytes, size, most);
    change_column(file, COLUMNS[seed / 4 % COLUMN_COUNT]);
    H5Fclose(file);
    FILE *changed = fopen(spare_path, "rb");
    PB_ASSERT(changed);
    size_t got = fread(bytes + shard, 1, most - shard, changed);
    fclose(changed);
    return shard + got;
}
