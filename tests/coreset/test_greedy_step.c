#include "ranks.h"

/* The textbook loop is held to the plain twin together with the rounds, by the same cases (tests/coreset/cases.c,
 * compare_with_plain). */
Test(greedy_step, same_picks_as_the_plain_loop) { passes_at_all_sizes(PB_CASES, "greedy-plain"); }
