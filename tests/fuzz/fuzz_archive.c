/* libFuzzer on archives of one or two editions: opened, read in every way, verified, looked at as they were, and appended to.
 *
 * An input is the files of FILES, each behind its length (4 bytes, little-endian; 0: it is not there). HDF5 keeps checksums of
 * nearly all of a file, so bytes changed at random rarely get past it; the mutator therefore changes values through HDF5, which
 * then are what io/archive_columns.c has to judge. Likewise it gives the second edition the SHA-256 of the first one's changed
 * manifest. */
#include "fuzz.h"
#include "io/archive.h"
#include "io/file.h"
#include "io/h5.h"
#include "io/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const FILES[] = {"manifest.json", "shard-00000.h5", "edition-000002/manifest.json",
                                    "edition-000002/shard-00001.h5",
                                    "edition-000002/shard-00000.h5"}; /* of one whose first edition has no shard */
enum { MANIFEST, SHARD, SECOND_MANIFEST, SECOND_SHARD, ONLY_SHARD, FILE_COUNT, HEAD = 4 };

enum { SHARD_IMAGES = 1 << 24 }; /* the most that a shard may have */

static char base_folder[] = "/dev/shm/patchbank-fuzz-XXXXXX";
static char folder[PB_PATH_MAX], next_folder[PB_PATH_MAX], spare_path[PB_PATH_MAX]; /* the archive; beside it, but within */

/* An input taken apart: places and sizes of the files' bytes. Files that are cut off have what there is. */
typedef struct parts {
    size_t first[FILE_COUNT], size[FILE_COUNT];
} parts;

static void must(pb_status status) { PB_ASSERT(!pb_failed(&status)); }

static void remove_folder(void) { must(pb_folder_remove(base_folder)); }

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    PB_ASSERT(mkdtemp(base_folder));
    must(pb_path_join(base_folder, "archive", folder));
    must(pb_path_join(base_folder, "next", next_folder));
    must(pb_path_join(base_folder, "spare.h5", spare_path));
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

static parts take_apart(const uint8_t *bytes, size_t size) {
    parts found = {0};
    size_t at = 0;
    for (int i = 0; i < FILE_COUNT && size - at >= HEAD; i++) {
        size_t length = 0;
        for (int byte = 0; byte < HEAD; byte++)
            length |= (size_t)bytes[at + (size_t)byte] << 8 * byte;
        at += HEAD;
        found.first[i] = at;
        found.size[i] = length < size - at ? length : size - at;
        at += found.size[i];
    }
    return found;
}

