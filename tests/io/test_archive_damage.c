/* Checks that io/archive_*.c and io/manifest.c notice damage: decay of single bytes, cut files, files that are well-formed but
 * wrong. Every reading ends in the right bytes or in one line of PB_E_INPUT; verifying finds all of it. */
#include "base/random.h"
#include "io/file.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sample made;
static char shard_path[2 * ORACLE_PATH], manifest_path[2 * ORACLE_PATH];
static uint8_t *shard, *truth; /* the sound shard; all images and masks of it, end to end */
static size_t shard_size, truth_size;
static uint64_t images;
static pb_record *records;
/* Stays open, so that the strings of records live. Another file than the one that is damaged: HDF5 would go on to use what it
 * has in memory of an open file. */
static pb_archive *sound;

/* Reads everything there is and compares it with the truth. */
static pb_status read_all(pb_archive *archive, bool compare) {
    size_t at = 0;
    for (uint64_t i = 0; i < images; i++) {
        pb_record record;
        pb_span span[2];
        PB_TRY(pb_archive_record(archive, i, &record));
        PB_TRY(pb_archive_read(archive, i, 1, &span[0]));
        PB_TRY(pb_archive_read_mask(archive, i, &span[1]));
        for (int k = 0; k < 2; k++) {
            if (compare)
                cr_assert(at + span[k].size <= truth_size && memcmp(truth + at, span[k].bytes, span[k].size) == 0);
            else
                memcpy(truth + at, span[k].bytes, span[k].size);
            at += span[k].size;
        }
        if (compare) {
            cr_assert_str_eq(record.path, records[i].path);
            cr_assert_str_eq(record.group, records[i].group);
            cr_assert_str_eq(record.class, records[i].class);
            cr_assert_eq(record.split, records[i].split);
            cr_assert_eq(record.label, records[i].label);
            cr_assert_eq(record.width, records[i].width);
        } else {
            records[i] = record;
        }
    }
    cr_assert(!compare || at == truth_size);
    truth_size = at;
    return pb_ok();
}

static void make_archive(void) {
    sample_report report = {0};
    sample_make(&made, "");
    sample_assert_ok(sample_archive(&made, "sound", 100, &report));
    sample_assert_ok(sample_archive(&made, "a", 100, &report));
    snprintf(shard_path, sizeof shard_path, "%s/a/shard-00000.h5", made.folder);
    snprintf(manifest_path, sizeof manifest_path, "%s/a/manifest.json", made.folder);
    shard = oracle_read(shard_path, &shard_size);
    truth = calloc(shard_size, 1);
    sound = sample_open(&made, "sound");
    images = pb_archive_images(sound);
    records = calloc(images, sizeof *records);
    sample_assert_ok(read_all(sound, false));
}

static void remove_archive(void) {
    pb_archive_close(&sound);
    free(shard);
    free(truth);
    free(records);
    sample_remove(&made);
}

TestSuite(archive_damage, .init = make_archive, .fini = remove_archive);

static uint64_t verify(sample_report *report) {
    uint64_t damaged;
    pb_archive *archive = sample_open(&made, "a");
    memset(report, 0, sizeof *report);
    sample_assert_ok(pb_archive_verify(archive, 0, sample_reported, report, &damaged));
    cr_assert_eq((uint64_t)report->count, damaged);
    pb_archive_close(&archive);
    return damaged;
}

/* Opens and reads all; what comes back must be right. */
static pb_status read_again(void) {
    pb_archive *archive;
    PB_TRY(pb_archive_open(oracle_join(made.folder, "a"), &archive));
    pb_status status = read_all(archive, true);
    pb_archive_close(&archive);
    return status;
}

/* --- decay ------------------------------------------------------------------------------------------------------ */

static void check_flip(size_t position, uint8_t flip) {
    sample_report report;
    uint8_t original = shard[position];
    shard[position] ^= flip;
    oracle_write(shard_path, shard, shard_size);
    shard[position] = original;
    cr_assert_gt(verify(&report), 0, "byte %zu", position);
    pb_status status = read_again();
    cr_assert(status.code == PB_OK || status.code == PB_E_INPUT, "byte %zu: %s", position, status.message);
}

