#include "io/bank_store.h"

#include "base/fault.h"
#include "base/memory.h"
#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHA_ARCHIVE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char folder[ORACLE_PATH], store[ORACLE_PATH + 32], bank[ORACLE_PATH + 32];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(store, sizeof store, "%s/store/parts", folder);
    snprintf(bank, sizeof bank, "%s/candidate", folder);
}

static void remove_folder(void) { oracle_remove(folder); }

TestSuite(bank_store, .init = make_folder, .fini = remove_folder, .timeout = 120);

/* --- what the tests are about ----------------------------------------------------------------------------------- */

enum { BANK_BYTES = 150000 }; /* more than two pieces of a copy */

/* The store asks nothing of a bank but that it is a file: here, many times the same number. */
static void write_bank(int number) {
    static char text[BANK_BYTES];
    for (size_t at = 0; at < sizeof text; at += 10)
        snprintf(text + at, sizeof text - at, "%9d\n", number);
    oracle_write(bank, text, sizeof text);
}

static pb_bank_version described(int number) {
    pb_bank_version version = {.archive_sha256 = SHA_ARCHIVE,
                               .rows = (uint64_t)number,
                               .dim = 4,
                               .covering_radius = 1.5,
                               .generation = {number, 0},
                               .program_version = "0.1.0",
                               .program_commit = "abc",
                               .published = "2026-11-24T05:15:37.123Z"};
    write_bank(number);
    sample_assert_ok(pb_sha256_file(bank, version.bank_sha256));
    return version;
}

/* As a job does it: the next version, after the one that is current. */
static pb_status publish(int number, pb_place place) {
    pb_bank_version current, version = described(number);
    pb_lock lock = {0};
    PB_TRY(pb_bank_store_lock(store, true, 60, "a test", &lock));
    pb_status status = pb_bank_store_head(store, &current);
    strcpy(version.parent, current.name);
    if (!pb_failed(&status))
        status = pb_bank_store_add(store, current.name, bank, place, &version);
    if (!pb_failed(&status))
        status = pb_bank_store_point(store);
    pb_lock_release(&lock);
    return status;
}

/* Whether a version's bank is all there and is what its meta.json says. */
static bool is_whole(const pb_bank_version *version) {
    char path[PB_PATH_MAX], sha256[PB_SHA256_TEXT];
    struct stat facts;
    sample_assert_ok(pb_bank_store_path(store, version->name, path));
    pb_status status = pb_sha256_file(path, sha256);
    return !pb_failed(&status) && stat(path, &facts) == 0 && facts.st_size == BANK_BYTES &&
           strcmp(sha256, version->bank_sha256) == 0;
}

/* All versions are whole. Returns how many. */
static size_t count_versions(void) {
    pb_bank_version *versions;
    size_t count;
    sample_assert_ok(pb_bank_store_list(store, &versions, &count));
    for (size_t i = 0; i < count; i++)
        cr_assert(is_whole(&versions[i]), "%s", versions[i].name);
    pb_release(&versions);
    return count;
}

