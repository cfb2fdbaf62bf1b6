/* Checks io/manifest.c and io/archive_*.c on sound archives and on a failing machine; damage is in test_archive_damage.c. */
#include "io/file.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sample made;

static void make_sample(void) { sample_make(&made, ""); }

static void remove_sample(void) {
    trouble_arm("");
    sample_remove(&made);
}

TestSuite(archive, .init = make_sample, .fini = remove_sample);

enum { LISTED = 12, TAKEN = 7 }; /* entries of archive_images.py, and the good ones among them */

static void archive_ok(const char *name, size_t shard_images, sample_report *report) {
    sample_assert_ok(sample_archive(&made, name, shard_images, report));
}

/* Python finds in the files what the images and the list say, and takes the same images. */
static void check_with_python(const sample *of, const char *name, size_t shard_images) {
    char words[4 * ORACLE_PATH];
    snprintf(words, sizeof words, "archive '%s/%s' '%s/images/list.csv' %zu", of->folder, name, of->folder, shard_images);
    char *answer = oracle_python("tests/io/h5_check.py", words, NULL);
    cr_assert_eq(strncmp(answer, "ok ", 3), 0, "%s", answer);
    free(answer);
}

Test(archive, h5py_reads_what_was_written) {
    sample_report report = {0};
    archive_ok("one", 100, &report);
    archive_ok("three", 5, &report);
    archive_ok("each", 1, &report); /* has shards without images */
    check_with_python(&made, "one", 100);
    check_with_python(&made, "three", 5);
    check_with_python(&made, "each", 1);
}

Test(archive, more_than_a_chunk) {
    sample noisy;
    sample_report report = {0};
    sample_make(&noisy, "noise");
    sample_assert_ok(sample_archive(&noisy, "noise", 100, &report));
    check_with_python(&noisy, "noise", 100);
    sample_remove(&noisy);
}

