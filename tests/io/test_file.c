/* Checks io/file.c: whole files, and outputs that are complete or not there, also when the machine fails at any step. */
#include "base/memory.h"
#include "io/file.h"
#include "oracle.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[ORACLE_PATH];

static void make_folder(void) { oracle_folder(folder); }

static void remove_folder(void) {
    trouble_arm("");
    oracle_remove(folder);
}

TestSuite(file, .init = make_folder, .fini = remove_folder);

static void assert_names(const char *expected) {
    char *names = trouble_names(folder);
    cr_assert_str_eq(names, expected);
    free(names);
}

static void assert_content(const char *name, const char *expected) {
    size_t size;
    char *bytes = (char *)oracle_read(oracle_join(folder, name), &size);
    cr_assert_str_eq(bytes, expected);
    free(bytes);
}

static void assert_failed(pb_status status, pb_code code, const char *part) {
    cr_assert_eq(status.code, code, "%s: %s", pb_code_name(status.code), status.message);
    cr_assert_not_null(strstr(status.message, part), "\"%s\" is not in: %s", part, status.message);
    cr_assert_null(strchr(status.message, '\n'));
}

static void assert_ok(pb_status status) { cr_assert_eq(status.code, PB_OK, "%s", status.message); }

/* --- reading ---------------------------------------------------------------------------------------------------- */

Test(file, reads_whole_and_ends_with_zero) {
    const char content[] = "a\0b";
    char *bytes;
    size_t size;
    oracle_write(oracle_join(folder, "x"), content, 3);
    assert_ok(pb_file_read(oracle_join(folder, "x"), 3, &bytes, &size));
    cr_assert_eq(size, 3);
    cr_assert_eq(memcmp(bytes, content, 4), 0);
    pb_release(&bytes);
    oracle_write(oracle_join(folder, "empty"), "", 0);
    assert_ok(pb_file_read(oracle_join(folder, "empty"), 0, &bytes, &size));
    cr_assert_eq(size, 0);
    cr_assert_eq(bytes[0], 0);
    pb_release(&bytes);
}

Test(file, refuses_what_is_no_file_of_that_size) {
    char *bytes = folder;
    size_t size = 7;
    oracle_write(oracle_join(folder, "x"), "1234", 4);
    assert_failed(pb_file_read(oracle_join(folder, "x"), 3, &bytes, &size), PB_E_INPUT, "x: 4 bytes, more than the 3");
    cr_assert_null(bytes);
    cr_assert_eq(size, 0);
    assert_failed(pb_file_read(folder, 100, &bytes, &size), PB_E_INPUT, "not a regular file");
    assert_failed(pb_file_read(oracle_join(folder, "none"), 100, &bytes, &size), PB_E_INPUT, "none: cannot open: No such");
    assert_failed(pb_file_read(oracle_join(folder, "x/y"), 100, &bytes, &size), PB_E_INPUT, "Not a directory");
    cr_assert_eq(mkfifo(oracle_join(folder, "pipe"), 0600), 0);
    assert_failed(pb_file_read(oracle_join(folder, "pipe"), 100, &bytes, &size), PB_E_INPUT, "not a regular file");
}

Test(file, read_failure_is_the_machine_s) {
    char *bytes;
    size_t size;
    oracle_write(oracle_join(folder, "x"), "1234", 4);
    trouble_arm("io.read");
    assert_failed(pb_file_read(oracle_join(folder, "x"), 100, &bytes, &size), PB_E_SYSTEM, "x: cannot read: Input/output error");
    cr_assert_null(bytes);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

Test(file, joins_paths) {
    static const char *const CASES[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {"a", "/b/c", "/b/c"}, {"a/b", "c/d", "a/b/c/d"},
    };
    char joined[PB_PATH_MAX];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_ok(pb_path_join(CASES[i][0], CASES[i][1], joined));
        cr_assert_str_eq(joined, CASES[i][2]);
    }
}

