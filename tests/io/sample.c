#include "sample.h"

#include "io/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sample_assert_ok(pb_status status) { cr_assert_eq(status.code, PB_OK, "%s", status.message); }

void sample_assert_failed(pb_status status, pb_code code, const char *part) {
    cr_assert_eq(status.code, code, "expected %s, got %s: %s", pb_code_name(code), pb_code_name(status.code), status.message);
    cr_assert_not_null(strstr(status.message, part), "\"%s\" is not in: %s", part, status.message);
    cr_assert_null(strchr(status.message, '\n'), "%s", status.message);
}

void sample_make(sample *made, const char *kind) {
    char words[2 * ORACLE_PATH], path[2 * ORACLE_PATH];
    size_t size;
    memset(made, 0, sizeof *made);
    oracle_folder(made->folder);
    snprintf(words, sizeof words, "'%s/images' %s", made->folder, kind);
    free(oracle_python("tests/io/archive_images.py", words, NULL));
    snprintf(path, sizeof path, "%s/images/list.csv", made->folder);
    char *text = (char *)oracle_read(path, &size);
    sample_assert_ok(pb_list_parse(path, text, size, &made->list));
    free(text);
}

void sample_remove(sample *made) {
    pb_list_free(&made->list);
    oracle_remove(made->folder);
}

void sample_reported(void *context, size_t index, const pb_status *why) {
    sample_report *report = context;
    size_t at = strlen(report->text);
    sample_assert_failed(*why, PB_E_INPUT, "");
    report->count++;
    report->last = index;
    if (index == SIZE_MAX)
        snprintf(report->text + at, sizeof report->text - at, "file: %s\n", why->message);
    else
        snprintf(report->text + at, sizeof report->text - at, "%zu: %s\n", index, why->message);
}

pb_status sample_archive(const sample *made, const char *name, size_t shard_images, sample_report *report) {
    pb_shard_summary summaries[64];
    size_t shards = pb_shard_count(made->list.count, shard_images);
    char folder[2 * ORACLE_PATH];
    cr_assert_leq(shards, 64);
    snprintf(folder, sizeof folder, "%s/%s", made->folder, name);
    PB_TRY(pb_folder_create(folder));
    for (size_t shard = 0; shard < shards; shard++)
        PB_TRY(pb_shard_write(folder, shard, &made->list, shard, shard_images, sample_reported, report, &summaries[shard]));
    return pb_manifest_write(folder, "images/list.csv", shard_images, summaries, shards);
}

pb_archive *sample_open(const sample *made, const char *name) {
    pb_archive *archive;
    sample_assert_ok(pb_archive_open(oracle_join(made->folder, name), &archive));
    return archive;
}

bool sample_same_file(const sample *made, const char *a, const char *b) {
    size_t size_a, size_b;
    uint8_t *bytes_a = oracle_read(oracle_join(made->folder, a), &size_a);
    uint8_t *bytes_b = oracle_read(oracle_join(made->folder, b), &size_b);
    bool same = size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0;
    free(bytes_a);
    free(bytes_b);
    return same;
}
