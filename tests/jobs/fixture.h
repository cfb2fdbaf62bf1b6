/* fixture.h: a folder of its own for each test of a job, with images, a list and the program under test. */
#ifndef PB_TESTS_JOBS_FIXTURE_H
#define PB_TESTS_JOBS_FIXTURE_H

#include "shell.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];     /* of the present test */
static char said[1 << 17];  /* what the last command wrote */

/* Runs a shell command in the test's folder; its exit code. */
#define in_folder(format, ...) shell(said, sizeof said, "cd %s && " format, folder, ##__VA_ARGS__)

/* Runs `patchbank ARGUMENTS` on a number of ranks. */
#define patchbank(ranks, format, ...) \
    in_folder("%s -n %d --map-by :OVERSUBSCRIBE %s " format, PB_MPIEXEC, (ranks), PB_PROGRAM, ##__VA_ARGS__)

#define must(call, expected)                                                                 \
    do {                                                                                     \
        int code_ = (call);                                                                  \
        cr_assert(code_ == (expected), "exit code %d, not %d:\n%s", code_, (expected), said); \
    } while (0)

static inline void new_folder(void) {
    strcpy(folder, "/tmp/patchbank-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static inline void new_images(void) {
    new_folder();
    must(in_folder("%s %s/tests/jobs/make_images.py .", PB_PYTHON, PB_SOURCE_DIR), 0);
}

/* Images and an archive of them in three shards. */
static inline void new_archive(void) {
    new_images();
    must(patchbank(1, "pack --list list.csv --archive archive --shard-images 9"), 0);
}

static inline void remove_folder(void) {
    if (strncmp(folder, "/tmp/patchbank-test-", 20) == 0)
        shell(said, sizeof said, "rm -rf %s", folder);
}

static inline bool exists(const char *name) {
    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &info) == 0;
}

/* How many lines of what was said begin with "patchbank JOB: error". */
static inline int error_lines(void) {
    int count = 0;
    for (const char *at = said; (at = strstr(at, ": error")); at++)
        count++;
    return count;
}

/* The one line that a user must see: exactly one error line, with all of the given words in the output. */
static inline void says(const char *word) { cr_assert(strstr(said, word), "\"%s\" not in:\n%s", word, said); }

static inline void says_once(const char *word) {
    says(word);
    cr_assert_eq(error_lines(), 1, "%d error lines:\n%s", error_lines(), said);
}

/* No temporary file of ours is left in the test's folder. */
static inline void nothing_half_written(void) {
    must(in_folder("find . -name '*.part-*' | grep . ; test $? = 1"), 0);
}

#define TRAIN_OPTIONS "--weights random:7 --resize 96 --crop 96 --ratios 5%% --projection 64"

#endif
