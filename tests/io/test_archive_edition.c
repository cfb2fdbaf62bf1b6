/* Checks io/archive_edition.c: editions, their order, and what a reader sees of them. */
#include "io/file.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sample made;
static char first_sha256[PB_SHA256_TEXT];

enum { TAKEN = 7, SHARD_IMAGES = 4, SHARDS = 3 }; /* of the sample's list of 12 entries */

static void make_archive(void) {
    sample_report report = {0};
    sample_make(&made, "");
    sample_assert_ok(sample_archive(&made, "a", SHARD_IMAGES, &report));
    pb_archive *archive = sample_open(&made, "a");
    strcpy(first_sha256, pb_archive_sha256(archive));
    pb_archive_close(&archive);
}

static void remove_archive(void) {
    trouble_arm("");
    sample_remove(&made);
}

TestSuite(archive_edition, .init = make_archive, .fini = remove_archive);

/* An edition in the making: the same list once more, in shards of another size (paths are not looked at here). */
typedef struct making {
    pb_archive *base;
    char folder[PB_PATH_MAX];
    pb_shard_summary summaries[2];
} making;

static void begin(making *m) {
    sample_report report = {0};
    m->base = sample_open(&made, "a");
    static int number;
    snprintf(m->folder, sizeof m->folder, "%s/a/making-%d", made.folder, number++);
    sample_assert_ok(pb_folder_create(m->folder));
    for (size_t i = 0; i < 2; i++)
        sample_assert_ok(pb_shard_write(m->folder, pb_archive_shards(m->base) + i, &made.list, i, 6, sample_reported, &report,
                                        &m->summaries[i]));
}

static pb_status publish(making *m, const char *source) {
    pb_status status = pb_edition_publish(m->base, m->folder, source, 6, m->summaries, 2);
    pb_status removed = pb_folder_remove(m->folder);
    sample_assert_ok(removed);
    pb_archive_close(&m->base);
    return status;
}

static void append(const char *source) {
    making m;
    begin(&m);
    sample_assert_ok(publish(&m, source));
}

/* Every image of the archive is read, and is that of the list: TAKEN ones again and again. */
static void assert_images(pb_archive *archive, uint64_t count) {
    pb_record record, as_first;
    pb_span span;
    cr_assert_eq(pb_archive_images(archive), count);
    for (uint64_t i = 0; i < count; i++) {
        sample_assert_ok(pb_archive_read(archive, i, 1, &span));
        sample_assert_ok(pb_archive_record(archive, i, &record));
        sample_assert_ok(pb_archive_record(archive, i % TAKEN, &as_first));
        cr_assert_str_eq(record.path, as_first.path);
    }
}

Test(archive_edition, a_reader_keeps_the_edition_that_it_opened) {
    pb_archive *before = sample_open(&made, "a");
    append("more.csv");
    append("most.csv");
    assert_images(before, TAKEN);
    cr_assert_str_eq(pb_archive_sha256(before), first_sha256);
    pb_archive *after = sample_open(&made, "a");
    assert_images(after, 3 * TAKEN);
    cr_assert_eq(pb_archive_editions(after), 3);
    cr_assert_str_eq(pb_archive_edition(after, 0)->sha256, first_sha256);
    cr_assert_str_eq(pb_archive_edition(after, 1)->source, "more.csv");
    cr_assert_eq(pb_archive_edition(after, 1)->images, 2 * TAKEN);
    cr_assert_eq(pb_archive_edition(after, 1)->shards, SHARDS + 2);
    cr_assert_eq(pb_archive_edition(after, 2)->shard_images, 6);
    cr_assert_str_eq(pb_archive_shard(after, 6)->file, "edition-000003/shard-00006.h5");
    sample_assert_ok(pb_archive_check_editions(after));
    pb_archive_close(&before);
    pb_archive_close(&after);
}

Test(archive_edition, an_earlier_edition_is_opened_by_its_sha256) {
    static const char OTHER[] = "0123456789012345678901234567890123456789012345678901234567890123";
    pb_archive *archive = NULL;
    char folder[2 * ORACLE_PATH], second[PB_SHA256_TEXT];
    snprintf(folder, sizeof folder, "%s", oracle_join(made.folder, "a"));
    append("more.csv");
    archive = sample_open(&made, "a");
    strcpy(second, pb_archive_sha256(archive));
    pb_archive_close(&archive);
    append("most.csv");
    sample_assert_ok(pb_archive_open_edition(folder, first_sha256, PB_SHARDS_THERE, &archive));
    assert_images(archive, TAKEN);
    cr_assert_eq(pb_archive_shards(archive), SHARDS);
    cr_assert_str_eq(pb_archive_sha256(archive), first_sha256);
    pb_archive_close(&archive);
    sample_assert_ok(pb_archive_open_edition(folder, second, PB_SHARDS_THERE, &archive));
    assert_images(archive, 2 * TAKEN);
    cr_assert_eq(pb_archive_editions(archive), 2);
    pb_archive_close(&archive);
    sample_assert_failed(pb_archive_open_edition(folder, OTHER, PB_SHARDS_THERE, &archive), PB_E_INPUT,
                         "neither is nor was an archive");
    cr_assert_null(archive);
}

