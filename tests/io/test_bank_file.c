/* Checks io/bank_file.c: what h5py reads of it, rows read back, the same bytes always, damage, a failing machine. */
#include "base/random.h"
#include "io/bank_file.h"
#include "io/file.h"
#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[ORACLE_PATH], path[2 * ORACLE_PATH];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/bank.h5", folder);
}

static void remove_folder(void) {
    trouble_arm("");
    oracle_remove(folder);
}

TestSuite(bank_file, .init = make_folder, .fini = remove_folder);

/* The formulas of h5_check.py. Every fifth path is not set. */
static void fill(pb_bank *bank, size_t rows, int dim) {
    sample_assert_ok(pb_bank_allocate(bank, rows, dim));
    for (size_t i = 0; i < rows * (size_t)dim; i++)
        bank->features[i] = (float)i * 0.25f - 3.0f;
    for (size_t i = 0; i < rows; i++) {
        char text[32];
        snprintf(text, sizeof text, "images/%04zu.png", i);
        bank->image[i] = 5000000000u + 7 * i;
        bank->patch_row[i] = (uint32_t)(i % 28);
        bank->patch_column[i] = (uint32_t)(i * 3 % 28);
        bank->covering_radius[i] = (float)(1.0 / (1.0 + (double)i));
        if (i % 5 != 0)
            sample_assert_ok(pb_bank_set_path(bank, i, text));
    }
    sample_assert_ok(pb_attributes_set(&bank->attributes, "zeta", "first"));
    sample_assert_ok(pb_attributes_set(&bank->attributes, "backbone", "efficientnet-lite0"));
    sample_assert_ok(pb_attributes_set(&bank->attributes, "empty", ""));
}

static void write_bank(size_t rows, int dim) {
    pb_bank bank;
    fill(&bank, rows, dim);
    sample_assert_ok(pb_bank_write(path, &bank));
    pb_bank_free(&bank);
}

static char *python(size_t rows, int dim) {
    char words[4 * ORACLE_PATH];
    snprintf(words, sizeof words, "bank '%s' %zu %d", path, rows, dim);
    return oracle_python("tests/io/h5_check.py", words, NULL);
}

static void assert_only_bank(bool there) {
    char *names = trouble_names(folder);
    cr_assert_str_eq(names, there ? "bank.h5 " : "");
    free(names);
}

/* Sizes below, at and above a chunk (1 MiB), and a bank without rows. */
Test(bank_file, h5py_reads_it) {
    static const int SIZES[][2] = {{1, 1}, {40, 7}, {700, 512}, {2049, 128}, {0, 5}};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        write_bank((size_t)SIZES[i][0], SIZES[i][1]);
        char *answer = python((size_t)SIZES[i][0], SIZES[i][1]);
        cr_assert_str_eq(answer, "ok [('format', 'patchbank-bank'), ('format_version', '1'), ('zeta', 'first'), "
                                 "('backbone', 'efficientnet-lite0'), ('empty', '')]\n");
        free(answer);
        assert_only_bank(true);
    }
}

/* Many and long attributes are stored by HDF5 in another way. */
Test(bank_file, attributes_keep_order_and_text) {
    enum { COUNT = 60, LONG = 100000 };
    pb_bank bank, again;
    uint64_t total;
    char *text = calloc(LONG + 1, 1);
    fill(&bank, 2, 3);
    for (int i = 0; i < COUNT; i++) {
        char name[64];
        snprintf(name, sizeof name, "option_%02d", COUNT - i);
        memset(text, 'a' + i % 26, i == 30 ? LONG : 20);
        text[i == 30 ? LONG : 20] = '\0';
        sample_assert_ok(pb_attributes_set(&bank.attributes, name, text));
    }
    sample_assert_ok(pb_attributes_set(&bank.attributes, "unicode", "\u00fcber \u2192"));
    sample_assert_ok(pb_bank_write(path, &bank));
    sample_assert_ok(pb_bank_read(path, 0, 0, &again, &total));
    cr_assert_eq(again.attributes.count, bank.attributes.count);
    for (size_t i = 0; i < bank.attributes.count; i++) {
        cr_assert_str_eq(again.attributes.names[i], bank.attributes.names[i]);
        cr_assert_str_eq(again.attributes.values[i], bank.attributes.values[i]);
    }
    free(text);
    pb_bank_free(&bank);
    pb_bank_free(&again);
}

