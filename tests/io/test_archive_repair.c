/* Checks io/archive_repair.c: whatever is damaged, with its source an archive becomes the same bytes again; without, nothing is
 * made up. */
#include "io/file.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sample made;
static char shard_path[2 * ORACLE_PATH];
static uint8_t *shard; /* as it was packed */
static size_t shard_size;

static void make_archive(void) {
    sample_report report = {0};
    sample_make(&made, "");
    sample_assert_ok(sample_archive(&made, "a", 100, &report));
    snprintf(shard_path, sizeof shard_path, "%s/a/shard-00000.h5", made.folder);
    shard = oracle_read(shard_path, &shard_size);
}

static void remove_archive(void) {
    trouble_arm("");
    free(shard);
    sample_remove(&made);
}

TestSuite(archive_repair, .init = make_archive, .fini = remove_archive);

static pb_status repair_shard(const char *name, size_t number, const pb_list *source, pb_repair *result, sample_report *lost) {
    pb_archive *archive;
    memset(lost, 0, sizeof *lost);
    sample_assert_ok(pb_archive_open_edition(oracle_join(made.folder, name), NULL, PB_SHARDS_MAY_BE_MISSING, &archive));
    pb_status status = pb_archive_repair(archive, number, source, sample_reported, lost, result);
    pb_archive_close(&archive);
    return status;
}

static void assert_is_as_packed(const char *what) {
    size_t size;
    uint8_t *now = oracle_read(shard_path, &size);
    cr_assert(size == shard_size && memcmp(now, shard, size) == 0, "%s", what);
    free(now);
}

/* Damages are found, repaired, and nothing is left behind. */
static void assert_repairs(const char *what) {
    pb_repair result;
    sample_report lost;
    sample_assert_ok(repair_shard("a", 0, &made.list, &result, &lost));
    cr_assert(result.was_damaged && result.whole && result.lost == 0, "%s", what);
    cr_assert_eq(lost.count, 0, "%s: %s", what, lost.text);
    assert_is_as_packed(what);
    char *names = trouble_names(oracle_join(made.folder, "a"));
    cr_assert_str_eq(names, "manifest.json shard-00000.h5 ");
    free(names);
}

Test(archive_repair, a_sound_shard_is_left_alone) {
    pb_repair result;
    sample_report lost;
    sample_assert_ok(repair_shard("a", 0, &made.list, &result, &lost));
    cr_assert(!result.was_damaged && result.whole && result.repaired == 0 && result.lost == 0);
}

/* A flipped bit or a cut anywhere, and no file at all. */
Test(archive_repair, any_damage, .timeout = 120) {
    char what[64];
    for (size_t at = 3; at < shard_size; at += shard_size / 97) {
        uint8_t *damaged = malloc(shard_size);
        memcpy(damaged, shard, shard_size);
        damaged[at] ^= 0x10;
        oracle_write(shard_path, damaged, shard_size);
        free(damaged);
        snprintf(what, sizeof what, "byte %zu", at);
        assert_repairs(what);
    }
    for (size_t size = 0; size < shard_size; size += shard_size / 7) {
        oracle_write(shard_path, shard, size);
        snprintf(what, sizeof what, "cut to %zu", size);
        assert_repairs(what);
    }
    cr_assert_eq(unlink(shard_path), 0);
    assert_repairs("missing");
}

/* Columns that are wrong and have right checksums: image by image it could not be told. */
Test(archive_repair, columns_of_another_hand) {
    static const char *const KINDS[] = {"first:width:17",       "first:label:1", "first:split:2", "first:image/crc32c:1",
                                        "longer:class/bytes", "grown",         "sparse:path/bytes"};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char words[3 * ORACLE_PATH];
        snprintf(words, sizeof words, "'%s' '%s'", shard_path, KINDS[i]);
        free(oracle_python("tests/io/h5_damage.py", words, NULL));
        assert_repairs(KINDS[i]);
    }
}

/* --- what cannot be had ------------------------------------------------------------------------------------------ */

/* Flips a byte in the middle of the encoded image `index` of the sound shard, where its bytes are found in the file. */
static void damage_image(uint8_t *bytes, uint64_t index) {
    pb_archive *archive = sample_open(&made, "a");
    pb_span span;
    sample_assert_ok(pb_archive_read(archive, index, 1, &span));
    uint8_t *place = memmem(bytes, shard_size, span.bytes, span.size);
    cr_assert_not_null(place);
    place[span.size / 2] ^= 1;
    pb_archive_close(&archive);
}

static void path_of(uint64_t index, char path[3 * ORACLE_PATH]) {
    pb_archive *archive = sample_open(&made, "a");
    pb_record record;
    sample_assert_ok(pb_archive_record(archive, index, &record));
    snprintf(path, 3 * ORACLE_PATH, "%s/images/%s", made.folder, record.path);
    pb_archive_close(&archive);
}

/* Two are damaged, and of one the source is another image now: it stays as it is, the other comes back. */
Test(archive_repair, only_the_same_bytes_are_taken) {
    enum { GOOD = 1, BAD = 4 };
    char path[3 * ORACLE_PATH];
    uint8_t *damaged = malloc(shard_size);
    pb_repair result;
    sample_report lost, found = {0};
    size_t size;
    uint64_t count;
    memcpy(damaged, shard, shard_size);
    damage_image(damaged, GOOD);
    damage_image(damaged, BAD);
    path_of(BAD, path);
    uint8_t *source = oracle_read(path, &size);
    source[size - 1] ^= 1;
    oracle_write(path, source, size);
    oracle_write(shard_path, damaged, shard_size);
    sample_assert_ok(repair_shard("a", 0, &made.list, &result, &lost));
    cr_assert(result.was_damaged && !result.whole && result.repaired == 1 && result.lost == 1);
    cr_assert_eq(lost.last, BAD);
    cr_assert_not_null(strstr(lost.text, ": is not what was packed: "), "%s", lost.text);
    pb_archive *archive = sample_open(&made, "a");
    sample_assert_ok(pb_archive_verify(archive, 0, sample_reported, &found, &count));
    cr_assert_eq(count, 2, "%s", found.text); /* the SHA-256 and the lost one */
    cr_assert_eq(found.last, BAD);
    pb_archive_close(&archive);
    sample_assert_ok(repair_shard("a", 0, &made.list, &result, &lost)); /* again: nothing more */
    cr_assert(!result.whole && result.repaired == 0 && result.lost == 1);
    source[size - 1] ^= 1;
    oracle_write(path, source, size);
    assert_repairs("the source is back");
    free(source);
    free(damaged);
}

