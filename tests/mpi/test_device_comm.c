#include "ranks.h"

Test(device_comm, memory_that_is_the_hosts) { passes_at_all_sizes(PB_CASES, "devices-near"); }
Test(device_comm, memory_that_is_staged) { passes_at_all_sizes(PB_CASES, "devices-far"); }
Test(device_comm, memory_that_is_staged_in_small_pieces) { passes_at_all_sizes(PB_CASES_PIECES, "devices-far"); }
Test(device_comm, devices_that_exchange_by_themselves) { passes_at_all_sizes(PB_CASES, "devices-peers"); }
Test(device_comm, one_rank_without_peers_sends_all_by_the_host) { passes_at_all_sizes(PB_CASES, "devices-mixed"); }
Test(device_comm, ranks_that_share_a_device_send_all_by_the_host) { passes_at_all_sizes(PB_CASES, "devices-shared"); }
Test(device_comm, a_route_that_is_not_to_be_had) { passes_at_all_sizes(PB_CASES, "devices-no-route"); }
Test(device_comm, a_failed_copy_fails_all_and_hangs_nobody) { passes_at_all_sizes(PB_CASES, "devices-failing"); }
Test(device_comm, a_failed_join_fails_all) { passes_at_all_sizes(PB_CASES, "devices-join-fails"); }