static void assert_rows(const pb_bank *whole, uint64_t first, const pb_bank *part) {
    size_t dim = (size_t)whole->dim;
    cr_assert_eq(part->dim, whole->dim);
    cr_assert_eq(memcmp(part->features, whole->features + first * dim, part->rows * dim * sizeof(float)), 0);
    for (size_t i = 0; i < part->rows; i++) {
        cr_assert_eq(part->image[i], whole->image[first + i]);
        cr_assert_eq(part->archive[i], whole->archive[first + i]);
        cr_assert_eq(part->patch_row[i], whole->patch_row[first + i]);
        cr_assert_eq(part->patch_column[i], whole->patch_column[first + i]);
        cr_assert_eq(part->covering_radius[i], whole->covering_radius[first + i]);
        cr_assert_str_eq(part->paths[i], whole->paths[first + i] ? whole->paths[first + i] : "");
    }
}

Test(bank_file, any_rows_are_read) {
    enum { ROWS = 2049, DIM = 128 };
    static const uint64_t RANGES[][2] = {{0, ROWS}, {0, 1}, {ROWS - 1, ROWS}, {1000, 2040}, {5, 5},
                                         {0, 0},    {0, UINT64_MAX}, {2000, 9999}, {ROWS, ROWS}, {9999, 10000}};
    pb_bank whole, part;
    uint64_t total;
    fill(&whole, ROWS, DIM);
    sample_assert_ok(pb_bank_write(path, &whole));
    for (size_t i = 0; i < sizeof RANGES / sizeof RANGES[0]; i++) {
        uint64_t end = RANGES[i][1] < ROWS ? RANGES[i][1] : ROWS, first = RANGES[i][0] < end ? RANGES[i][0] : end;
        sample_assert_ok(pb_bank_read(path, RANGES[i][0], RANGES[i][1], &part, &total));
        cr_assert_eq(total, ROWS);
        cr_assert_eq(part.rows, end - first);
        assert_rows(&whole, first, &part);
        cr_assert_str_eq(pb_attributes_get(&part.attributes, "backbone"), "efficientnet-lite0");
        pb_bank_free(&part);
    }
    pb_bank_free(&whole);
    pb_bank_free(&whole);
}

Test(bank_file, read_and_written_again_it_is_the_same_file) {
    pb_bank bank;
    uint64_t total;
    size_t size, again_size;
    write_bank(300, 20);
    uint8_t *bytes = oracle_read(path, &size);
    sample_assert_ok(pb_bank_read(path, 0, UINT64_MAX, &bank, &total));
    sample_assert_ok(pb_bank_write(path, &bank));
    uint8_t *again = oracle_read(path, &again_size);
    cr_assert(size == again_size && memcmp(bytes, again, size) == 0);
    pb_bank_free(&bank);
    free(bytes);
    free(again);
}

static pb_status write_work(void *context) {
    pb_bank bank;
    fill(&bank, 700, 512);
    pb_status status = pb_bank_write(context, &bank);
    pb_bank_free(&bank);
    return status;
}

Test(bank_file, same_bank_same_bytes) {
    char other[2 * ORACLE_PATH];
    size_t size, other_size;
    snprintf(other, sizeof other, "%s/other name.h5", folder);
    sample_assert_ok(trouble_child(write_work, path, -1, 0x55));
    sleep(1); /* a time in the file would show */
    sample_assert_ok(trouble_child(write_work, other, -1, 0xAA));
    uint8_t *bytes = oracle_read(path, &size), *other_bytes = oracle_read(other, &other_size);
    cr_assert(size == other_size && memcmp(bytes, other_bytes, size) == 0);
    free(bytes);
    free(other_bytes);
}