static char *names_in(const char *name) {
    char path[PB_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", store, name);
    return trouble_names(path);
}

/* Exactly these versions are there, and nothing unfinished. */
static void assert_versions(const char *names) {
    char *found = names_in("versions");
    cr_assert_str_eq(found, names);
    free(found);
}

static void assert_link(const char *target) {
    char path[PB_PATH_MAX], found[64] = "";
    snprintf(path, sizeof path, "%s/current", store);
    cr_assert_gt(readlink(path, found, sizeof found - 1), 0);
    cr_assert_str_eq(found, target);
}

static void assert_current(const char *name, uint64_t rows) {
    pb_bank_version current;
    sample_assert_ok(pb_bank_store_current(store, &current));
    cr_assert_str_eq(current.name, name);
    cr_assert_eq(current.rows, rows);
    cr_assert(is_whole(&current));
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

Test(bank_store, versions_follow_each_other) {
    pb_bank_version found;
    for (int i = 1; i <= 3; i++)
        sample_assert_ok(publish(100 + i, PB_PLACE_COPY));
    assert_versions("000001 000002 000003 ");
    assert_current("000003", 103);
    assert_link("versions/000003");
    cr_assert_eq(count_versions(), 3);
    sample_assert_ok(pb_bank_store_find(store, "000002", &found));
    cr_assert(found.rows == 102 && strcmp(found.parent, "000001") == 0);
    sample_assert_failed(pb_bank_store_find(store, "000004", &found), PB_E_INPUT, "parts: has no version 000004");
    sample_assert_failed(pb_bank_store_find(store, "../versions/000001", &found), PB_E_INPUT, "has no version");
}

Test(bank_store, sha256sum_agrees) {
    char command[PB_PATH_MAX + 128];
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    char *names = names_in("versions/000001");
    cr_assert_str_eq(names, "bank.h5 bank.h5.sha256 meta.json ");
    free(names);
    snprintf(command, sizeof command, "cd %s/current && sha256sum --quiet -c bank.h5.sha256 && cmp bank.h5 %s", store, bank);
    cr_assert_eq(system(command), 0);
}

Test(bank_store, what_is_no_store_and_what_is_empty) {
    pb_bank_version version, *versions;
    size_t count;
    pb_lock lock = {0};
    sample_assert_failed(pb_bank_store_current(store, &version), PB_E_INPUT,
                         "parts: not a bank of a store: it has no folder vers");
    sample_assert_failed(pb_bank_store_list(store, &versions, &count), PB_E_INPUT, "not a bank of a store");
    sample_assert_failed(pb_bank_store_lock(store, false, 0, "x", &lock), PB_E_INPUT, "not a bank of a store");
    sample_assert_ok(pb_bank_store_head(store, &version));
    cr_assert_str_eq(version.name, "");
    sample_assert_ok(pb_bank_store_lock(store, true, 0, "x", &lock));
    pb_lock_release(&lock);
    sample_assert_ok(pb_bank_store_head(store, &version));
    cr_assert_str_eq(version.name, "");
    sample_assert_failed(pb_bank_store_current(store, &version), PB_E_INPUT, "parts: no bank has been published yet");
    sample_assert_ok(pb_bank_store_list(store, &versions, &count));
    cr_assert_eq(count, 0);
    pb_release(&versions);
}

Test(bank_store, a_bank_that_changed_meanwhile_is_refused) {
    pb_bank_version version = described(2);
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    write_bank(3);
    sample_assert_failed(pb_bank_store_add(store, "000001", bank, PB_PLACE_COPY, &version), PB_E_INPUT,
                         "candidate: its SHA-256 is");
    assert_versions("000001 ");
    cr_assert_eq(remove(bank), 0);
    sample_assert_failed(pb_bank_store_add(store, "000001", bank, PB_PLACE_COPY, &version), PB_E_INPUT, "candidate: cannot open");
    assert_versions("000001 ");
}

Test(bank_store, a_link_shares_the_file) {
    char path[PB_PATH_MAX];
    struct stat facts;
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    sample_assert_ok(publish(2, PB_PLACE_LINK));
    sample_assert_ok(pb_bank_store_path(store, "000002", path));
    cr_assert_eq(stat(path, &facts), 0);
    cr_assert_eq(facts.st_nlink, 2);
    sample_assert_ok(pb_bank_store_path(store, "000001", path));
    cr_assert_eq(stat(path, &facts), 0);
    cr_assert_eq(facts.st_nlink, 1);
    cr_assert_eq(count_versions(), 2);
}

/* What stands under another version's number, or is damaged, is said and not taken for the current bank. */
Test(bank_store, damaged_versions_are_named) {
    pb_bank_version version, *versions;
    size_t count;
    char command[2 * PB_PATH_MAX];
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    snprintf(command, sizeof command, "cp -r %s/versions/000001 %s/versions/000002", store, store);
    cr_assert_eq(system(command), 0);
    sample_assert_failed(pb_bank_store_current(store, &version), PB_E_INPUT, "000002/meta.json: says it is version 000001");
    snprintf(command, sizeof command, "rm %s/versions/000002/meta.json", store);
    cr_assert_eq(system(command), 0);
    sample_assert_failed(pb_bank_store_current(store, &version), PB_E_INPUT, "000002/meta.json: cannot open");
    sample_assert_failed(pb_bank_store_list(store, &versions, &count), PB_E_INPUT, "000002/meta.json: cannot open");
    cr_assert(!versions && count == 0);
    snprintf(command, sizeof command, "rm -r %s/versions/000002; mkdir %s/versions/0000003 %s/versions/notes", store, store,
             store);
    cr_assert_eq(system(command), 0);
    assert_current("000001", 1);
    cr_assert_eq(count_versions(), 1);
}

/* --- two at once ------------------------------------------------------------------------------------------------ */

/* The one who looked before the other published gets nothing, and nothing of the other's is touched. */
Test(bank_store, the_slower_of_two_is_told) {
    pb_bank_version late = described(3);
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    sample_assert_ok(publish(2, PB_PLACE_COPY));
    write_bank(3);
    sample_assert_failed(pb_bank_store_add(store, "000001", bank, PB_PLACE_COPY, &late), PB_E_SYSTEM,
                         "parts: version 000002 was published meanwhile, by another; nothing was changed: try again");
    assert_versions("000001 000002 ");
    assert_current("000002", 2);
    assert_link("versions/000002");
}

/* A publisher whose node hangs in the last moment, and wakes up when a newer one is through. No lock protects from that: the one
 * that hangs has it, or the file system has none. */
Test(bank_store, a_sleeper_publishes_nothing) {
    int end;
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    pid_t sleeper = fork();
    cr_assert_geq(sleeper, 0);
    if (sleeper == 0) {
        pb_bank_version late = described(2);
        pb_status status = pb_fault_arm("io.rename@0:4!stop", 0); /* after those of three files */
        if (!pb_failed(&status))
            status = pb_bank_store_add(store, "000001", bank, PB_PLACE_COPY, &late);
        _exit(status.code);
    }
    cr_assert_eq(waitpid(sleeper, &end, WUNTRACED), sleeper);
    cr_assert(WIFSTOPPED(end));
    sample_assert_ok(publish(3, PB_PLACE_COPY));
    cr_assert_eq(kill(sleeper, SIGCONT), 0);
    cr_assert_eq(waitpid(sleeper, &end, 0), sleeper);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == PB_E_SYSTEM, "%x", (unsigned)end);
    assert_versions("000001 000002 ");
    assert_current("000002", 3);
    assert_link("versions/000002");
}

/* Without any lock: each of four processes publishes five times, and tries again when another was faster. */
Test(bank_store, publishers_without_locks_lose_nothing) {
    enum { PUBLISHERS = 4, EACH = 5 };
    pid_t children[PUBLISHERS];
    pb_bank_version *versions;
    size_t count;
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    for (int p = 0; p < PUBLISHERS; p++)
        if ((children[p] = fork()) == 0) {
            pb_bank_version current, version;
            pb_status status = pb_ok();
            snprintf(bank, sizeof bank, "%s/candidate-%d", folder, p);
            for (int done = 0; done < EACH && (status.code == PB_OK || status.code == PB_E_SYSTEM);) {
                version = described(10 + p);
                status = pb_bank_store_current(store, &current);
                strcpy(version.parent, current.name);
                if (!pb_failed(&status))
                    status = pb_bank_store_add(store, current.name, bank, PB_PLACE_COPY, &version);
                done += !pb_failed(&status);
            }
            _exit(status.code);
        }
    for (int p = 0; p < PUBLISHERS; p++) {
        int end;
        cr_assert_eq(waitpid(children[p], &end, 0), children[p]);
        cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "publisher %d: %x", p, (unsigned)end);
    }
    cr_assert_eq(count_versions(), 1 + PUBLISHERS * EACH);
    sample_assert_ok(pb_bank_store_list(store, &versions, &count));
    for (size_t i = 1; i < count; i++)
        cr_assert_str_eq(versions[i].parent, versions[i - 1].name);
    pb_release(&versions);
}