/* Without any lock: both saw the first edition, so only one can make the second. */
Test(archive_edition, of_two_at_once_one_is_refused) {
    making quick, slow;
    begin(&slow);
    begin(&quick);
    sample_assert_ok(publish(&quick, "quick.csv"));
    sample_assert_failed(publish(&slow, "slow.csv"), PB_E_SYSTEM, "edition-000002: was made meanwhile, by another");
    pb_archive *archive = sample_open(&made, "a");
    cr_assert_eq(pb_archive_images(archive), 2 * TAKEN);
    cr_assert_str_eq(pb_archive_edition(archive, 1)->source, "quick.csv");
    pb_archive_close(&archive);
}

/* A server that does the rename and loses the answer: what stands there is ours. */
Test(archive_edition, a_rename_whose_answer_was_lost) {
    making first, again;
    begin(&first);
    begin(&again);
    sample_assert_ok(publish(&first, "same.csv"));
    sample_assert_ok(publish(&again, "same.csv"));
    pb_archive *archive = sample_open(&made, "a");
    cr_assert_eq(pb_archive_editions(archive), 2);
    pb_archive_close(&archive);
}

/* manifest.json is a copy for other programs: behind, it is brought forward, by whoever looks. */
Test(archive_edition, a_manifest_that_is_behind) {
    char folder[2 * ORACLE_PATH], manifest[2 * ORACLE_PATH];
    size_t size;
    snprintf(folder, sizeof folder, "%s", oracle_join(made.folder, "a"));
    snprintf(manifest, sizeof manifest, "%s/a/manifest.json", made.folder);
    uint8_t *old = oracle_read(manifest, &size);
    append("more.csv");
    append("most.csv");
    cr_assert(!sample_same_file(&made, "a/manifest.json", "a/edition-000003/manifest.json"));
    sample_assert_ok(pb_edition_point(folder));
    cr_assert(sample_same_file(&made, "a/manifest.json", "a/edition-000003/manifest.json"));
    oracle_write(manifest, old, size); /* set back by one that was asleep */
    pb_archive *archive = sample_open(&made, "a");
    assert_images(archive, 3 * TAKEN);
    pb_archive_close(&archive);
    sample_assert_ok(pb_edition_point(folder));
    cr_assert(sample_same_file(&made, "a/manifest.json", "a/edition-000003/manifest.json"));
    trouble_arm("io.rename");
    oracle_write(manifest, old, size);
    sample_assert_failed(pb_edition_point(folder), PB_E_SYSTEM, "manifest.json: cannot rename");
    free(old);
}

/* --- damage ----------------------------------------------------------------------------------------------------- */