Test(file, joins_up_to_the_limit) {
    char name[PB_PATH_MAX + 1], joined[PB_PATH_MAX];
    memset(name, 'n', sizeof name);
    name[PB_PATH_MAX - 3] = '\0'; /* "f/" and the 0 beside it */
    assert_ok(pb_path_join("f", name, joined));
    cr_assert_eq(strlen(joined), (size_t)PB_PATH_MAX - 1);
    name[PB_PATH_MAX - 3] = 'n';
    name[PB_PATH_MAX - 2] = '\0';
    assert_failed(pb_path_join("f", name, joined), PB_E_INPUT, "f/nnn");
}

Test(file, creates_folders) {
    char path[PB_PATH_MAX];
    snprintf(path, sizeof path, "%s/a/b//c/", folder);
    assert_ok(pb_folder_create(path));
    assert_ok(pb_folder_create(path)); /* is there already */
    oracle_write(oracle_join(folder, "a/b/c/x"), "1", 1);
    assert_ok(pb_folder_create(oracle_join(folder, "a")));
    cr_assert_eq(chdir(folder), 0);
    assert_ok(pb_folder_create("r/s"));
    oracle_write(oracle_join(folder, "r/s/x"), "1", 1);
    assert_failed(pb_folder_create(oracle_join(folder, "r/s/x")), PB_E_INPUT, "something else stands there");
    assert_failed(pb_folder_create(oracle_join(folder, "r/s/x/y")), PB_E_INPUT, "something else stands there");
    trouble_arm("io.mkdir");
    assert_failed(pb_folder_create(oracle_join(folder, "full")), PB_E_SYSTEM, "No space left on device");
}

/* --- complete or not there -------------------------------------------------------------------------------------- */

Test(file, writes_and_replaces) {
    assert_ok(pb_file_write(oracle_join(folder, "x"), "one", 3));
    assert_content("x", "one");
    assert_ok(pb_file_write(oracle_join(folder, "x"), "2", 1));
    assert_content("x", "2");
    assert_ok(pb_file_write(oracle_join(folder, "empty"), "", 0));
    assert_content("empty", "");
    assert_names("empty x ");
}

Test(file, writes_in_the_working_folder) {
    cr_assert_eq(chdir(folder), 0);
    assert_ok(pb_file_write("x", "one", 3));
    assert_content("x", "one");
}

Test(file, refuses_places_that_cannot_be_written) {
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_eq(mkdir(oracle_join(folder, "sub"), 0777), 0);
    assert_failed(pb_file_write(oracle_join(folder, "none/x"), "1", 1), PB_E_INPUT, "none/x: cannot create: No such");
    assert_failed(pb_file_write(oracle_join(folder, "sub"), "1", 1), PB_E_INPUT, "a folder stands there");
    assert_failed(pb_file_write(oracle_join(folder, name), "1", 1), PB_E_INPUT, "File name too long");
    assert_failed(pb_file_write("/proc/patchbank", "1", 1), PB_E_INPUT, "/proc/patchbank: cannot create");
    assert_names("sub ");
    if (geteuid() != 0) { /* nothing is closed to root */
        cr_assert_eq(chmod(oracle_join(folder, "sub"), 0500), 0);
        assert_failed(pb_file_write(oracle_join(folder, "sub/x"), "1", 1), PB_E_INPUT, "Permission denied");
    }
}

Test(file, stale_temporary_file_is_replaced) {
    char stale[PB_PATH_MAX];
    pb_output output = {0};
    snprintf(stale, sizeof stale, "%s/x.part-%ld", folder, (long)getpid());
    oracle_write(stale, "stale", 5);
    assert_ok(pb_output_begin(&output, oracle_join(folder, "x")));
    cr_assert_str_eq(output.temporary, stale);
    oracle_write(output.temporary, "new", 3);
    assert_ok(pb_output_commit(&output));
    pb_output_abandon(&output);
    assert_content("x", "new");
    assert_names("x ");
}

Test(file, abandoned_output_leaves_nothing) {
    pb_output output = {0};
    pb_output_abandon(&output);
    assert_ok(pb_output_begin(&output, oracle_join(folder, "x")));
    pb_output_abandon(&output);
    pb_output_abandon(&output);
    assert_names("");
}

