/* Runs the Python program of docs/FORMATS.md, exactly as it stands there, on files that we wrote. */
#include "io/bank_file.h"
#include "io/results_file.h"
#include "oracle.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The one ```python block of the document. */
static char *extract(void) {
    static const char FENCE[] = "\n```python\n";
    size_t size;
    char *text = (char *)oracle_read(PB_SOURCE_DIR "/docs/FORMATS.md", &size);
    char *begin = strstr(text, FENCE);
    cr_assert_not_null(begin);
    begin += strlen(FENCE);
    char *end = strstr(begin, "\n```\n");
    cr_assert_not_null(end);
    cr_assert_null(strstr(end, FENCE), "there is a second program, which nothing runs");
    char *program = strndup(begin, (size_t)(end - begin) + 1);
    free(text);
    return program;
}

static void write_bank(const char *path) {
    pb_bank bank;
    sample_assert_ok(pb_bank_allocate(&bank, 2, 3));
    sample_assert_ok(pb_bank_set_path(&bank, 0, "a/one.png"));
    sample_assert_ok(pb_bank_set_path(&bank, 1, "b/two.jpg"));
    bank.patch_row[1] = 27;
    bank.patch_column[1] = 4;
    sample_assert_ok(pb_attributes_set(&bank.attributes, "seed", "42"));
    sample_assert_ok(pb_bank_write(path, &bank));
    pb_bank_free(&bank);
}

static void write_results(const char *path, const char *csv_path) {
    enum { IMAGES = 5, ROWS = 3, COLUMNS = 4 };
    float score[IMAGES] = {0.5f, 3.25f, 2.0f, 0.25f, 7.0f}, map[IMAGES * ROWS * COLUMNS] = {0};
    uint32_t patch[IMAGES] = {0, 11, 6, 1, 4}, nearest[IMAGES] = {0, 1, 1, 0, 0};
    double brightness[IMAGES][PB_BRIGHTNESS_STATS] = {{0}};
    uint64_t index[IMAGES] = {0, 1, 2, 3, 4};
    char names[IMAGES][16], *bank_paths[2] = {names[0], names[1]};
    pb_record records[IMAGES];
    pb_results_writer *writer;
    for (int i = 0; i < IMAGES; i++) {
        snprintf(names[i], sizeof names[i], "t/%d.png", i);
        records[i] = (pb_record){.path = names[i], .class = "", .group = ""};
    }
    sample_assert_ok(pb_results_create(path, IMAGES, (pb_size){.width = COLUMNS, .height = ROWS}, NULL, &writer));
    pb_result_block block = {IMAGES, score, map, patch, nearest, brightness};
    sample_assert_ok(pb_results_write(writer, 0, &block, index, records));
    sample_assert_ok(pb_results_publish(&writer, csv_path, bank_paths, 2));
}

/* Another edition of the archive: the list once more. */
static void append(const sample *made) {
    char folder[2 * ORACLE_PATH], making[2 * ORACLE_PATH];
    sample_report report = {0};
    pb_shard_summary summary;
    pb_archive *base = sample_open(made, "archive");
    snprintf(folder, sizeof folder, "%s", oracle_join(made->folder, "archive"));
    snprintf(making, sizeof making, "%s", oracle_join(made->folder, "archive/making"));
    sample_assert_ok(pb_folder_create(making));
    sample_assert_ok(pb_shard_write(making, pb_archive_shards(base), &made->list, 0, 100, sample_reported, &report, &summary));
    sample_assert_ok(pb_edition_publish(base, making, "more.csv", 100, &summary, 1));
    sample_assert_ok(pb_edition_point(folder));
    pb_archive_close(&base);
}

static char *run(const char *folder, const char *program) {
    char command[8 * ORACLE_PATH], script[2 * ORACLE_PATH], answer_path[2 * ORACLE_PATH];
    size_t size;
    snprintf(script, sizeof script, "%s/read.py", folder);
    snprintf(answer_path, sizeof answer_path, "%s/answer", folder);
    oracle_write(script, program, strlen(program));
    snprintf(command, sizeof command, "'%s' '%s' '%s/archive' '%s/bank.h5' '%s/results.h5' > '%s'", PB_PYTHON, script, folder,
             folder, folder, answer_path);
    cr_assert_eq(system(command), 0, "failed: %s", command);
    return (char *)oracle_read(answer_path, &size);
}

/* What the program must print of the archive: what the image files on disk are. */
static void expect_images(const sample *made, char *expected, size_t room) {
    pb_archive *archive = sample_open(made, "archive");
    for (uint64_t i = 0; i < pb_archive_images(archive); i++) {
        pb_record record;
        size_t size, at = strlen(expected);
        sample_assert_ok(pb_archive_record(archive, i, &record));
        char *path;
        cr_assert_gt(asprintf(&path, "%s/images/%s", made->folder, record.path), 0);
        free(oracle_read(path, &size));
        free(path);
        snprintf(expected + at, room - at, "image %s: %zu bytes, %d x %d pixels\n", record.path, size, record.width,
                 record.height);
    }
    pb_archive_close(&archive);
}

Test(formats_doc, program_reads_our_files) {
    sample made;
    sample_report report = {0};
    char bank[2 * ORACLE_PATH], results[2 * ORACLE_PATH], csv[2 * ORACLE_PATH], expected[4096] = "";
    sample_make(&made, "");
    snprintf(bank, sizeof bank, "%s/bank.h5", made.folder);
    snprintf(results, sizeof results, "%s/results.h5", made.folder);
    snprintf(csv, sizeof csv, "%s/scores.csv", made.folder);
    sample_assert_ok(sample_archive(&made, "archive", 5, &report));
    append(&made);
    write_bank(bank);
    write_results(results, csv);
    expect_images(&made, expected, sizeof expected);
    strcat(expected, "bank format = patchbank-bank\n"
                     "bank format_version = 1\n"
                     "bank seed = 42\n"
                     "bank row 0: a/one.png, patch 0, 0\n"
                     "bank row 1: b/two.jpg, patch 27, 4\n"
                     "worst t/4.png: 7.0000 at 1, 0, nearest bank row 0\n"
                     "worst t/1.png: 3.2500 at 2, 3, nearest bank row 1\n"
                     "worst t/2.png: 2.0000 at 1, 2, nearest bank row 1\n");
    char *program = extract(), *answer = run(made.folder, program);
    cr_assert_str_eq(answer, expected);
    free(program);
    free(answer);
    sample_remove(&made);
}