/* --- readers ---------------------------------------------------------------------------------------------------- */

/* Twenty processes look up the current version and read its bank, again and again, while fifty are published and old ones are
 * removed. Each reader counts in shared memory; a failure, or a bank that is not whole, ends it with 1. */
Test(bank_store, readers_are_never_disturbed) {
    enum { READERS = 20, PUBLISHED = 50 };
    int *shared = mmap(NULL, (READERS + 1) * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    volatile int *stop = shared, *seen = shared + 1;
    pid_t children[READERS];
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    for (int r = 0; r < READERS; r++)
        if ((children[r] = fork()) == 0) {
            pb_bank_version version;
            bool whole = true;
            for (uint64_t last = 0; whole && !*stop; seen[r]++) {
                pb_status status = pb_bank_store_current(store, &version);
                whole = !pb_failed(&status) && is_whole(&version) && pb_version_number(version.name) >= last;
                last = pb_version_number(version.name);
            }
            _exit(whole ? 0 : 1);
        }
    for (int i = 2; i <= PUBLISHED; i++) {
        pb_lock lock = {0};
        sample_assert_ok(publish(i, PB_PLACE_COPY));
        sample_assert_ok(pb_bank_store_lock(store, false, 60, "gc", &lock));
        pb_status status = pb_bank_store_gc(store, &lock, 1, 3600, NULL, NULL);
        pb_lock_release(&lock);
        sample_assert_ok(status);
    }
    for (int r = 0; r < READERS; r++)
        while (seen[r] == 0)
            usleep(1000);
    *stop = 1;
    for (int r = 0; r < READERS; r++) {
        int end;
        cr_assert_eq(waitpid(children[r], &end, 0), children[r]);
        cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "reader %d after %d readings", r, seen[r]);
    }
    cr_assert_eq(count_versions(), PUBLISHED);
    munmap(shared, (READERS + 1) * sizeof *shared);
}