/* The archive of an input. An edition without a manifest would be none, but would be in the way of the next. */
static void write_archive(const uint8_t *bytes, size_t size) {
    parts found = take_apart(bytes, size);
    char path[PB_PATH_MAX];
    must(pb_folder_remove(folder));
    must(pb_edition_path(folder, found.size[SECOND_MANIFEST] > 0 ? 1 : 0, path));
    must(pb_folder_create(path));
    for (int i = 0; i < FILE_COUNT; i++)
        if (found.size[i] > 0 && (i < SECOND_MANIFEST || found.size[SECOND_MANIFEST] > 0)) {
            must(pb_path_join(folder, FILES[i], path));
            write_file(path, bytes + found.first[i], found.size[i]);
        }
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

/* What is said of the archive's past is so, or refused. */
static void look_back(const pb_archive *archive) {
    expect_input(pb_archive_check_editions(archive));
    for (size_t i = 0; i < pb_archive_editions(archive) && i < 8; i++) {
        pb_archive *past;
        pb_status status =
            pb_archive_open_edition(folder, pb_archive_edition(archive, i)->sha256, PB_SHARDS_MAY_BE_MISSING, &past);
        expect_input(status);
        if (pb_failed(&status))
            continue;
        PB_ASSERT(pb_archive_images(past) <= pb_archive_images(archive));
        PB_ASSERT(pb_archive_shards(past) <= pb_archive_shards(archive));
        if (pb_archive_images(past) > 0)
            read_image(past, pb_archive_images(past) - 1);
        pb_archive_close(&past);
    }
}

/* A further edition with shard 0 once more can be refused, else it is the newest, and the past is what it was. */
static void append(const pb_archive *base) {
    const size_t shards = pb_archive_shards(base), editions = pb_archive_editions(base);
    const char *sha256 = pb_archive_sha256(base);
    pb_shard_summary more;
    pb_archive *grown, *past;
    if (shards == 0)
        return;
    must(pb_folder_remove(next_folder));
    must(pb_folder_create(next_folder));
    pb_status status = pb_shard_link(base, 0, next_folder, shards, &more);
    if (!pb_failed(&status))
        status = pb_edition_publish(base, next_folder, "more \"of it\"", SHARD_IMAGES, &more, 1);
    expect_input(status);
    if (pb_failed(&status))
        return;
    must(pb_archive_open(folder, &grown));
    PB_ASSERT(pb_archive_images(grown) == pb_archive_images(base) + more.images);
    PB_ASSERT(pb_archive_shards(grown) == shards + 1 && pb_archive_editions(grown) == editions + 1);
    pb_archive_close(&grown);
    must(pb_archive_open_edition(folder, sha256, PB_SHARDS_THERE, &past));
    PB_ASSERT(pb_archive_images(past) == pb_archive_images(base) && pb_archive_shards(past) == shards);
    pb_archive_close(&past);
    must(pb_edition_point(folder));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    pb_archive *archive;
    uint64_t damaged;
    write_archive(bytes, size);
    pb_status status = pb_archive_open(folder, &archive);
    expect_input(status);
    if (pb_failed(&status))
        return 0;
    uint64_t images = pb_archive_images(archive);
    for (uint64_t i = 0; i < images && i < 64; i++)
        read_image(archive, i);
    stream_images(archive, images < STREAMED ? (size_t)images : STREAMED);
    pb_archive_close(&archive);
    must(pb_archive_open(folder, &archive));
    for (size_t i = 0; i < pb_archive_shards(archive); i++)
        expect_input(pb_archive_verify(archive, i, report, NULL, &damaged));
    look_back(archive);
    append(archive);
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

static void set_length(uint8_t *head, size_t length) {
    for (int i = 0; i < HEAD; i++)
        head[i] = (uint8_t)(length >> 8 * i);
}

/* Values of one column of a shard. Returns the input's size. */
static size_t change_shard(uint8_t *bytes, size_t size, size_t most, int which, const char *column) {
    static uint8_t behind[1 << 20];
    const parts found = take_apart(bytes, size);
    const size_t first = found.first[which], end = first + found.size[which], left = size - end;
    write_file(spare_path, bytes + first, found.size[which]);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(spare_path, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0 || left > sizeof behind)
        return LLVMFuzzerMutate(bytes, size, most);
    change_column(file, column);
    H5Fclose(file);
    memcpy(behind, bytes + end, left);
    FILE *changed = fopen(spare_path, "rb");
    PB_ASSERT(changed);
    size_t got = fread(bytes + first, 1, most - first, changed);
    fclose(changed);
    set_length(bytes + first - HEAD, got);
    size_t kept = left < most - first - got ? left : most - first - got;
    memcpy(bytes + first + got, behind, kept);
    return first + got + kept;
}

/* Changes a manifest where it is, and has the second edition, where there is one, follow the first: it names its SHA-256 last. */
static size_t change_manifest(uint8_t *bytes, size_t size, int which) {
    static const char KEY[] = "\"sha256\": \"";
    const parts found = take_apart(bytes, size);
    const size_t first = found.first[SECOND_MANIFEST], length = found.size[SECOND_MANIFEST];
    char sha256[PB_SHA256_TEXT];
    LLVMFuzzerMutate(bytes + found.first[which], found.size[which], found.size[which]);
    pb_sha256(bytes + found.first[MANIFEST], found.size[MANIFEST], sha256);
    for (size_t at = first + length; length > 0 && at-- > first;)
        if (first + length - at >= sizeof KEY + PB_SHA256_TEXT && memcmp(bytes + at, KEY, sizeof KEY - 1) == 0) {
            memcpy(bytes + at + sizeof KEY - 1, sha256, PB_SHA256_TEXT - 1);
            break;
        }
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed) {
    const parts found = take_apart(bytes, size);
    const int edition = seed / 4 % 2 ? SECOND_MANIFEST : MANIFEST, shard = edition + SHARD - MANIFEST;
    if (seed % 4 == 1 && found.size[edition] > 0)
        return change_manifest(bytes, size, edition);
    if (seed % 4 > 1 && found.size[shard] > 0)
        return change_shard(bytes, size, most, shard, COLUMNS[seed / 8 % COLUMN_COUNT]);
    return LLVMFuzzerMutate(bytes, size, most);
}
