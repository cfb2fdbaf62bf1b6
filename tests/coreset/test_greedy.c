#include "coreset/greedy.h"

#include "ranks.h"

Test(greedy, same_picks_as_the_plain_loop) { passes_at_all_sizes(PB_CASES, "greedy-plain"); }
Test(greedy, picks_are_farthest_in_double_precision) { passes_at_all_sizes(PB_CASES, "greedy-double"); }
Test(greedy, fewer_points_than_ranks) { passes_at_all_sizes(PB_CASES, "greedy-few"); }
Test(greedy, stops_when_only_duplicates_are_left) { passes_at_all_sizes(PB_CASES, "greedy-duplicates"); }
Test(greedy, ties_go_to_the_smallest_index) { passes_at_all_sizes(PB_CASES, "greedy-ties"); }
Test(greedy, every_point_can_be_picked) { passes_at_all_sizes(PB_CASES, "greedy-all"); }

Test(greedy, size_of_a_ratio) {
    cr_assert_eq(pb_coreset_size(0.01, 235200), 2352);
    cr_assert_eq(pb_coreset_size(0.01, 99), 1);
    cr_assert_eq(pb_coreset_size(0.25, 10), 2);
    cr_assert_eq(pb_coreset_size(1, 7), 7);
    cr_assert_eq(pb_coreset_size(1e-9, 7), 1);
}