/* At every step at which the machine can fail, an older file stays and nothing else does. The flush of the folder after the
 * rename (the second io.fsync) is the exception that the contract names. */
Test(file, failure_at_each_step) {
    static const char *const FAULTS[][3] = {
        {"io.create", "No space left on device", "old"}, {"io.write", "No space left on device", "old"},
        {"io.close", "No space left on device", "old"},  {"io.fsync", "Input/output error", "old"},
        {"io.rename", "Input/output error", "old"},      {"io.fsync@0:2", "Input/output error", NULL},
    };
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        oracle_write(oracle_join(folder, "x"), "old", 3);
        trouble_arm(FAULTS[i][0]);
        pb_status status = pb_file_write(oracle_join(folder, "x"), "new", 3);
        assert_failed(status, PB_E_SYSTEM, FAULTS[i][1]);
        assert_names(FAULTS[i][2] ? "x " : "");
        if (FAULTS[i][2])
            assert_content("x", FAULTS[i][2]);
    }
}

static pb_status write_much(void *path) {
    char bytes[10000] = {0};
    return pb_file_write(path, bytes, sizeof bytes);
}

Test(file, full_disk) {
    static const long LIMITS[] = {0, 1, 4096, 9999};
    char path[PB_PATH_MAX];
    snprintf(path, sizeof path, "%s/x", folder);
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        assert_failed(trouble_child(write_much, path, LIMITS[i], 0), PB_E_SYSTEM, "x: cannot write: File too large");
        assert_names("");
    }
    assert_ok(trouble_child(write_much, path, 10000, 0));
    assert_names("x ");
}

/* --- pairs ------------------------------------------------------------------------------------------------------ */

static pb_status commit_two(const char *content) {
    pb_output marker = {0}, companion = {0};
    assert_ok(pb_output_begin(&marker, oracle_join(folder, "marker")));
    assert_ok(pb_output_begin(&companion, oracle_join(folder, "companion")));
    oracle_write(marker.temporary, content, strlen(content));
    oracle_write(companion.temporary, content, strlen(content));
    return pb_output_commit_pair(&marker, &companion);
}

/* --- copying ---------------------------------------------------------------------------------------------------- */

/* Sizes about those of the pieces in which a copy is made. */
Test(file, copies_files_of_any_size) {
    static const size_t SIZES[] = {0, 1, 65535, 65536, 65537, 200000};
    char from[2 * ORACLE_PATH], to[2 * ORACLE_PATH];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(to, sizeof to, "%s/to", folder);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        size_t size;
        uint8_t *bytes = malloc(SIZES[i] + 1);
        for (size_t k = 0; k < SIZES[i]; k++)
            bytes[k] = (uint8_t)(k * 2654435761u >> 13);
        oracle_write(from, bytes, SIZES[i]);
        assert_ok(pb_file_copy(from, to));
        uint8_t *copied = oracle_read(to, &size);
        cr_assert(size == SIZES[i] && memcmp(bytes, copied, size) == 0, "%zu bytes", SIZES[i]);
        free(copied);
        free(bytes);
    }
    assert_names("from to ");
}

Test(file, a_copy_that_fails_is_not_there) {
    char from[2 * ORACLE_PATH], to[2 * ORACLE_PATH];
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(to, sizeof to, "%s/to", folder);
    assert_failed(pb_file_copy(from, to), PB_E_INPUT, "from: cannot open");
    assert_names("");
    oracle_write(from, "x", 1);
    assert_failed(pb_file_copy(folder, to), PB_E_INPUT, "cannot read: Is a directory");
    trouble_arm("io.read");
    assert_failed(pb_file_copy(from, to), PB_E_SYSTEM, "from: cannot read: Input/output error");
    trouble_arm("io.write");
    assert_failed(pb_file_copy(from, to), PB_E_SYSTEM, "to: cannot write: No space left");
    assert_names("from ");
}