/* --- a failing machine ------------------------------------------------------------------------------------------ */

static const char *const FAULTS[] = {"io.mkdir", "io.read", "io.create", "io.write", "io.close", "io.fsync", "io.rename"};
enum { FAULT_COUNT = sizeof FAULTS / sizeof FAULTS[0], HITS_MAX = 100 };

/* Each step fails once. Either nothing is published, or, when only the names could not be flushed or the link not be switched,
 * all of it; in either case the next one publishes, and nothing unfinished is left. */
Test(bank_store, failure_at_each_step) {
    size_t versions = 1;
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    for (int i = 0; i < FAULT_COUNT; i++) {
        bool done = false;
        for (int hit = 1; !done; hit++) {
            char fault[64], *names;
            snprintf(fault, sizeof fault, "%s@0:%d", FAULTS[i], hit);
            trouble_arm(fault);
            pb_status status = publish(hit, PB_PLACE_COPY);
            done = status.code == PB_OK;
            if (!done)
                sample_assert_failed(status, PB_E_SYSTEM, "cannot ");
            trouble_arm("");
            size_t now = count_versions();
            cr_assert(now == versions + 1 || (!done && now == versions), "%s: %zu versions, %zu before", fault, now, versions);
            names = names_in("versions");
            cr_assert_null(strstr(names, "part-"), "%s left %s", fault, names);
            free(names);
            versions = now;
            cr_assert(hit < HITS_MAX && (!done || hit > 1), "%s", fault);
        }
    }
}

