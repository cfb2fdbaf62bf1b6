#include "ranks.h"

#include <string.h>

Test(comm, ranks_and_threads) { passes_at_all_sizes(PB_CASES, "ranks"); }
Test(comm, reductions) { passes_at_all_sizes(PB_CASES, "reductions"); }
Test(comm, sums_of_arrays) { passes_at_all_sizes(PB_CASES, "sums"); }
Test(comm, broadcast) { passes_at_all_sizes(PB_CASES, "broadcast"); }
Test(comm, gather_of_uneven_parts) { passes_at_all_sizes(PB_CASES, "gather"); }
Test(comm, allgather_of_equal_and_uneven_parts) { passes_at_all_sizes(PB_CASES, "allgather"); }
Test(comm, exchange_of_uneven_parts) { passes_at_all_sizes(PB_CASES, "exchange"); }
Test(comm, a_communicator_of_one_rank) { passes_at_all_sizes(PB_CASES, "self"); }
Test(comm, counters) { passes_at_all_sizes(PB_CASES, "counters"); }
Test(comm, waiting_is_counted) { passes_at_all_sizes(PB_CASES, "waiting"); }

Test(comm, gather_without_memory_fails_on_every_rank) { passes_at_all_sizes(PB_CASES, "gather-out-of-memory"); }

/* Messages over the size of a piece (1 GiB), without such messages: the same cases over mpi/ built with pieces of 7 bytes. */
Test(comm, sums_in_pieces) { passes_at_all_sizes(PB_CASES_PIECES, "sums"); }
Test(comm, broadcast_in_pieces) { passes_at_all_sizes(PB_CASES_PIECES, "broadcast"); }
Test(comm, gather_in_pieces) { passes_at_all_sizes(PB_CASES_PIECES, "gather"); }
Test(comm, exchange_in_pieces) { passes_at_all_sizes(PB_CASES_PIECES, "exchange"); }
