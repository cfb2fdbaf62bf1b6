#include "io/bank_version.h"

#include "oracle.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char folder[ORACLE_PATH], path[ORACLE_PATH + 32];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/meta.json", folder);
}

static void remove_folder(void) { oracle_remove(folder); }

TestSuite(bank_version, .init = make_folder, .fini = remove_folder);

static pb_bank_version example(void) {
    return (pb_bank_version){.name = "000012",
                             .parent = "000011",
                             .bank_sha256 = SHA_A,
                             .archive_sha256 = SHA_B,
                             .rows = 4000000000,
                             .dim = 152,
                             .covering_radius = 0.1,
                             .generation = {4711, 2},
                             .gate = {.kind = "auroc",
                                      .figure = 0.95,
                                      .current_figure = 0.1 + 0.2,
                                      .margin = 0.02,
                                      .floor = 0.5,
                                      .threshold = NAN,
                                      .images = 400,
                                      .archive_sha256 = SHA_A},
                             .program_version = "0.1.0",
                             .program_commit = "abc",
                             .published = "2026-11-24T05:15:37.123Z"};
}

static bool same_real(double a, double b) { return isnan(a) ? isnan(b) : a >= b && a <= b; }

static void assert_same(const pb_bank_version *a, const pb_bank_version *b) {
    cr_assert_str_eq(a->name, b->name);
    cr_assert_str_eq(a->parent, b->parent);
    cr_assert_str_eq(a->restores, b->restores);
    cr_assert_str_eq(a->bank_sha256, b->bank_sha256);
    cr_assert_str_eq(a->archive_sha256, b->archive_sha256);
    cr_assert(a->rows == b->rows && a->dim == b->dim && same_real(a->covering_radius, b->covering_radius));
    cr_assert_eq(pb_generation_compare(a->generation, b->generation), 0);
    cr_assert_str_eq(a->gate.kind, b->gate.kind);
    cr_assert_str_eq(a->gate.archive_sha256, b->gate.archive_sha256);
    cr_assert(a->gate.images == b->gate.images && same_real(a->gate.figure, b->gate.figure));
    cr_assert(same_real(a->gate.current_figure, b->gate.current_figure) && same_real(a->gate.threshold, b->gate.threshold));
    cr_assert(same_real(a->gate.margin, b->gate.margin) && same_real(a->gate.floor, b->gate.floor));
    cr_assert_str_eq(a->program_version, b->program_version);
    cr_assert_str_eq(a->program_commit, b->program_commit);
    cr_assert_str_eq(a->published, b->published);
}

Test(bank_version, reads_what_was_written) {
    pb_bank_version written = example(), read;
    sample_assert_ok(pb_bank_version_write(path, &written));
    sample_assert_ok(pb_bank_version_read(path, &read));
    assert_same(&written, &read);
    written.gate = (pb_gate_record){0};
    strcpy(written.restores, "000003");
    written.parent[0] = '\0';
    written.covering_radius = NAN;
    sample_assert_ok(pb_bank_version_write(path, &written));
    sample_assert_ok(pb_bank_version_read(path, &read));
    assert_same(&written, &read);
}

/* Python's reader sees the same, every bit of the numbers. */
Test(bank_version, python_reads_it) {
    char command[4 * ORACLE_PATH + 512];
    pb_bank_version written = example();
    sample_assert_ok(pb_bank_version_write(path, &written));
    snprintf(command, sizeof command,
             "%s -c \"import json; m = json.load(open('%s')); g = m['gate']; assert m['format'] == 'patchbank-version' and "
             "m['version'] == 1 and m['rows'] == 4000000000 and m['restores'] is None and m['generation'] == '4711.2' and "
             "g['current_figure'] == 0.1 + 0.2 and g['threshold'] is None and m['covering_radius'] == 0.1, m\"",
             PB_PYTHON, path);
    cr_assert_eq(system(command), 0);
}

/* Writes the example with the first `from` in it replaced by `to`, and reads that. */
static pb_status read_changed(const char *from, const char *to) {
    pb_bank_version written = example(), read;
    size_t size;
    char changed[4096];
    sample_assert_ok(pb_bank_version_write(path, &written));
    char *text = (char *)oracle_read(path, &size);
    text = realloc(text, size + 1);
    text[size] = '\0';
    char *at = strstr(text, from);
    cr_assert_not_null(at, "%s not in %s", from, text);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    oracle_write(path, changed, strlen(changed));
    free(text);
    return pb_bank_version_read(path, &read);
}

Test(bank_version, refuses_what_is_none) {
    static const char *const WRONG[][3] = {
        {"patchbank-version", "patchbank-other", "format is not \"patchbank-version\""},
        {"\"version\": 1", "\"version\": 2", "version 2 of patchbank-version is newer than this build reads (1): use a newer"},
        {"\"version\": 1", "\"version\": 0", "version is not a number"},
        {"\"version\": 1", "\"version\": \"1\"", "version is not a number"},
        {"\"000012\"", "\"12\"", "name is missing or impossible"},
        {"\"name\"", "\"neme\"", "name is missing or impossible"},
        {"\"000011\"", "\"../../x\"", "parent is missing or impossible"},
        {"\"restores\": null", "\"restores\": 3", "restores is missing or impossible"},
        {SHA_A, "aaaa", "bank_sha256 is missing or impossible"},
        {SHA_B, "G123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "archive_sha256 is missing or impossible"},
        {"4000000000", "-1", "rows, dim or radius is missing or impossible"},
        {"152", "1e9", "rows, dim or radius is missing or impossible"},
        {"\"covering_radius\"", "\"radius\"", "rows, dim or radius is missing or impossible"},
        {"\"4711.2\"", "4711.2", "generation is missing or impossible"},
        {"\"4711.2\"", "\"4711.-2\"", "generation is missing or impossible"},
        {"\"figure\"", "\"figur\"", "gate is missing or impossible"},
        {"\"kind\": \"auroc\"", "\"kind\": \"\"", "gate is missing or impossible"},
        {"\"gate\"", "\"gates\"", "gate is missing or impossible"},
        {"\"0.1.0\"", "\"a version with a name that is much too long to be one\"", "program_version is missing or impossible"},
        {"\"abc\"", "null", "program_commit is missing or impossible"},
        {"\"published\"", "\"printed\"", "published is missing or impossible"},
        {"\"published\"", "\"name\": \"000012\", \"published\"", "not JSON"},
        {"}", "", "not JSON"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        sample_assert_failed(read_changed(WRONG[i][0], WRONG[i][1]), PB_E_INPUT, WRONG[i][2]);
    pb_bank_version read;
    sample_assert_failed(pb_bank_version_read(oracle_join(folder, "none"), &read), PB_E_INPUT, "none: cannot open");
}

Test(bank_version, names) {
    static const struct {
        const char *name;
        uint64_t number;
    } CASES[] = {{"000001", 1},  {"000012", 12}, {"999999", 999999}, {"1000000", 1000000}, {"000000", 0},
                 {"00001", 0},   {"0000001", 0}, {"part-1", 0},      {"00001x", 0},        {"", 0},
                 {".", 0},       {"-00001", 0},  {" 00001", 0},      {"1234567890123456789", 0}};
    char name[PB_VERSION_NAME];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        cr_assert_eq(pb_version_number(CASES[i].name), CASES[i].number, "%s", CASES[i].name);
        if (CASES[i].number > 0) {
            pb_version_name(CASES[i].number, name);
            cr_assert_str_eq(name, CASES[i].name);
        }
    }
}