Test(archive, rejects_with_a_reason_in_list_order) {
    static const char *const EXPECTED[][2] = {
        {"3: ", "images/bad/not an image.png: "}, {"5: ", "wrong mask.png: mask is 8 x 9 pixels, its image"},
        {"6: ", "images/bad/missing.png: cannot open: No such file"}, {"9: ", "images/bad/truncated.jpg: "},
        {"10: ", "images/bad/empty.png: "},
    };
    sample_report report = {0};
    cr_assert_eq(made.list.count, LISTED);
    archive_ok("a", 4, &report);
    cr_assert_eq(report.count, LISTED - TAKEN, "%s", report.text);
    char *line = report.text;
    for (size_t i = 0; i < sizeof EXPECTED / sizeof EXPECTED[0]; i++) {
        char *end = strchr(line, '\n');
        *end = '\0';
        cr_assert_eq(strncmp(line, EXPECTED[i][0], strlen(EXPECTED[i][0])), 0, "%s", line);
        cr_assert_not_null(strstr(line, EXPECTED[i][1]), "%s", line);
        line = end + 1;
    }
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* The list entry of the archive's image `index`. */
static const pb_list_item *item_of(uint64_t index) {
    static const size_t GOOD[TAKEN] = {0, 1, 2, 4, 7, 8, 11};
    return &made.list.items[GOOD[index]];
}

static void assert_file_bytes(const char *path, pb_span span) {
    size_t size;
    char full[PB_PATH_MAX];
    sample_assert_ok(pb_path_join(made.list.folder, path, full));
    uint8_t *bytes = oracle_read(full, &size);
    cr_assert_eq(span.size, size, "%s", path);
    cr_assert_eq(memcmp(span.bytes, bytes, size), 0, "%s", path);
    free(bytes);
}

static void assert_record(pb_archive *archive, uint64_t index) {
    const pb_list_item *item = item_of(index);
    pb_record record;
    sample_assert_ok(pb_archive_record(archive, index, &record));
    cr_assert_str_eq(record.path, item->path);
    cr_assert_str_eq(record.class, item->class);
    cr_assert_str_eq(record.group, item->group);
    cr_assert_eq(record.split, item->split);
    cr_assert_eq(record.label, item->label);
    cr_assert_eq(record.mask_length > 0, item->mask[0] != '\0');
}

static void assert_mask(pb_archive *archive, uint64_t index) {
    pb_span span;
    sample_assert_ok(pb_archive_read_mask(archive, index, &span));
    if (item_of(index)->mask[0])
        assert_file_bytes(item_of(index)->mask, span);
    else
        cr_assert_eq(span.size, 0);
}

Test(archive, every_range_is_read) {
    static const size_t SHARD_IMAGES[] = {1, 3, 5, 100};
    for (size_t i = 0; i < sizeof SHARD_IMAGES / sizeof SHARD_IMAGES[0]; i++) {
        sample_report report = {0};
        pb_span spans[TAKEN];
        archive_ok("a", SHARD_IMAGES[i], &report);
        pb_archive *archive = sample_open(&made, "a");
        cr_assert_eq(pb_archive_images(archive), TAKEN);
        for (uint64_t first = 0; first <= TAKEN; first++)
            for (size_t count = 0; count <= TAKEN - first; count++) {
                sample_assert_ok(pb_archive_read(archive, first, count, spans));
                for (size_t k = 0; k < count; k++)
                    assert_file_bytes(item_of(first + k)->path, spans[k]);
            }
        for (uint64_t index = TAKEN; index-- > 0;) {
            assert_record(archive, index);
            assert_mask(archive, index);
        }
        pb_archive_close(&archive);
        cr_assert_null(archive);
    }
}

Test(archive, records_stay_while_other_shards_are_read) {
    sample_report report = {0};
    pb_record first, other;
    pb_span span, mask;
    archive_ok("a", 2, &report);
    pb_archive *archive = sample_open(&made, "a");
    sample_assert_ok(pb_archive_record(archive, 1, &first));
    sample_assert_ok(pb_archive_read(archive, 1, 1, &span));
    for (uint64_t i = 0; i < TAKEN; i++)
        sample_assert_ok(pb_archive_record(archive, i, &other));
    sample_assert_ok(pb_archive_read_mask(archive, 5, &mask)); /* does not disturb the images' spans */
    assert_file_bytes(item_of(1)->path, span);
    cr_assert_str_eq(first.path, "a/rgb, with comma.png");
    cr_assert_eq(first.width, 9);
    cr_assert_eq(first.height, 20);
    cr_assert_eq(first.channels, 3);
    cr_assert_eq(first.format, PB_IMAGE_PNG);
    cr_assert_eq(first.length, span.size);
    pb_archive_close(&archive);
    pb_archive_close(&archive);
}

Test(archive, summaries_and_identity) {
    sample_report report = {0};
    char sha256[PB_SHA256_TEXT];
    archive_ok("a", 5, &report);
    pb_archive *archive = sample_open(&made, "a");
    cr_assert_eq(pb_archive_shards(archive), 3);
    const pb_shard_summary *summary = pb_archive_shard(archive, 1); /* entries 5 to 9, of which 7 and 8 are good */
    cr_assert_str_eq(summary->file, "shard-00001.h5");
    cr_assert_eq(summary->images, 2);
    cr_assert_eq(summary->train, 1);
    cr_assert_eq(summary->defective, 1);
    sample_assert_ok(pb_sha256_file(oracle_join(made.folder, "a/manifest.json"), sha256));
    cr_assert_str_eq(pb_archive_sha256(archive), sha256);
    pb_archive_close(&archive);
    cr_assert_eq(pb_shard_count(0, 5), 0);
    cr_assert_eq(pb_shard_count(1, 5), 1);
    cr_assert_eq(pb_shard_count(10, 5), 2);
    cr_assert_eq(pb_shard_count(11, 5), 3);
}

Test(archive, sound_archive_verifies) {
    sample_report report = {0}, damage = {0};
    uint64_t damaged = 7;
    archive_ok("a", 3, &report);
    pb_archive *archive = sample_open(&made, "a");
    for (size_t shard = 0; shard < pb_archive_shards(archive); shard++) {
        sample_assert_ok(pb_archive_verify(archive, shard, sample_reported, &damage, &damaged));
        cr_assert_eq(damaged, 0, "%s", damage.text);
    }
    pb_archive_close(&archive);
}

/* --- the same bytes, always ------------------------------------------------------------------------------------- */

typedef struct archive_work {
    const char *name;
    size_t shard_images;
} archive_work;

static pb_status write_archive(void *context) {
    archive_work *work = context;
    static sample_report report;
    return sample_archive(&made, work->name, work->shard_images, &report);
}

/* Fresh memory is filled with two different bytes: what is not written on purpose would differ, and so would a time. */
Test(archive, same_input_same_bytes) {
    sample_assert_ok(trouble_child(write_archive, &(archive_work){"a", 5}, -1, 0x55));
    sleep(1);
    sample_assert_ok(trouble_child(write_archive, &(archive_work){"b", 5}, -1, 0xAA));
    cr_assert(sample_same_file(&made, "a/shard-00000.h5", "b/shard-00000.h5"));
    cr_assert(sample_same_file(&made, "a/shard-00001.h5", "b/shard-00001.h5"));
    cr_assert(sample_same_file(&made, "a/shard-00002.h5", "b/shard-00002.h5"));
    cr_assert(sample_same_file(&made, "a/manifest.json", "b/manifest.json"));
}

/* --- a failing machine ------------------------------------------------------------------------------------------ */

static void assert_no_file(const char *name) {
    char *names = trouble_names(oracle_join(made.folder, name));
    cr_assert_str_eq(names, "", "left behind: %s", names);
    free(names);
}

static long file_size(const char *name) {
    size_t size;
    free(oracle_read(oracle_join(made.folder, name), &size));
    return (long)size;
}

/* Limits below the shard's size all fail, wherever in the writing or closing they strike. HDF5 takes a little more than the final
 * size on the way. */
Test(archive, full_disk, .timeout = 120) {
    sample_report report = {0};
    archive_ok("whole", 100, &report);
    long size = file_size("whole/shard-00000.h5");
    for (long limit = 0; limit < size; limit += limit < 4096 ? 509 : size / 60) {
        pb_status status = trouble_child(write_archive, &(archive_work){"full", 100}, limit, 0);
        sample_assert_failed(status, PB_E_SYSTEM, "File too large");
        assert_no_file("full");
    }
    sample_assert_failed(trouble_child(write_archive, &(archive_work){"full", 100}, size - 1, 0), PB_E_SYSTEM, "File too large");
    assert_no_file("full");
    sample_assert_ok(trouble_child(write_archive, &(archive_work){"full", 100}, size + 65536, 0));
    cr_assert(sample_same_file(&made, "whole/shard-00000.h5", "full/shard-00000.h5"));
}

/* Each hit of each fault point in turn, until one is no longer passed: then the archive is whole. */
Test(archive, failure_at_each_step, .timeout = 120) {
    static const char *const FAULTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        int hits = 0;
        for (pb_status status = {.code = PB_E_SYSTEM}; status.code != PB_OK; hits++) {
            char fault[64], name[64];
            sample_report report = {0};
            snprintf(fault, sizeof fault, "%s@0:%d", FAULTS[i], hits + 1);
            snprintf(name, sizeof name, "%s-%d", FAULTS[i], hits);
            trouble_arm(fault);
            status = sample_archive(&made, name, 100, &report);
            if (status.code != PB_OK) {
                sample_assert_failed(status, PB_E_SYSTEM, "cannot ");
                char *names = trouble_names(oracle_join(made.folder, name));
                cr_assert(strcmp(names, "") == 0 || strcmp(names, "shard-00000.h5 ") == 0, "%s: left behind: %s", fault, names);
                free(names);
            }
            cr_assert_lt(hits, 200);
        }
        cr_assert_geq(hits, 3, "%s", FAULTS[i]);
    }
}

