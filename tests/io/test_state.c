/* Checks io/state.c: who owns a job's state, and that a run which lost it can give nothing a final name. */
#include "io/state.h"
#include "oracle.h"
#include "sample.h"
#include "trouble.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[ORACLE_PATH], output[ORACLE_PATH];

static void make_folder(void) {
    oracle_folder(folder);
    strcpy(output, oracle_join(folder, "bank.h5"));
}

static void remove_folder(void) {
    trouble_arm("");
    sample_assert_ok(pb_output_room(NULL, 0));
    oracle_remove(folder);
}

TestSuite(state, .init = make_folder, .fini = remove_folder);

/* Runs are numbered by the clock: "run-7.0-#". */
static void hide_numbers(char *names) {
    char *out = names;
    for (const char *at = names; *at;) {
        size_t digits = at > names && at[-1] == '-' ? strspn(at, "0123456789") : 0;
        if (digits > 9)
            *out++ = '#', at += digits;
        else
            *out++ = *at++;
    }
    *out = '\0';
}

static void assert_names(const char *where, const char *expected) {
    char *names = trouble_names(where);
    hide_numbers(names);
    cr_assert_str_eq(names, expected, "%s", names);
    free(names);
}

static pb_state claimed(int64_t job, int64_t restart) {
    pb_state state;
    sample_assert_ok(pb_state_claim(output, (pb_generation){job, restart}, &state));
    sample_assert_ok(pb_output_room(state.run, 0));
    return state;
}

static void save(const pb_state *state, const char *name) {
    char path[PB_PATH_MAX];
    sample_assert_ok(pb_state_path(state, name, path));
    sample_assert_ok(pb_file_write(path, name, strlen(name)));
}

Test(state, stands_beside_a_file_and_in_a_folder) {
    char name[PB_PATH_MAX], long_name[PB_PATH_MAX];
    sample_assert_ok(pb_state_name(output, name));
    cr_assert_str_eq(name, oracle_join(folder, "bank.h5.state"));
    sample_assert_ok(pb_state_name(folder, name));
    cr_assert_str_eq(name, oracle_join(folder, "state"));
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 4] = '\0';
    sample_assert_failed(pb_state_name(long_name, name), PB_E_INPUT, "too long");
}

Test(state, of_a_folder_that_is_missing_cannot_be_made) {
    pb_state state;
    strcpy(output, "/proc/nowhere/bank.h5");
    sample_assert_failed(pb_state_claim(output, (pb_generation){1, 0}, &state), PB_E_INPUT, "/proc/nowhere");
    cr_assert_str_empty(state.folder);
}

Test(state, what_is_saved_outlives_the_run_and_goes_with_the_job) {
    pb_state state = claimed(7, 0);
    assert_names(state.folder, "run-7.0-# ");
    save(&state, "half.h5");
    assert_names(state.run, "");
    pb_state_leave(&state);
    cr_assert_str_empty(state.folder);
    assert_names(oracle_join(folder, "bank.h5.state"), "half.h5 ");
    state = claimed(7, 1);
    sample_assert_ok(pb_file_write(output, "x", 1));
    sample_assert_ok(pb_state_remove(&state));
    sample_assert_ok(pb_state_remove(&state)); /* none any more */
    assert_names(folder, "bank.h5 ");
}

/* Folders are saved too (of an append its edition), but what a later run has is its own. */
Test(state, folders_go_with_the_job) {
    pb_state state = claimed(7, 0);
    sample_assert_ok(pb_folder_create(oracle_join(state.folder, "edition/deep")));
    save(&state, "edition/deep/shard.h5");
    pb_state later = claimed(7, 1), lost = state;
    sample_assert_ok(pb_state_remove(&lost));
    assert_names(later.folder, "edition run-7.1-# ");
    sample_assert_ok(pb_state_remove(&later));
    assert_names(folder, "");
}

Test(state, a_run_that_saved_nothing_leaves_nothing) {
    pb_state state = claimed(0, 0);
    pb_state_leave(&state);
    pb_state_leave(&state);
    assert_names(folder, "");
}