/* The file's beginning (superblock, root group) byte by byte, then seeded places. */
Test(archive_damage, every_flipped_byte_is_found, .timeout = 300) {
    for (size_t i = 0; i < 256; i++)
        check_flip(i, (uint8_t)(1u << i % 8));
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t random = pb_random_u32(11, PB_STREAM_TEST, 0, i);
        check_flip((random >> 8) % shard_size, (uint8_t)(random % 255 + 1));
    }
}

/* One bad byte in an image costs that image, not its neighbours in the chunk. */
Test(archive_damage, damage_names_the_image) {
    pb_span span;
    sample_assert_ok(pb_archive_read(sound, 3, 1, &span));
    uint8_t *place = memmem(shard, shard_size, span.bytes, span.size);
    cr_assert_not_null(place);
    place[span.size / 2] ^= 1;
    oracle_write(shard_path, shard, shard_size);
    sample_report report;
    cr_assert_eq(verify(&report), 2, "%s", report.text);
    cr_assert_not_null(strstr(report.text, "file: "), "%s", report.text);
    cr_assert_not_null(strstr(report.text, "3: "), "%s", report.text);
    cr_assert_not_null(strstr(report.text, "damaged: image 3 of the shard (b/grey.jpg): its CRC32C does not match"));
    pb_archive *archive = sample_open(&made, "a");
    for (uint64_t i = 0; i < images; i++) {
        pb_status status = pb_archive_read(archive, i, 1, &span);
        cr_assert_eq(status.code, i == 3 ? PB_E_INPUT : PB_OK, "%s", status.message);
    }
    sample_assert_failed(pb_archive_read(archive, 0, images, (pb_span[16]){{0}}), PB_E_INPUT, "shard-00000.h5: damaged: image 3");
    pb_archive_close(&archive);
}

Test(archive_damage, truncated_shard) {
    const size_t lengths[] = {0, 1, 8, 47, 48, 100, 512, 2048, shard_size / 2, shard_size - 1000, shard_size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        sample_report report;
        oracle_write(shard_path, shard, lengths[i]);
        cr_assert_geq(verify(&report), 2, "%zu bytes: %s", lengths[i], report.text);
        sample_assert_failed(read_again(), PB_E_INPUT, "shard-00000.h5");
    }
}

Test(archive_damage, missing_shard) {
    cr_assert_eq(unlink(shard_path), 0);
    sample_assert_failed(read_again(), PB_E_INPUT, "shard-00000.h5: the manifest lists this shard, but there is no such file");
}

Test(archive_damage, shard_that_vanishes_after_opening) {
    sample_report report = {0};
    uint64_t damaged;
    pb_archive *archive = sample_open(&made, "a");
    cr_assert_eq(unlink(shard_path), 0);
    sample_assert_ok(pb_archive_verify(archive, 0, sample_reported, &report, &damaged));
    cr_assert_eq(damaged, 2, "%s", report.text);
    cr_assert_eq(report.last, SIZE_MAX);
    pb_archive_close(&archive);
}

/* --- well-formed, but wrong ------------------------------------------------------------------------------------- */

/* A kind of h5_damage.py and what reading then says. */
static const char *const WRONG[][2] = {
    {"format", "is a patchbank-other file, not a patchbank-shard file"},
    {"format missing", "not a patchbank-shard file: attributes format and format_version are missing"},
    {"format number", "attribute format is not one text"},
    {"version newer", "version 2 of patchbank-shard is newer than this build reads (1): use a newer patchbank"},
    {"version word", "format_version is one, expected a number"},
    {"long name", "is too long"},
    {"shorter:label", "dataset label has 6 values in dimension 0, expected 7"},
    {"longer:image/crc32c", "dataset image/crc32c has 8 values in dimension 0, expected 7"},
    {"shorter:list_index", "has 6 images, the manifest says 7"},
    {"wider:width", "dataset width has not the type of that column"},
    {"two-dimensional:height", "dataset height has 2 dimensions, expected 1"},
    {"missing:mask/offset", "cannot open dataset mask/offset"},
    {"missing:path", "cannot open dataset path/bytes"},
    {"missing:image/bytes", "cannot open dataset image/bytes"},
    {"shorter:image/bytes", "impossible offsets in dataset image/offset"},
    {"longer:mask/bytes", "impossible offsets in dataset mask/offset"},
    {"longer:path/offset", "dataset path/offset has 9 values"},
    {"first:image/offset:1", "impossible offsets in dataset image/offset"},
    {"second:image/offset:1000000000", "impossible offsets in dataset image/offset"},
    {"second:path/offset:5000", "impossible offsets in dataset path/offset"},
    {"grown", "is not the shard that the manifest describes"},
    {"last:image/offset:1000000000000", "impossible offsets in dataset image/offset"},
    {"first:class/bytes:0", "string 0 of class has a zero in it"},
    {"first:split:2", "impossible values for its image 0 (a/grey.png)"},
    {"last:label:-2", "impossible values for its image 6 (d/after.png)"},
    {"last:width:0", "impossible values for its image 6"},
    {"first:height:70000", "impossible values for its image 0"},
    {"first:channels:2", "impossible values for its image 0"},
    {"first:format:3", "impossible values for its image 0"},
    {"first:label:1", "is not the shard that the manifest describes"},
    {"first:image/crc32c:1", "damaged: image 0 of the shard (a/grey.png): its CRC32C does not match"},
    {"external:label", "keeps its values outside of the file"},
    {"virtual:label", "keeps its values outside of the file"},
    {"linked:label", "cannot open dataset label"},
    {"sparse:list_index", "claims more values than a file of"},
    {"sparse:path/bytes", "claims more values than a file of"},
};