Test(archive, folder_that_is_missing) {
    pb_shard_summary summary;
    sample_report report = {0};
    const char *folder = oracle_join(made.folder, "nowhere");
    sample_assert_failed(pb_shard_write(folder, 0, &made.list, 0, 5, sample_reported, &report, &summary), PB_E_INPUT,
                         "nowhere/shard-00000.h5: cannot create: No such file");
    pb_archive *archive = NULL;
    sample_assert_failed(pb_archive_open(folder, &archive), PB_E_INPUT, "nowhere/manifest.json: cannot open: No such file");
    cr_assert_null(archive);
}

Test(archive, source_need_not_be_utf8) {
    pb_shard_summary none;
    sample_assert_ok(pb_folder_create(oracle_join(made.folder, "empty")));
    sample_assert_ok(pb_manifest_write(oracle_join(made.folder, "empty"), "list \xff\xfe.csv", 10, &none, 0));
    size_t size;
    char *text = (char *)oracle_read(oracle_join(made.folder, "empty/manifest.json"), &size);
    cr_assert_not_null(strstr(text, "\"list ?" "?.csv\""), "%s", text);
    free(text);
    pb_archive *archive = sample_open(&made, "empty");
    cr_assert_eq(pb_archive_images(archive), 0);
    sample_assert_ok(pb_archive_read(archive, 0, 0, NULL));
    pb_archive_close(&archive);
}