/* The earlier run may be at any point of its writing: before its temporary file, with it, or just before its rename. */
Test(state, an_earlier_run_gives_nothing_a_final_name) {
    pb_state old = claimed(7, 0);
    pb_output begun = {0}, pair[2] = {{{0}, {0}}, {{0}, {0}}};
    char path[PB_PATH_MAX];
    save(&old, "kept.h5");
    sample_assert_ok(pb_output_begin(&begun, output));
    sample_assert_ok(pb_state_path(&old, "late.h5", path));
    sample_assert_ok(pb_output_begin(&pair[0], path));
    sample_assert_ok(pb_output_begin(&pair[1], oracle_join(folder, "late.csv")));
    pb_state new;
    sample_assert_ok(pb_state_claim(output, (pb_generation){7, 1}, &new));
    sample_assert_failed(pb_output_commit(&begun), PB_E_NO, "a newer run of this job has taken over");
    sample_assert_failed(pb_output_commit_pair(&pair[0], &pair[1]), PB_E_NO, "a newer run");
    sample_assert_failed(pb_file_write(path, "x", 1), PB_E_NO, "a newer run");
    assert_names(new.folder, "kept.h5 run-7.1-# ");
    assert_names(new.run, "");
}

Test(state, an_earlier_run_does_not_end_the_later_ones) {
    pb_state old = claimed(7, 0), new = claimed(8, 0);
    save(&new, "half.h5");
    pb_state again = old;
    sample_assert_ok(pb_state_remove(&old));
    pb_state_leave(&again);
    assert_names(new.folder, "half.h5 run-8.0-# ");
}

Test(state, an_older_generation_is_refused_and_leaves_no_trace) {
    pb_state new = claimed(7, 3), old;
    for (int i = 0; i < 3; i++) {
        static const pb_generation OLDER[] = {{7, 2}, {6, 9}, {1, 0}};
        sample_assert_failed(pb_state_claim(output, OLDER[i], &old), PB_E_NO, "meets run-7.3-");
        cr_assert_str_empty(old.folder);
    }
    assert_names(new.folder, "run-7.3-# ");
}

Test(state, within_a_generation_the_later_run_wins) {
    pb_state first = claimed(7, 0), second = claimed(7, 0), nobody;
    assert_names(second.folder, "run-7.0-# ");
    cr_assert_neq(access(first.run, F_OK), 0);
    sample_assert_ok(pb_state_claim(output, (pb_generation){0, 0}, &nobody)); /* of nobody: as the latest */
    assert_names(second.folder, "run-7.0-# ");
}

/* What ran before and was overtaken does not find its folder again, though nobody has one in between. */
Test(state, a_run_that_was_overtaken_stays_so) {
    pb_state first = claimed(7, 0);
    pb_output late = {0};
    pb_state second;
    sample_assert_ok(pb_state_claim(output, (pb_generation){7, 0}, &second));
    pb_state_leave(&second);
    pb_state third;
    sample_assert_ok(pb_state_claim(output, (pb_generation){7, 0}, &third));
    cr_assert_str_neq(third.run, first.run);
    sample_assert_failed(pb_output_begin(&late, output), PB_E_NO, "a newer run");
    sample_assert_ok(pb_state_remove(&first));
    assert_names(third.folder, "run-7.0-# ");
}

/* Neither a file nor its removal is the earlier run's business any more. */
Test(state, an_earlier_run_removes_nothing) {
    pb_state old = claimed(7, 0), new;
    sample_assert_ok(pb_file_write(output, "old", 3));
    sample_assert_ok(pb_output_remove(output));
    sample_assert_ok(pb_output_remove(output)); /* it is not there */
    sample_assert_ok(pb_file_write(output, "old", 3));
    sample_assert_ok(pb_state_claim(output, (pb_generation){7, 1}, &new));
    sample_assert_failed(pb_output_remove(output), PB_E_NO, "a newer run");
    cr_assert_eq(access(output, F_OK), 0);
    pb_state_leave(&old);
}

Test(state, other_names_are_left_alone) {
    pb_state state = claimed(7, 0);
    save(&state, "run-7.0-1x");
    save(&state, "run-07.0-1");
    save(&state, "run-x-1");
    pb_state next = claimed(7, 1);
    assert_names(next.folder, "run-07.0-1 run-7.0-1x run-7.1-# run-x-1 ");
    sample_assert_ok(pb_state_remove(&next));
    assert_names(folder, "");
}