Test(archive_repair, a_list_without_the_image) {
    static const char OTHER[] = "path,split,label\nelsewhere.png,train,0\n";
    uint8_t *damaged = malloc(shard_size);
    pb_repair result;
    sample_report lost;
    pb_list other;
    size_t size;
    sample_assert_ok(pb_list_parse("images/other.csv", OTHER, sizeof OTHER - 1, &other));
    memcpy(damaged, shard, shard_size);
    damage_image(damaged, 2);
    oracle_write(shard_path, damaged, shard_size);
    sample_assert_ok(repair_shard("a", 0, &other, &result, &lost));
    cr_assert(!result.whole && result.repaired == 0 && result.lost == 1);
    cr_assert_not_null(strstr(lost.text, ": is not in the source"), "%s", lost.text);
    uint8_t *now = oracle_read(shard_path, &size);
    cr_assert(size == shard_size && memcmp(now, damaged, size) == 0);
    free(now);
    free(damaged);
    cr_assert_eq(unlink(shard_path), 0);
    sample_assert_ok(repair_shard("a", 0, &other, &result, &lost));
    cr_assert(!result.whole && result.lost == 7);
    cr_assert_eq(access(shard_path, F_OK), -1);
    pb_list_free(&other);
}

/* --- where a shard begins in its list ---------------------------------------------------------------------------- */

/* The last shards of a list as an archive of their own, as a part is: their neighbours say where they are. */
Test(archive_repair, missing_shards_of_a_part) {
    enum { PER_SHARD = 3, FIRST = 1, SHARDS = 3 };
    pb_shard_summary summaries[SHARDS];
    sample_report report = {0}, lost;
    char path[3 * ORACLE_PATH], name[64], sha256[PB_SHA256_TEXT];
    pb_repair result;
    sample_assert_ok(pb_folder_create(oracle_join(made.folder, "part")));
    for (size_t i = 0; i < SHARDS; i++)
        sample_assert_ok(pb_shard_write(oracle_join(made.folder, "part"), i, &made.list, FIRST + i, PER_SHARD, sample_reported,
                                        &report, &summaries[i]));
    sample_assert_ok(pb_manifest_write(oracle_join(made.folder, "part"), "list", PER_SHARD, summaries, SHARDS));
    for (size_t i = 0; i < SHARDS; i++) {
        snprintf(name, sizeof name, "part/shard-0000%zu.h5", i);
        snprintf(path, sizeof path, "%s", oracle_join(made.folder, name));
        cr_assert_eq(unlink(path), 0);
        sample_assert_ok(repair_shard("part", i, &made.list, &result, &lost));
        cr_assert(result.whole, "%zu: %s", i, lost.text);
        sample_assert_ok(pb_sha256_file(path, sha256));
        cr_assert_str_eq(sha256, summaries[i].sha256);
    }
}

/* Of a later edition the list begins anew. */
Test(archive_repair, a_missing_shard_of_a_later_edition) {
    pb_shard_summary summaries[2];
    sample_report report = {0}, lost;
    pb_archive *base = sample_open(&made, "a");
    char folder[PB_PATH_MAX], path[3 * ORACLE_PATH];
    pb_repair result;
    snprintf(folder, sizeof folder, "%s/a/making", made.folder);
    sample_assert_ok(pb_folder_create(folder));
    for (size_t i = 0; i < 2; i++)
        sample_assert_ok(
            pb_shard_write(folder, 1 + i, &made.list, i, 6, sample_reported, &report, &summaries[i]));
    sample_assert_ok(pb_edition_publish(base, folder, "more.csv", 6, summaries, 2));
    pb_archive_close(&base);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/a/edition-000002/shard-0000%zu.h5", made.folder, 1 + i);
        cr_assert_eq(unlink(path), 0);
    }
    for (size_t i = 0; i < 2; i++) { /* both are gone: no neighbour says anything */
        sample_assert_ok(repair_shard("a", 1 + i, &made.list, &result, &lost));
        cr_assert(result.whole, "%zu: %s", i, lost.text);
    }
}

/* --- a failing machine ------------------------------------------------------------------------------------------- */

Test(archive_repair, a_failing_machine_changes_nothing) {
    static const char *const FAULTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    uint8_t *damaged = malloc(shard_size);
    memcpy(damaged, shard, shard_size);
    damage_image(damaged, 3);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        pb_repair result;
        sample_report lost;
        size_t size;
        oracle_write(shard_path, damaged, shard_size);
        trouble_arm(FAULTS[i]);
        sample_assert_failed(repair_shard("a", 0, &made.list, &result, &lost), PB_E_SYSTEM, "shard-00000.h5: cannot ");
        uint8_t *now = oracle_read(shard_path, &size);
        cr_assert(size == shard_size && memcmp(now, damaged, size) == 0, "%s", FAULTS[i]);
        free(now);
        assert_repairs(FAULTS[i]);
    }
    free(damaged);
}