/* Kill -9 at each of the same steps: the store is whole, its lock is free, the next one publishes, gc sweeps the rest. */
Test(bank_store, a_publisher_that_is_killed_at_each_step) {
    size_t versions = 1;
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    for (int i = 0; i < FAULT_COUNT; i++) {
        bool done = false;
        for (int hit = 1; !done; hit++) {
            int end;
            char fault[64];
            snprintf(fault, sizeof fault, "%s@0:%d!kill", FAULTS[i], hit);
            pid_t child = fork();
            cr_assert_geq(child, 0);
            if (child == 0) {
                pb_status status = pb_fault_arm(fault, 0);
                _exit(pb_failed(&status) ? status.code : publish(hit, PB_PLACE_COPY).code);
            }
            cr_assert_eq(waitpid(child, &end, 0), child);
            done = WIFEXITED(end) && WEXITSTATUS(end) == 0;
            cr_assert(done || (WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL), "%s: %x", fault, (unsigned)end);
            size_t now = count_versions();
            cr_assert(now == versions + 1 || (!done && now == versions), "%s: %zu versions, %zu before", fault, now, versions);
            sample_assert_ok(publish(HITS_MAX + hit, PB_PLACE_COPY));
            versions = count_versions();
            cr_assert_eq(versions, now + 1, "%s", fault);
            cr_assert(hit < HITS_MAX && (!done || hit > 1), "%s", fault);
        }
    }
    pb_lock lock = {0};
    char *names = names_in("versions");
    cr_assert_not_null(strstr(names, "part-"), "nothing was killed in the middle");
    free(names);
    sample_assert_ok(pb_bank_store_lock(store, false, 0, "gc", &lock));
    sample_assert_ok(pb_bank_store_gc(store, &lock, 1000000, 0, NULL, NULL));
    pb_lock_release(&lock);
    names = names_in("versions");
    cr_assert_null(strstr(names, "part-"), "%s", names);
    free(names);
    cr_assert_eq(count_versions(), versions);
}

static pb_status publish_work(void *context) {
    (void)context;
    pb_bank_version version;
    char current[PB_VERSION_NAME] = "000001";
    PB_TRY(pb_bank_store_find(store, current, &version));
    strcpy(version.parent, current);
    PB_TRY(pb_sha256_file(bank, version.bank_sha256));
    return pb_bank_store_add(store, current, bank, PB_PLACE_COPY, &version);
}

/* As on a disk that is full after so many bytes of a file. */
Test(bank_store, full_disk) {
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    write_bank(2);
    for (long limit = 0; limit < BANK_BYTES; limit += BANK_BYTES / 7) {
        sample_assert_failed(trouble_child(publish_work, NULL, limit, 0), PB_E_SYSTEM, "bank.h5: cannot write: File too large");
        assert_versions("000001 ");
        assert_current("000001", 1);
    }
    sample_assert_ok(trouble_child(publish_work, NULL, BANK_BYTES, 0));
    assert_versions("000001 000002 ");
}

/* --- gc --------------------------------------------------------------------------------------------------------- */

static char removed[1024];

static void note_removed(void *context, const char *name) {
    (void)context;
    strcat(strcat(removed, name), " ");
}

static void collect(int64_t keep, double grace_s, const char *expected) {
    pb_lock lock = {0};
    removed[0] = '\0';
    sample_assert_ok(pb_bank_store_lock(store, false, 0, "gc", &lock));
    pb_status status = pb_bank_store_gc(store, &lock, keep, grace_s, note_removed, NULL);
    pb_lock_release(&lock);
    sample_assert_ok(status);
    cr_assert_str_eq(removed, expected, "keep %ld, grace %g: %s", (long)keep, grace_s, removed);
}