static pb_status count(void *context, const char *path) {
    int *seen = context;
    cr_assert_eq(access(path, F_OK), 0);
    return ++*seen == 3 ? pb_fail(PB_E_INPUT, "enough") : pb_ok();
}

Test(state, files_are_found_by_how_they_begin) {
    pb_state state = claimed(7, 0);
    int seen = 0;
    save(&state, "patches-1.h5");
    save(&state, "patches-2.h5");
    save(&state, "picks.h5");
    sample_assert_ok(pb_state_each(&state, "patches-", count, &seen));
    cr_assert_eq(seen, 2);
    sample_assert_failed(pb_state_each(&state, "pi", count, &seen), PB_E_INPUT, "enough");
}

Test(state, files_of_a_range_are_known_by_name) {
    pb_state state = claimed(7, 0);
    char path[PB_PATH_MAX];
    sample_assert_ok(pb_state_range_path(&state, "rows", 10, UINT64_C(5000000000), path));
    cr_assert_str_eq(path + strlen(state.folder), "/rows-10-5000000000.h5");
    cr_assert(pb_state_range_meets(path, 0, 10) && pb_state_range_meets(path, UINT64_C(5000000000), UINT64_MAX));
    cr_assert(pb_state_range_meets(path, 11, 12) && pb_state_range_meets(path, 0, UINT64_MAX));
    cr_assert(!pb_state_range_meets(path, 0, 9) && !pb_state_range_meets(path, UINT64_C(5000000001), UINT64_MAX));
    cr_assert(!pb_state_range_meets("a-b/rows-x.h5", 0, 9) && !pb_state_range_meets("rows.h5", 0, 9));
}

/* A newer run that is not seen would not refuse the claim, an older one that is not seen would not be fenced off. At each step of
 * three listings: for the latest run, for those to be taken away, and of the one that is. */
Test(state, a_folder_that_cannot_be_read_claims_nothing) {
    enum { STEPS = 5 + 6 + 3 };
    char fault[32];
    for (int step = 1; step <= STEPS; step++) {
        pb_state old = claimed(7, 0), state;
        save(&old, "half.h5");
        snprintf(fault, sizeof fault, "io.list@0:%d", step);
        trouble_arm(fault);
        sample_assert_failed(pb_state_claim(output, (pb_generation){7, 1}, &state), PB_E_SYSTEM, "cannot list: Input/output");
        cr_assert_str_empty(state.folder);
        pb_state next = claimed(7, 2);
        assert_names(next.folder, "half.h5 run-7.2-# ");
        sample_assert_ok(pb_state_remove(&next));
    }
}

Test(state, what_is_saved_is_not_lost_from_sight) {
    pb_state state = claimed(7, 0);
    int seen = 0;
    save(&state, "patches-1.h5");
    trouble_arm("io.list@0:5"); /* after ".", "..", the run and the file */
    sample_assert_failed(pb_state_each(&state, "patches-", count, &seen), PB_E_SYSTEM, "bank.h5.state: cannot list");
    cr_assert_eq(seen, 1);
    trouble_arm("io.list");
    sample_assert_failed(pb_state_remove(&state), PB_E_SYSTEM, "bank.h5.state: cannot list");
    assert_names(oracle_join(folder, "bank.h5.state"), "patches-1.h5 ");
}

Test(state, a_full_disk_is_said_and_claims_nothing) {
    pb_state state;
    trouble_arm("io.mkdir");
    sample_assert_failed(pb_state_claim(output, (pb_generation){7, 0}, &state), PB_E_SYSTEM, "No space left");
    assert_names(folder, "");
    state = claimed(7, 0);
    static const char *const POINTS[] = {"io.create", "io.write", "io.fsync", "io.rename", "io.close"};
    char path[PB_PATH_MAX];
    sample_assert_ok(pb_state_path(&state, "half.h5", path));
    for (size_t i = 0; i < sizeof POINTS / sizeof POINTS[0]; i++) {
        trouble_arm(POINTS[i]);
        sample_assert_failed(pb_file_write(path, "x", 1), PB_E_SYSTEM, "half.h5");
        assert_names(state.run, "");
    }
    assert_names(state.folder, "run-7.0-# ");
}
