#include "ranks.h"

Test(search, same_rows_as_the_plain_loop) { passes_at_all_sizes(PB_CASES, "search-plain"); }
Test(search, fewer_rows_than_ranks) { passes_at_all_sizes(PB_CASES, "search-few"); }
Test(search, ranks_without_queries_and_repeated_calls) { passes_at_all_sizes(PB_CASES, "search-uneven"); }
Test(search, same_rows_with_a_far_device) { passes_at_all_sizes(PB_CASES, "search-plain far"); }
Test(search, uneven_with_a_far_device) { passes_at_all_sizes(PB_CASES, "search-uneven far"); }
Test(search, a_row_that_is_not_finite_fails_on_every_rank) { passes_at_all_sizes(PB_CASES, "search-not-finite"); }
Test(search, same_rows_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "search-plain cuda"); }
Test(search, uneven_with_cuda_and_nccl) { passes_at_all_sizes(PB_CASES, "search-uneven cuda"); }
