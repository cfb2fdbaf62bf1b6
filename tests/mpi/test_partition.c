#include "mpi/partition.h"

#include <criterion/criterion.h>

static void check_partition(uint64_t items, int ranks) {
    uint64_t next = 0, longest = 0, shortest = UINT64_MAX;
    for (int rank = 0; rank < ranks; rank++) {
        pb_range range = pb_partition(items, ranks, rank);
        cr_assert(range.first == next && range.end >= range.first, "%lu items, rank %d of %d", items, rank, ranks);
        next = range.end;
        uint64_t size = pb_range_size(range);
        longest = size > longest ? size : longest;
        shortest = size < shortest ? size : shortest;
    }
    cr_assert_eq(next, items);
    cr_assert(longest - shortest <= 1);
    cr_assert_eq(pb_range_size(pb_partition(items, ranks, 0)), longest);
}

Test(partition, covers_everything_once_and_evenly) {
    for (uint64_t items = 0; items < 50; items++)
        for (int ranks = 1; ranks <= 9; ranks++)
            check_partition(items, ranks);
    check_partition(UINT64_C(4000000000), 7);
    check_partition(UINT64_C(1) << 50, 1000);
}