/* The manifest of the second edition with the first `from` replaced by `to`, opened. */
static pb_status open_edited(const char *from, const char *to) {
    char path[2 * ORACLE_PATH], *edited;
    size_t size;
    pb_archive *archive = NULL;
    snprintf(path, sizeof path, "%s/a/edition-000002/manifest.json", made.folder);
    char *text = (char *)oracle_read(path, &size), *place = strstr(text, from);
    cr_assert_not_null(place, "%s is not in %s", from, text);
    int length = asprintf(&edited, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
    oracle_write(path, edited, (size_t)length);
    pb_status status = pb_archive_open(oracle_join(made.folder, "a"), &archive);
    if (!pb_failed(&status))
        status = pb_archive_check_editions(archive);
    pb_archive_close(&archive);
    oracle_write(path, text, size);
    free(text);
    free(edited);
    return status;
}

Test(archive_edition, manifests_are_read_strictly) {
    static const char *const EDITS[][3] = {
        {"\"version\": 2", "\"version\": 1", "left unpacked: earlier"},
        {"\"earlier\": [", "\"earlier\": [], \"rest\": [", "left unpacked: rest"},
        {"\"images\": 14,\n \"shards\"", "\"images\": 15,\n \"shards\"", "says 15 images in all, its shards have 14"},
        {"edition-000002/shard-00003", "edition-000003/shard-00003", "expected \"edition-000002/shard-00003.h5\""},
        {"edition-000002/shard-00003", "../../shard-00003", "expected \"edition-000002/shard-00003.h5\""},
        {"\"shards\": 3", "\"shards\": 2", "says 7 images in all, its shards have 5"},
        {"\"shards\": 3", "\"shards\": 0", "says 7 images in all, its shards have 0"},
        {"\"shards\": 3", "\"shards\": 5", "fewer shards or images than the one before"},
        {"\"shards\": 3", "\"shards\": -3", "says -3 shards"},
        {"\"shards\": 3", "\"shards\": 3, \"more\": 1", "left unpacked: more"},
        {"\"images\": 7,\n   \"shards\"", "\"images\": 8,\n   \"shards\"", "says 8 images in all, its shards have 7"},
        {"\"images\": 7,\n   \"shards\"", "\"images\": 70,\n   \"shards\"", "fewer shards or images"},
        {"\"shard_images\": 4", "\"shard_images\": 5", "its edition 1 is not the one whose manifest had the sha256"},
        {"\"shard_images\": 4", "\"shard_images\": 0", "shard_images is 0"},
        {"images/list.csv", "images/last.csv", "its edition 1 is not the one whose manifest had the sha256"},
    };
    append("more.csv");
    for (size_t i = 0; i < sizeof EDITS / sizeof EDITS[0]; i++)
        sample_assert_failed(open_edited(EDITS[i][0], EDITS[i][1]), PB_E_INPUT, EDITS[i][2]);
    char sha256[PB_SHA256_TEXT + 2];
    snprintf(sha256, sizeof sha256, "\"%s\"", first_sha256);
    sample_assert_failed(open_edited(sha256, "\"abc\""), PB_E_INPUT, "an earlier edition: \"abc\" is not a SHA-256");
    first_sha256[0] = first_sha256[0] == 'a' ? 'b' : 'a';
    char other[PB_SHA256_TEXT + 2];
    snprintf(other, sizeof other, "\"%s\"", first_sha256);
    sample_assert_failed(open_edited(sha256, other), PB_E_INPUT, "is not the edition that follows the one before it");
}

/* Opens an archive whose manifest.json, that of a second edition, says so much of its first one. */
static pb_status open_of_two(int first_images, int first_shards) {
    char *text, sha256[PB_SHA256_TEXT], path[2 * ORACLE_PATH];
    pb_archive *archive = NULL;
    memset(sha256, 'a', PB_SHA256_TEXT - 1);
    sha256[PB_SHA256_TEXT - 1] = '\0';
    snprintf(path, sizeof path, "%s/b", made.folder);
    sample_assert_ok(pb_folder_create(oracle_join(path, "edition-000002")));
    oracle_write(oracle_join(path, "edition-000002/shard-00000.h5"), "", 0); /* opened by nobody */
    int length = asprintf(&text,
                          "{\"format\": \"patchbank-archive\", \"version\": 2, \"source\": \"more\", \"shard_images\": 9, "
                          "\"images\": 5, \"shards\": [{\"file\": \"edition-000002/shard-00000.h5\", \"images\": 5, "
                          "\"bytes\": 99, \"train\": 0, \"defective\": 0, \"sha256\": \"%s\"}], \"earlier\": [{\"source\": "
                          "\"none\", \"shard_images\": 9, \"images\": %d, \"shards\": %d, \"sha256\": \"%s\"}]}",
                          sha256, first_images, first_shards, sha256);
    oracle_write(oracle_join(path, "manifest.json"), text, (size_t)length);
    free(text);
    pb_status status = pb_archive_open(path, &archive);
    pb_archive_close(&archive);
    return status;
}

/* With images but no shard the first edition, opened as it was, would have records that are nowhere. */
Test(archive_edition, an_edition_without_shards_has_no_images) {
    sample_assert_ok(open_of_two(0, 0));
    sample_assert_failed(open_of_two(5, 0), PB_E_INPUT, "says 5 images in all, its shards have 0");
    sample_assert_failed(open_of_two(1, 0), PB_E_INPUT, "says 1 images in all, its shards have 0");
}

/* As a part of a list may be, all of whose images are in another part's share. */
Test(archive_edition, an_archive_that_was_empty_grows) {
    making m = {0};
    sample_report report = {0};
    pb_archive *archive;
    char folder[2 * ORACLE_PATH], empty_sha256[PB_SHA256_TEXT];
    snprintf(folder, sizeof folder, "%s/empty", made.folder);
    snprintf(m.folder, sizeof m.folder, "%s/next", folder);
    sample_assert_ok(pb_folder_create(m.folder));
    sample_assert_ok(pb_manifest_write(folder, "none.csv", 6, NULL, 0));
    sample_assert_ok(pb_archive_open(folder, &m.base));
    strcpy(empty_sha256, pb_archive_sha256(m.base));
    for (size_t i = 0; i < 2; i++)
        sample_assert_ok(pb_shard_write(m.folder, i, &made.list, i, 6, sample_reported, &report, &m.summaries[i]));
    sample_assert_ok(publish(&m, "list.csv"));
    archive = sample_open(&made, "empty");
    assert_images(archive, TAKEN);
    sample_assert_ok(pb_archive_check_editions(archive));
    pb_archive_close(&archive);
    sample_assert_ok(pb_archive_open_edition(folder, empty_sha256, PB_SHARDS_THERE, &archive));
    cr_assert(pb_archive_images(archive) == 0 && pb_archive_shards(archive) == 0);
    pb_archive_close(&archive);
}

/* What patchbank did not write so cannot be made again, and nothing is appended to it. */
Test(archive_edition, a_manifest_in_another_hand) {
    char path[2 * ORACLE_PATH];
    size_t size;
    making m;
    snprintf(path, sizeof path, "%s/a/manifest.json", made.folder);
    char *text = (char *)oracle_read(path, &size), *spaced;
    int length = asprintf(&spaced, "%s\n", text);
    oracle_write(path, spaced, (size_t)length);
    begin(&m);
    sample_assert_failed(publish(&m, "more.csv"), PB_E_INPUT, "its edition 1 is not the one");
    free(text);
    free(spaced);
}