Test(archive_damage, wrong_shards_are_refused, .timeout = 120) {
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char words[3 * ORACLE_PATH];
        sample_report report;
        oracle_write(shard_path, shard, shard_size);
        snprintf(words, sizeof words, "'%s' '%s'", shard_path, WRONG[i][0]);
        free(oracle_python("tests/io/h5_damage.py", words, NULL));
        sample_assert_failed(read_again(), PB_E_INPUT, WRONG[i][1]);
        cr_assert_geq(verify(&report), 2, "%s: %s", WRONG[i][0], report.text); /* the SHA-256 and the thing itself */
    }
}

/* A record that belongs to another picture passes all checksums; only decoding tells. */
Test(archive_damage, recorded_size_is_compared) {
    char words[3 * ORACLE_PATH];
    sample_report report;
    snprintf(words, sizeof words, "'%s' 'first:width:17'", shard_path);
    free(oracle_python("tests/io/h5_damage.py", words, NULL));
    cr_assert_eq(verify(&report), 2, "%s", report.text);
    cr_assert_not_null(strstr(report.text, "\n0: a/grey.png: it decodes to 16 x 12 pixels of 1 channels, recorded are 17 x 12"),
                       "%s", report.text);
}

/* Archives from before orientation was applied have the sides as they are stored. */
Test(archive_damage, recorded_size_of_a_turned_image_may_be_the_stored_one) {
    sample turned;
    sample_report report = {0};
    char words[3 * ORACLE_PATH];
    uint64_t damaged;
    sample_make(&turned, "turned");
    sample_assert_ok(sample_archive(&turned, "t", 100, &report));
    static const char *const SIDES[] = {"first:width:12", "first:height:30", "first:height:29"};
    for (int i = 0; i < 3; i++) {
        pb_record record;
        pb_archive *archive = sample_open(&turned, "t");
        sample_assert_ok(pb_archive_record(archive, 0, &record));
        cr_assert(i > 0 || (record.width == 30 && record.height == 12));
        pb_archive_close(&archive);
        snprintf(words, sizeof words, "'%s/t/shard-00000.h5' %s", turned.folder, SIDES[i]);
        free(oracle_python("tests/io/h5_damage.py", words, NULL));
        archive = sample_open(&turned, "t");
        memset(&report, 0, sizeof report);
        sample_assert_ok(pb_archive_verify(archive, 0, sample_reported, &report, &damaged));
        cr_assert_eq(damaged, i == 1 ? 1 : 2, "%s: %s", SIDES[i], report.text); /* the SHA-256 always */
        pb_archive_close(&archive);
    }
    sample_remove(&turned);
}

/* --- the manifest ----------------------------------------------------------------------------------------------- */

/* Replaces the first `from` in the manifest by `to` and opens the archive. */
static pb_status open_edited(const char *manifest, const char *from, const char *to) {
    char *text;
    const char *place = strstr(manifest, from);
    cr_assert_not_null(place, "%s is not in the manifest", from);
    int size = asprintf(&text, "%.*s%s%s", (int)(place - manifest), manifest, to, place + strlen(from));
    oracle_write(manifest_path, text, (size_t)size);
    free(text);
    pb_archive *archive = NULL;
    pb_status status = pb_archive_open(oracle_join(made.folder, "a"), &archive);
    cr_assert_eq(archive == NULL, status.code != PB_OK);
    pb_archive_close(&archive);
    return status;
}