/* --- a failing machine ------------------------------------------------------------------------------------------ */

Test(bank_file, full_disk, .timeout = 120) {
    size_t size;
    write_bank(700, 512);
    free(oracle_read(path, &size));
    cr_assert_eq(remove(path), 0);
    for (size_t limit = 0; limit < size; limit += limit < 5000 ? 701 : size / 25) {
        sample_assert_failed(trouble_child(write_work, path, (long)limit, 0), PB_E_SYSTEM, "bank.h5: cannot ");
        assert_only_bank(false);
    }
    sample_assert_failed(trouble_child(write_work, path, (long)size - 1, 0), PB_E_SYSTEM, "File too large");
    assert_only_bank(false);
}

/* An older bank survives every failure but that of the flush of its folder after the rename. */
Test(bank_file, failure_at_each_step) {
    static const char *const FAULTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    pb_bank bank;
    fill(&bank, 5, 4);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        bool done = false;
        for (int hit = 1; !done; hit++) {
            char fault[64];
            oracle_write(path, "old", 3);
            snprintf(fault, sizeof fault, "%s@0:%d", FAULTS[i], hit);
            trouble_arm(fault);
            pb_status status = pb_bank_write(path, &bank);
            done = status.code == PB_OK;
            if (!done)
                sample_assert_failed(status, PB_E_SYSTEM, "cannot ");
            assert_only_bank(strcmp(fault, "io.fsync@0:2") != 0);
            cr_assert(done ? hit > 1 : hit < 100, "%s", fault);
        }
    }
    pb_bank_free(&bank);
}

Test(bank_file, folder_that_is_missing) {
    pb_bank bank;
    fill(&bank, 5, 4);
    sample_assert_failed(pb_bank_write(oracle_join(folder, "none/bank.h5"), &bank), PB_E_INPUT, "none/bank.h5: cannot create");
    pb_bank_free(&bank);
}

/* --- damage ----------------------------------------------------------------------------------------------------- */

/* Rows of an updated bank, from three archives. */
static void fill_from_three(pb_bank *bank, size_t rows) {
    fill(bank, rows, 3);
    sample_assert_ok(pb_attributes_set(&bank->attributes, "archive_sha256", "aaa,bb,c"));
    for (size_t i = 0; i < rows; i++)
        bank->archive[i] = (uint32_t)(i % 3);
}

Test(bank_file, rows_of_several_archives) {
    pb_bank whole, part;
    uint64_t total;
    fill_from_three(&whole, 12);
    sample_assert_ok(pb_bank_write(path, &whole));
    char *answer = python(12, 3); /* all else is as ever, for readers that know nothing of archives */
    cr_assert(strncmp(answer, "ok ", 3) == 0);
    free(answer);
    sample_assert_ok(pb_bank_read(path, 2, 9, &part, &total));
    assert_rows(&whole, 2, &part);
    cr_assert_eq(pb_bank_archives(&part.attributes), 3);
    cr_assert_eq(pb_bank_archive_number(&part.attributes, "bb"), 1);
    cr_assert_eq(pb_bank_archive_number(&part.attributes, "c"), 2);
    cr_assert_eq(pb_bank_archive_number(&part.attributes, "b"), -1);
    cr_assert_eq(pb_bank_archive_number(&part.attributes, "aaaa"), -1);
    pb_bank_free(&part);
    pb_bank_free(&whole);
    write_bank(12, 3);
    sample_assert_ok(pb_bank_read(path, 0, 12, &part, &total));
    cr_assert_eq(pb_bank_archives(&part.attributes), 1);
    cr_assert_eq(pb_bank_archive_number(&part.attributes, "aaa"), -1);
    pb_bank_free(&part);
}

static void assert_refused(const char *part) {
    pb_bank bank;
    uint64_t total;
    sample_assert_failed(pb_bank_read(path, 0, UINT64_MAX, &bank, &total), PB_E_INPUT, part);
    cr_assert(bank.rows == 0 && !bank.features && !bank.paths && bank.attributes.count == 0 && total == 0);
}

