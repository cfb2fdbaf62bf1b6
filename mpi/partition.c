/* partition.c: contiguous ranges that differ by at most one item, in closed form, so that any rank knows every rank's range. */
#include "mpi/partition.h"

#include "base/status.h"

/* The first `longer` ranks have one item more; before rank r there are min(r, longer) of them. */
pb_range pb_partition(uint64_t items, int ranks, int rank) {
    PB_ASSERT(ranks > 0 && rank >= 0 && rank < ranks);
    uint64_t share = items / (uint64_t)ranks, longer = items % (uint64_t)ranks, r = (uint64_t)rank;
    uint64_t first = r * share + (r < longer ? r : longer);
    return (pb_range){first, first + share + (r < longer ? 1 : 0)};
}