Test(archive_damage, manifest_is_read_strictly) {
    static const char *const EDITS[][3] = {
        {"patchbank-archive", "patchbank-bank", "not the manifest of a patchbank archive"},
        {"\"version\": 1", "\"version\": 3", "version 3 of patchbank-archive is newer than this build reads (2)"},
        {"\"version\": 1", "\"version\": 2", "Object item not found: earlier"},
        {"\"version\": 1", "\"version\": 0", "version is not a number from 1"},
        {"\"version\": 1", "\"version\": \"1\"", "version is not a number from 1"},
        {"\"version\": 1,", "", "version is not a number from 1"},
        {"\"source\"", "\"more\": 1, \"source\"", "1 object item(s) left unpacked: more"},
        {"\"source\"", "\"images\": 7, \"source\"", "not JSON: line 6: duplicate object key"},
        {"\"images\": 7", "\"images\": 8", "says 8 images in all, its shards have 7"},
        {"\"images\": 7", "\"images\": -7", "says -7 images"},
        {"\"images\": 7", "\"images\": 7.5", "Expected integer, got real"},
        {"\"shard_images\": 100", "\"shard_images\": 0", "shard_images is 0"},
        {"\"shard_images\": 100", "\"shard_images\": 99999999", "shard_images is 99999999"},
        {"\"shard_images\": 100", "\"shard_images\": 6", "shard 0: impossible counts"},
        {"\"file\": \"shard-00000.h5\"", "\"file\": \"../shard-00000.h5\"", "shard 0 is in file \"../shard-00000.h5\""},
        {"\"file\": \"shard-00000.h5\"", "\"file\": \"shard-00001.h5\"", "expected \"shard-00000.h5\""},
        {"\"train\": ", "\"train\": 1", "shard 0: impossible counts"},
        {"\"defective\": ", "\"defective\": -", "shard 0: impossible counts"},
        {"\"bytes\": ", "\"bytes\": -", "shard 0: impossible counts"},
        {"\"bytes\": ", "\"bits\": ", "shard 0: Object item not found: bytes"},
        {"\"sha256\": \"", "\"sha256\": \"g", "is not a SHA-256"},
        {"\"shards\": [", "\"shards\": 5, \"rest\": [", "left unpacked: rest"},
        {"[", "{\"a\":", "not JSON: line "},
        {"}", "", "not JSON: line "},
    };
    size_t size;
    char *manifest = (char *)oracle_read(manifest_path, &size);
    sample_assert_ok(open_edited(manifest, "list.csv", "list.csv"));
    for (size_t i = 0; i < sizeof EDITS / sizeof EDITS[0]; i++)
        sample_assert_failed(open_edited(manifest, EDITS[i][0], EDITS[i][1]), PB_E_INPUT, EDITS[i][2]);
    for (size_t cut = 0; cut + 2 < size; cut += 7) { /* without its last brace it is no JSON, wherever it ends */
        pb_archive *archive;
        oracle_write(manifest_path, manifest, cut);
        sample_assert_failed(pb_archive_open(oracle_join(made.folder, "a"), &archive), PB_E_INPUT, "manifest.json: not JSON");
    }
    free(manifest);
}

/* Two sound shards of the same archive in each other's place. */
Test(archive_damage, swapped_shards) {
    sample_report report = {0};
    sample_assert_ok(sample_archive(&made, "two", 4, &report));
    char first[2 * ORACLE_PATH], second[2 * ORACLE_PATH], spare[2 * ORACLE_PATH];
    snprintf(first, sizeof first, "%s/two/shard-00000.h5", made.folder);
    snprintf(second, sizeof second, "%s/two/shard-00001.h5", made.folder);
    snprintf(spare, sizeof spare, "%s/spare", made.folder);
    cr_assert(rename(first, spare) == 0 && rename(second, first) == 0 && rename(spare, second) == 0);
    pb_archive *archive = sample_open(&made, "two");
    pb_record record;
    sample_assert_failed(pb_archive_record(archive, 0, &record), PB_E_INPUT, "shard-00000.h5: has 2 images, the manifest says 3");
    pb_archive_close(&archive);
}
