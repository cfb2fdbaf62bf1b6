#include "io/rejected_file.h"

#include "base/fault.h"
#include "oracle.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[ORACLE_PATH], path[2 * ORACLE_PATH];

static void setup(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/rejected.csv", folder);
}

static void teardown(void) { oracle_remove(folder); }

TestSuite(rejected_file, .init = setup, .fini = teardown);

static pb_rejected_item items[] = {{7, "b/plain.png", "b/plain.png: truncated PNG (it ends after 3 bytes)"},
                                   {2, "a, \"b\".jpg", "a, \"b\".jpg: empty file"},
                                   {UINT64_MAX, "line\nend \xc3\xbc", ""},
                                   {0, "", "x"}};
enum { COUNT = sizeof items / sizeof *items };

Test(rejected_file, the_bytes_of_rfc_4180) {
    static const char EXPECTED[] = "path,index,reason\r\n"
                                   ",0,x\r\n"
                                   "\"a, \"\"b\"\".jpg\",2,\"a, \"\"b\"\".jpg: empty file\"\r\n"
                                   "b/plain.png,7,b/plain.png: truncated PNG (it ends after 3 bytes)\r\n"
                                   "\"line\nend \xc3\xbc\",18446744073709551615,\r\n";
    sample_assert_ok(pb_rejected_file_write(path, items, COUNT));
    size_t size;
    char *text = (char *)oracle_read(path, &size);
    cr_assert_str_eq(text, EXPECTED);
    free(text);
}

Test(rejected_file, without_items_there_is_no_file) {
    sample_assert_ok(pb_rejected_file_write(path, NULL, 0));
    cr_assert_neq(access(path, F_OK), 0);
    sample_assert_ok(pb_rejected_file_write(path, items, COUNT));
    cr_assert_eq(access(path, F_OK), 0);
    sample_assert_ok(pb_rejected_file_write(path, items, 0));
    cr_assert_neq(access(path, F_OK), 0);
}

Test(rejected_file, a_failing_write_leaves_the_old_file) {
    static const char *const FAULTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    oracle_write(path, "old", 3);
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) {
        sample_assert_ok(pb_fault_arm(FAULTS[i], 0));
        sample_assert_failed(pb_rejected_file_write(path, items, COUNT), PB_E_SYSTEM, "rejected.csv");
        size_t size;
        char *text = (char *)oracle_read(path, &size);
        cr_assert_str_eq(text, "old");
        free(text);
    }
    sample_assert_failed(pb_rejected_file_write(oracle_join(folder, "none/rejected.csv"), items, COUNT), PB_E_INPUT, "none");
}

Test(rejected_file, several_become_one) {
    char joined[2 * ORACLE_PATH], missing[2 * ORACLE_PATH], *parts[] = {path, missing, path};
    snprintf(joined, sizeof joined, "%s/joined.csv", folder);
    snprintf(missing, sizeof missing, "%s/missing.csv", folder);
    sample_assert_ok(pb_rejected_file_join(joined, parts, 3));
    cr_assert_neq(access(joined, F_OK), 0);
    sample_assert_ok(pb_rejected_file_write(path, items, 1));
    sample_assert_ok(pb_rejected_file_join(joined, parts, 3));
    size_t size;
    char *text = (char *)oracle_read(joined, &size), *row = strchr(text, '\n') + 1;
    size_t length = strlen(row) / 2;
    cr_assert_eq(strncmp(text, "path,index,reason\r\n", 19), 0);
    cr_assert(length > 10 && strncmp(row, row + length, length) == 0, "%s", text);
    free(text);
    oracle_write(path, "path,why\r\n", 10);
    sample_assert_failed(pb_rejected_file_join(joined, parts, 1), PB_E_INPUT, "rejected.csv: not a list of rejected images");
}
