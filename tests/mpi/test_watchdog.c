#include "ranks.h"

#include "base/clock.h"
#include "base/status.h"

#include <string.h>

/* One rank never comes; the others must say what they wait for and end the job, well before the rank would. */
Test(watchdog, names_the_collective_that_does_not_end) {
    static char output[65536];
    double begun = pb_clock_seconds();
    int code = shell(output, sizeof output, "%s -n 3 --map-by :OVERSUBSCRIBE %s lost-peer", PB_MPIEXEC, PB_CASES);
    cr_assert_eq(code, PB_E_SYSTEM, "exit code %d\n%s", code, output);
    cr_assert(pb_clock_seconds() - begun < 30, "took %.1f s", pb_clock_seconds() - begun);
    cr_assert(strstr(output, "meeting of all ranks"), "%s", output);
    cr_assert(strstr(output, "not all ranks arrived"), "%s", output);
}

/* A rank that dies by a signal must not leave the others waiting. */
Test(watchdog, a_killed_rank_ends_the_job) {
    static char output[65536];
    double begun = pb_clock_seconds();
    int code = shell(output, sizeof output, "%s -n 3 --map-by :OVERSUBSCRIBE %s killed-peer", PB_MPIEXEC, PB_CASES);
    cr_assert_neq(code, 0, "%s", output);
    cr_assert(pb_clock_seconds() - begun < 30, "took %.1f s", pb_clock_seconds() - begun);
}

Test(watchdog, waits_within_its_limit) { passes_at_all_sizes(PB_CASES, "slow-peer"); }

Test(watchdog, waits_when_no_limit_is_set) { passes_at_all_sizes(PB_CASES, "sleeping-peer"); }
