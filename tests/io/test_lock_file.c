#include "io/lock_file.h"

#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[ORACLE_PATH], path[ORACLE_PATH + 32];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/lock", folder);
}

static void remove_folder(void) { oracle_remove(folder); }

TestSuite(lock_file, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* A process that takes the lock, says so by a byte in the pipe, holds it for `hold_s` seconds, and ends without giving it back.
 */
static pid_t holder(double hold_s) {
    int ends[2];
    char byte = 0;
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        pb_lock lock = {0};
        pb_status status = pb_lock_take(path, 0, "job 7", &lock);
        if (write(ends[1], pb_failed(&status) ? "n" : "y", 1) != 1)
            _exit(2);
        usleep((useconds_t)(1e6 * hold_s));
        _exit(0);
    }
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    close(ends[0]);
    return child;
}

static void ended(pid_t child) {
    int end;
    cr_assert_eq(waitpid(child, &end, 0), child);
}

Test(lock_file, one_holder_at_a_time) {
    pb_lock first = {0}, second = {0};
    sample_assert_ok(pb_lock_take(path, 0, "job 1", &first));
    cr_assert(first.open && first.held);
    cr_assert(fabs(first.now_s - (double)time(NULL)) <= 5, "%f", first.now_s);
    sample_assert_failed(pb_lock_take(path, 0, "job 2", &second), PB_E_SYSTEM,
                         "lock: is held, after 0 s of waiting, by job 1; try");
    cr_assert(!second.open && !second.held);
    pb_lock_release(&first);
    cr_assert(!first.open);
    sample_assert_ok(pb_lock_take(path, 0, "job 2", &second));
    pb_lock_release(&second);
    pb_lock_release(&second);
}

/* A shorter line does not leave the end of the longer one that stood there. */
Test(lock_file, says_who_holds_it) {
    pb_lock lock = {0}, other = {0};
    sample_assert_ok(pb_lock_take(path, 0, "a holder with a long name", &lock));
    pb_lock_release(&lock);
    sample_assert_ok(pb_lock_take(path, 0, "x", &lock));
    sample_assert_failed(pb_lock_take(path, 0, "y", &other), PB_E_SYSTEM, "by x; try again");
    pb_lock_release(&lock);
}

Test(lock_file, a_killed_holder_holds_nothing) {
    pb_lock lock = {0};
    pid_t child = holder(50);
    sample_assert_failed(pb_lock_take(path, 0.1, "job 8", &lock), PB_E_SYSTEM, "by job 7");
    cr_assert_eq(kill(child, SIGKILL), 0);
    ended(child);
    sample_assert_ok(pb_lock_take(path, 0, "job 8", &lock));
    pb_lock_release(&lock);
}

Test(lock_file, waits_until_it_is_free) {
    pb_lock lock = {0};
    pid_t child = holder(0.3);
    sample_assert_ok(pb_lock_take(path, 50, "job 8", &lock));
    cr_assert_eq(waitpid(child, NULL, WNOHANG), child, "taken while the other still had it");
    pb_lock_release(&lock);
}

/* The program that a holder starts meanwhile does not inherit the lock. */
Test(lock_file, is_not_inherited) {
    pb_lock lock = {0};
    sample_assert_ok(pb_lock_take(path, 0, "job 1", &lock));
    cr_assert_eq(system("sleep 20 & true"), 0);
    pb_lock_release(&lock);
    sample_assert_ok(pb_lock_take(path, 0, "job 2", &lock));
    pb_lock_release(&lock);
}

Test(lock_file, a_file_system_without_locks) {
    pb_lock first = {0}, second = {0};
    sample_assert_ok(pb_lock_take(path, 0, "job 1", &first));
    trouble_arm("io.lock");
    sample_assert_ok(pb_lock_take(path, 0, "job 2", &second));
    cr_assert(second.open && !second.held && second.now_s > 1e9);
    pb_lock_release(&first);
    pb_lock_release(&second);
}

Test(lock_file, what_cannot_be_opened) {
    pb_lock lock = {0};
    sample_assert_failed(pb_lock_take(oracle_join(folder, "none/lock"), 0, "x", &lock), PB_E_INPUT, "none/lock: cannot open");
    sample_assert_failed(pb_lock_take(folder, 0, "x", &lock), PB_E_INPUT, "cannot open: Is a directory");
    cr_assert(!lock.open);
}
