#include "base/fault.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void arm(const char *specification, int rank) {
    pb_status status = pb_fault_arm(specification, rank);
    cr_assert_not(pb_failed(&status), "%s", status.message);
}

Test(fault, nothing_armed_nothing_fails) {
    cr_assert_not(pb_fault("io.write"));
    arm(NULL, 0);
    cr_assert_not(pb_fault("io.write"));
    arm("", 0);
    cr_assert_not(pb_fault("io.write"));
    cr_assert_not(pb_fault(""));
}

Test(fault, comes_once_and_only_at_its_name) {
    arm("io.write", 3);
    cr_assert_not(pb_fault("io.writes"));
    cr_assert_not(pb_fault("io.writ"));
    cr_assert(pb_fault("io.write"));
    cr_assert_not(pb_fault("io.write"));
}

Test(fault, other_ranks_are_spared) {
    arm("io.write@2", 1);
    cr_assert_not(pb_fault("io.write"));
    arm("io.write@2", 2);
    cr_assert(pb_fault("io.write"));
}

Test(fault, hit_counts_from_one) {
    arm("io.write@0:1", 0);
    cr_assert(pb_fault("io.write"));
    arm("io.write@0:3", 0);
    cr_assert_not(pb_fault("io.write"));
    cr_assert_not(pb_fault("io.read"));
    cr_assert_not(pb_fault("io.write"));
    cr_assert(pb_fault("io.write"));
    cr_assert_not(pb_fault("io.write"));
}

Test(fault, arming_again_replaces) {
    arm("io.write", 0);
    arm("io.read", 0);
    cr_assert_not(pb_fault("io.write"));
    cr_assert(pb_fault("io.read"));
    arm("io.write", 0);
    arm(NULL, 0);
    cr_assert_not(pb_fault("io.write"));
}

Test(fault, other_forms_are_refused) {
    static const char *const WRONG[] = {
        "@1", ":1", "io.write@", "io.write@x", "io.write:2", "io.write@1:", "io.write@1:0", "A", "io write", "io.write ",
        " io.write", "io.write@-1", "io.write@1:-1", "io.write@1:2:3", "x@1 2", "x@1:2x", "x@1x", "x@99999999999999",
        "x@1:99999999999999", "x!", "x!halt", "x!kill ", "x@1!killed", "x!kill@1", "!kill",
        "a_name_of_more_than_sixty_three_characters_that_no_point_can_ever_have_had"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        pb_status status = pb_fault_arm(WRONG[i], 1);
        cr_assert_eq(status.code, PB_E_USAGE, "\"%s\"", WRONG[i]);
        cr_assert_not_null(strstr(status.message, WRONG[i]));
    }
    cr_assert_not(pb_fault("x"), "a refused text arms nothing");
}

/* A process that passes the point three times and then leaves with `expected`. */
static pid_t passes(const char *specification, int expected) {
    pid_t child = fork();
    if (child == 0) {
        arm(specification, 0);
        bool failed = false;
        for (int i = 0; i < 3; i++)
            failed |= pb_fault("base.point");
        _exit(failed ? 99 : expected);
    }
    return child;
}

Test(fault, kills_the_process) {
    int end;
    pid_t child = passes("base.point@0:3!kill", 1);
    cr_assert_eq(waitpid(child, &end, 0), child);
    cr_assert(WIFSIGNALED(end) && WTERMSIG(end) == SIGKILL);
    child = passes("base.point@0:4!kill", 5);
    cr_assert_eq(waitpid(child, &end, 0), child);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 5, "before its turn");
}

Test(fault, stops_the_process_which_goes_on_unharmed) {
    int end;
    pid_t child = passes("base.point!stop", 5);
    cr_assert_eq(waitpid(child, &end, WUNTRACED), child);
    cr_assert(WIFSTOPPED(end) && WSTOPSIG(end) == SIGSTOP);
    cr_assert_eq(kill(child, SIGCONT), 0);
    cr_assert_eq(waitpid(child, &end, 0), child);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 5);
}

static atomic_int hits;

static void *pass_often(void *unused) {
    for (int i = 0; i < 1000; i++)
        if (pb_fault("base.point"))
            atomic_fetch_add(&hits, 1);
    return unused;
}

Test(fault, threads_see_it_once) {
    arm("base.point@0:2500", 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, pass_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(atomic_load(&hits), 1);
}
