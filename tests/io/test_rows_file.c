#include "io/rows_file.h"

#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 1000, A_KEY = 3, DIM = 129 };

static char folder[ORACLE_PATH], path[ORACLE_PATH + 32];
static uint64_t keys[KEYS];
static float rows[KEYS * A_KEY * DIM];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/rows.h5", folder);
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = UINT64_C(5000000000) + 7 * i;
    for (size_t i = 0; i < KEYS * A_KEY * DIM; i++)
        rows[i] = (float)i * 0.5f - 3;
}

static void remove_folder(void) {
    trouble_arm("");
    oracle_remove(folder);
}

TestSuite(rows_file, .init = make_folder, .fini = remove_folder);

/* In pieces of uneven size. */
static pb_status write_rows(size_t count) {
    pb_attributes attributes = {0};
    pb_rows_writer *writer = NULL;
    sample_assert_ok(pb_attributes_set(&attributes, "weights", "abc"));
    pb_status status = pb_rows_create(path, &attributes, A_KEY, DIM, &writer);
    for (size_t at = 0, piece = 1; at < count && !pb_failed(&status); at += piece, piece = 2 * piece + 1) {
        size_t now = count - at < piece ? count - at : piece;
        status = pb_rows_append(writer, keys + at, now, rows + at * A_KEY * DIM);
    }
    if (!pb_failed(&status))
        status = pb_rows_commit(&writer);
    pb_rows_abandon(&writer);
    pb_attributes_free(&attributes);
    return status;
}

Test(rows_file, reads_what_was_written) {
    static float read[KEYS * A_KEY * DIM];
    pb_rows *file;
    size_t count;
    sample_assert_ok(write_rows(KEYS));
    sample_assert_ok(pb_rows_open(path, &file));
    cr_assert_eq(memcmp(pb_rows_keys(file, &count), keys, sizeof keys), 0);
    cr_assert(count == KEYS && pb_rows_a_key(file) == A_KEY && pb_rows_dim(file) == DIM);
    cr_assert_str_eq(pb_attributes_get(pb_rows_attributes(file), "weights"), "abc");
    sample_assert_ok(pb_rows_read(file, 0, KEYS, read));
    cr_assert_eq(memcmp(read, rows, sizeof rows), 0);
    sample_assert_ok(pb_rows_read(file, 17, 5, read));
    cr_assert_eq(memcmp(read, rows + 17 * A_KEY * DIM, 5 * A_KEY * DIM * sizeof *rows), 0);
    sample_assert_ok(pb_rows_read(file, KEYS, 0, read));
    pb_rows_close(&file);
    cr_assert_null(file);
}

Test(rows_file, refuses_what_is_none) {
    pb_rows *file;
    sample_assert_failed(pb_rows_open(path, &file), PB_E_INPUT, "rows.h5");
    cr_assert_null(file);
    sample_assert_ok(write_rows(0));
    sample_assert_failed(pb_rows_open(path, &file), PB_E_INPUT, "0 keys, but 0 rows of 129");
    sample_assert_ok(write_rows(KEYS));
    cr_assert_eq(truncate(path, 3000), 0);
    sample_assert_failed(pb_rows_open(path, &file), PB_E_INPUT, "rows.h5");
}

/* One byte in the middle of the rows: found when they are read. */
Test(rows_file, damaged_rows_are_noticed) {
    static float read[KEYS * A_KEY * DIM];
    pb_rows *file;
    size_t size;
    sample_assert_ok(write_rows(KEYS));
    unsigned char *bytes = oracle_read(path, &size);
    bytes[size / 2] ^= 4;
    oracle_write(path, bytes, size);
    free(bytes);
    sample_assert_ok(pb_rows_open(path, &file));
    sample_assert_failed(pb_rows_read(file, 0, KEYS, read), PB_E_INPUT, "rows.h5");
    pb_rows_close(&file);
}

Test(rows_file, is_complete_or_not_there) {
    static const char *const POINTS[] = {"io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    for (size_t i = 0; i < sizeof POINTS / sizeof POINTS[0]; i++) {
        trouble_arm(POINTS[i]);
        sample_assert_failed(write_rows(KEYS), PB_E_SYSTEM, "rows.h5");
        char *names = trouble_names(folder);
        cr_assert_str_eq(names, "");
        free(names);
    }
}