static void assert_damage_refused(const char *kind, const char *part) {
    char words[4 * ORACLE_PATH];
    write_bank(12, 3);
    snprintf(words, sizeof words, "'%s' '%s'", path, kind);
    free(oracle_python("tests/io/h5_damage.py", words, NULL));
    assert_refused(part);
}

Test(bank_file, refuses_what_is_no_bank) {
    static const char *const WRONG[][2] = {
        {"format", "bank.h5: is a patchbank-other file, not a patchbank-bank file"},
        {"format missing", "not a patchbank-bank file"},
        {"version newer", "version 2 of patchbank-bank is newer than this build reads (1): use a newer patchbank"},
        {"shorter:image", "dataset image has 11 values in dimension 0, expected 12"},
        {"wider:features", "dataset features has not the type"},
        {"missing:covering_radius", "cannot open dataset covering_radius"},
        {"first:features:nan", "a feature of bank row 0 is not a finite number"},
        {"last:covering_radius:nan", "the covering radius of bank row 11 is not a finite number"},
        {"shorter:path/bytes", "impossible offsets in dataset path/offset"},
        {"sparse:image", "dataset image claims more values"},
        {"external:image", "keeps its values outside of the file"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_damage_refused(WRONG[i][0], WRONG[i][1]);
    cr_assert_eq(remove(path), 0);
    assert_refused("bank.h5: cannot open as HDF5 file: No such file");
    oracle_write(path, "no HDF5", 7);
    assert_refused("bank.h5: cannot open as HDF5 file: ");
}

/* An archive that is not listed, and a column that is missing. */
Test(bank_file, refuses_rows_of_no_archive) {
    pb_bank bank;
    char words[4 * ORACLE_PATH];
    fill_from_three(&bank, 12);
    bank.archive[7] = 3;
    sample_assert_ok(pb_bank_write(path, &bank));
    assert_refused("bank row 7 is from archive 3, but archive_sha256 lists 3");
    bank.archive[7] = 2;
    sample_assert_ok(pb_bank_write(path, &bank));
    snprintf(words, sizeof words, "'%s' missing:archive", path);
    free(oracle_python("tests/io/h5_damage.py", words, NULL));
    assert_refused("cannot open dataset archive");
    pb_bank_free(&bank);
}

/* Every byte that counts is under a checksum: what is read is right or refused. */
Test(bank_file, flipped_bytes, .timeout = 120) {
    pb_bank whole, part;
    uint64_t total;
    size_t size, refused = 0;
    fill(&whole, 100, 8);
    sample_assert_ok(pb_bank_write(path, &whole));
    uint8_t *bytes = oracle_read(path, &size);
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t random = pb_random_u32(12, PB_STREAM_TEST, 0, i);
        size_t position = (random >> 8) % size;
        bytes[position] ^= (uint8_t)(random % 255 + 1);
        oracle_write(path, bytes, size);
        bytes[position] ^= (uint8_t)(random % 255 + 1);
        pb_status status = pb_bank_read(path, 0, UINT64_MAX, &part, &total);
        refused += status.code == PB_E_INPUT;
        if (status.code == PB_OK && total == 100)
            assert_rows(&whole, 0, &part);
        cr_assert(status.code == PB_E_INPUT || (total == 100 && part.attributes.count == 3), "byte %zu: %s", position,
                  status.message);
        pb_bank_free(&part);
    }
    cr_assert_gt(refused, 200, "%zu", refused); /* most of the file counts */
    pb_bank_free(&whole);
    free(bytes);
}

Test(bank_file, truncated) {
    size_t size;
    write_bank(12, 3);
    uint8_t *bytes = oracle_read(path, &size);
    for (size_t length = 0; length < size; length += length < 300 ? 13 : 331) {
        oracle_write(path, bytes, length);
        assert_refused("bank.h5: cannot open as HDF5 file: ");
    }
    free(bytes);
}
