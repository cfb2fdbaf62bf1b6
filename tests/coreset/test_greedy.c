#include "coreset/greedy.h"

#include "ranks.h"

Test(greedy, same_picks_as_the_plain_loop) { passes_at_all_sizes(PB_CASES, "greedy-plain"); }
Test(greedy, picks_are_farthest_in_double_precision) { passes_at_all_sizes(PB_CASES, "greedy-double"); }
Test(greedy, fewer_points_than_ranks) { passes_at_all_sizes(PB_CASES, "greedy-few"); }
Test(greedy, stops_when_only_duplicates_are_left) { passes_at_all_sizes(PB_CASES, "greedy-duplicates"); }
Test(greedy, ties_go_to_the_smallest_index) { passes_at_all_sizes(PB_CASES, "greedy-ties"); }
Test(greedy, every_point_can_be_picked) { passes_at_all_sizes(PB_CASES, "greedy-all"); }

Test(greedy, floors_that_cut_through_ties) { passes_at_all_sizes(PB_CASES, "greedy-lattice"); }
Test(greedy, tiny_and_huge_numbers) { passes_at_all_sizes(PB_CASES, "greedy-scales"); }
Test(greedy, goes_on_after_any_round) { passes_at_all_sizes(PB_CASES, "greedy-resume"); }
Test(greedy, radii_of_any_coreset) { passes_at_all_sizes(PB_CASES, "greedy-radii"); }
Test(greedy, goes_on_from_given_centres) { passes_at_all_sizes(PB_CASES, "greedy-given"); }
Test(greedy, messages_are_a_matter_of_rounds) { passes_at_all_sizes(PB_CASES, "greedy-messages"); }

/* Device memory that the host cannot touch: all that goes between ranks is staged. */
Test(greedy, same_picks_with_a_far_device) { passes_at_all_sizes(PB_CASES, "greedy-plain far"); }
Test(greedy, ties_and_floors_with_a_far_device) { passes_at_all_sizes(PB_CASES, "greedy-lattice far"); }
Test(greedy, goes_on_after_any_round_with_a_far_device) { passes_at_all_sizes(PB_CASES, "greedy-resume far"); }

Test(greedy, goes_on_from_given_centres_with_a_far_device) { passes_at_all_sizes(PB_CASES, "greedy-given far"); }

/* The CUDA plugin on its emulator, the ranks' devices joined by a stub of NCCL: the CPU's picks, bit for bit. */
Test(greedy, same_picks_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "greedy-plain cuda"); }
Test(greedy, ties_and_floors_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "greedy-lattice cuda"); }
Test(greedy, goes_on_from_given_centres_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "greedy-given cuda"); }
Test(greedy, few_points_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "greedy-few cuda"); }
Test(greedy, goes_on_after_any_round_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "greedy-resume cuda"); }

/* Whatever call fails, or never ends, all ranks leave with one status. */
Test(greedy, any_call_of_nccl_may_fail) { passes_at_all_sizes(PB_CASES, "fails-nccl"); }
Test(greedy, any_call_of_nccl_may_never_end) { passes_at_all_sizes(PB_CASES, "hangs-nccl"); }
Test(greedy, any_call_of_cuda_may_fail_on_one_rank) { passes_at_all_sizes(PB_CASES, "fails-cuda"); }