Test(file, folders_are_known_and_flushed) {
    oracle_write(oracle_join(folder, "x"), "x", 1);
    cr_assert(pb_is_folder(folder));
    cr_assert(!pb_is_folder(oracle_join(folder, "x")) && !pb_is_folder(oracle_join(folder, "none")));
    assert_ok(pb_folder_flush(folder));
    assert_failed(pb_folder_flush(oracle_join(folder, "none")), PB_E_INPUT, "none: cannot open to flush it");
    trouble_arm("io.fsync");
    assert_failed(pb_folder_flush(folder), PB_E_SYSTEM, "cannot flush to the disk");
}

/* --- listing ---------------------------------------------------------------------------------------------------- */

/* Collects names as bits of "abc"; at `stop` it fails. */
typedef struct seen {
    unsigned bits;
    char stop;
} seen;

static pb_status see(void *context, int descriptor, const char *name) {
    seen *all = context;
    struct stat facts;
    cr_assert(strlen(name) == 1 && name[0] >= 'a' && name[0] <= 'c', "%s", name);
    cr_assert_eq(fstatat(descriptor, name, &facts, 0), 0);
    all->bits |= 1u << (name[0] - 'a');
    errno = EBADF; /* which is the visitor's business */
    return name[0] == all->stop ? pb_fail(PB_E_NO, "stop") : pb_ok();
}

Test(file, names_of_a_folder) {
    seen all = {0};
    bool there = false;
    for (const char *name = "abc"; *name; name++)
        oracle_write(oracle_join(folder, (char[]){*name, '\0'}), "", 0);
    assert_ok(pb_folder_each(folder, &there, see, &all));
    cr_assert(there && all.bits == 7, "%x", all.bits);
    assert_ok(pb_folder_each(folder, NULL, see, &all));
    all = (seen){.stop = 'b'};
    assert_failed(pb_folder_each(folder, &there, see, &all), PB_E_NO, "stop");
    cr_assert(all.bits & 2);
    assert_ok(pb_folder_each(oracle_join(folder, "none"), &there, see, &all));
    cr_assert_not(there);
    assert_failed(pb_folder_each(oracle_join(folder, "none"), NULL, see, &all), PB_E_INPUT, "none: cannot list: No such");
    assert_failed(pb_folder_each(oracle_join(folder, "a"), &there, see, &all), PB_E_INPUT, "a: cannot list: Not a directory");
    cr_assert(there);
}

/* At each of six steps: of "a", "b", "c", ".", ".." and of the end. Nothing that was not seen is taken for removed. */
Test(file, a_folder_that_cannot_be_read_to_its_end) {
    char path[2 * ORACLE_PATH], fault[32];
    snprintf(path, sizeof path, "%s/full", folder);
    for (int step = 1; step <= 6; step++) {
        seen all = {0};
        assert_ok(pb_folder_create(path));
        for (const char *name = "abc"; *name; name++)
            oracle_write(oracle_join(path, (char[]){*name, '\0'}), "", 0);
        snprintf(fault, sizeof fault, "io.list@0:%d", step);
        trouble_arm(fault);
        assert_failed(pb_folder_each(path, NULL, see, &all), PB_E_SYSTEM, "full: cannot list: Input/output error");
        cr_assert(step < 6 || all.bits == 7);
        trouble_arm(fault);
        assert_failed(pb_folder_remove(path), PB_E_SYSTEM, "full: cannot list: Input/output error");
        cr_assert(pb_is_folder(path));
    }
    assert_ok(pb_folder_remove(path));
    assert_names("");
}

/* --- pairs ------------------------------------------------------------------------------------------------------ */

Test(file, pair_is_committed) {
    assert_ok(commit_two("old"));
    assert_ok(commit_two("new"));
    assert_content("marker", "new");
    assert_content("companion", "new");
    assert_names("companion marker ");
}

Test(file, pair_or_neither) {
    static const char *const FAULTS[] = {"io.fsync",  "io.fsync@0:2",  "io.fsync@0:3", "io.fsync@0:4",
                                         "io.rename", "io.rename@0:2"};
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        trouble_arm(FAULTS[i]);
        assert_failed(commit_two("new"), PB_E_SYSTEM, "Input/output error");
        assert_names("");
    }
}