/* Makes a version older by its hours: what dates it is the time of its meta.json. */
static void age(const char *name, const char *file, int hours) {
    char path[PB_PATH_MAX];
    struct stat facts;
    snprintf(path, sizeof path, "%s/versions/%s/%s", store, name, file);
    cr_assert_eq(stat(path, &facts), 0);
    struct timespec times[2] = {{facts.st_atim.tv_sec, 0}, {facts.st_mtim.tv_sec - 3600 * hours, 0}};
    cr_assert_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

Test(bank_store, gc_keeps_the_last_and_their_parents) {
    for (int i = 1; i <= 6; i++)
        sample_assert_ok(publish(i, PB_PLACE_COPY));
    collect(6, 0, "");
    collect(2, 0, "000001 000002 000003 "); /* 000004 is the parent of 000005 */
    assert_versions("000004 000005 000006 ");
    collect(1, 0, "000004 ");
    collect(1, 0, "");
    assert_versions("000005 000006 ");
    assert_current("000006", 6);
    sample_assert_ok(publish(7, PB_PLACE_COPY));
    assert_current("000007", 7);
}

/* The age that counts begins when a version ceases to be current, and not when it was published. */
Test(bank_store, gc_waits_for_readers) {
    for (int i = 1; i <= 4; i++)
        sample_assert_ok(publish(i, PB_PLACE_COPY));
    age("000001", "meta.json", 100);
    age("000002", "meta.json", 50);
    collect(1, 51 * 3600, "");
    collect(1, 49 * 3600, "000001 ");
    age("000003", "meta.json", 10);
    collect(1, 49 * 3600, "");
    collect(1, 9 * 3600, "000002 ");
    assert_versions("000003 000004 ");
}

/* A publisher may be at work on it at this moment. */
Test(bank_store, gc_leaves_what_is_unfinished_and_young) {
    char path[PB_PATH_MAX];
    sample_assert_ok(publish(1, PB_PLACE_COPY));
    snprintf(path, sizeof path, "%s/versions/part-0123456789abcdef", store);
    cr_assert_eq(mkdir(path, 0777), 0);
    oracle_write(oracle_join(path, "bank.h5"), "half", 4);
    collect(1, 3600, "");
    assert_versions("000001 part-0123456789abcdef ");
    age("part-0123456789abcdef", "", 2);
    collect(1, 3600, "");
    assert_versions("000001 ");
}

Test(bank_store, gc_that_fails_leaves_whole_versions) {
    for (int i = 1; i <= 4; i++)
        sample_assert_ok(publish(i, PB_PLACE_COPY));
    pb_lock lock = {0};
    sample_assert_ok(pb_bank_store_lock(store, false, 0, "gc", &lock));
    trouble_arm("io.rename@0:2");
    sample_assert_failed(pb_bank_store_gc(store, &lock, 1, 0, note_removed, NULL), PB_E_SYSTEM,
                         "000002: cannot take its name away");
    pb_lock_release(&lock);
    cr_assert_eq(count_versions(), 3);
    collect(1, 0, "000002 ");
}

/* A listing that ends early would make an older version the current one, or call swept what is still there. */
Test(bank_store, versions_that_cannot_be_listed) {
    pb_bank_version current;
    pb_lock lock = {0};
    for (int i = 1; i <= 2; i++)
        sample_assert_ok(publish(i, PB_PLACE_COPY));
    trouble_arm("io.list@0:4"); /* after ".", ".." and one of the two */
    sample_assert_failed(pb_bank_store_current(store, &current), PB_E_SYSTEM, "versions: cannot list: Input/output error");
    sample_assert_ok(pb_bank_store_lock(store, false, 0, "gc", &lock));
    trouble_arm("io.list@0:6"); /* after the five steps of listing the versions */
    sample_assert_failed(pb_bank_store_gc(store, &lock, 2, 0, note_removed, NULL), PB_E_SYSTEM, "versions: cannot list");
    pb_lock_release(&lock);
    assert_versions("000001 000002 ");
}
