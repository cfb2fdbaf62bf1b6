#include "mpi/affinity.h"

#include <criterion/criterion.h>
#include <unistd.h>

static cpu_set_t cores(int first, int count) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (int core = first; core < first + count; core++)
        CPU_SET(core, &mask);
    return mask;
}

Test(affinity, ranks_that_share_a_part_of_the_host_divide_it) {
    cpu_set_t masks[4];
    for (int rank = 0; rank < 4; rank++)
        masks[rank] = cores(16, 8); /* 8 cores of a larger host for 4 ranks */
    for (int rank = 0; rank < 4; rank++)
        cr_assert_eq(pb_affinity_share(masks, 4, rank), 2);
    cr_assert_eq(pb_affinity_share(masks, 3, 1), 2, "8 / 3 is rounded down");
    cr_assert_eq(pb_affinity_share(masks, 1, 0), 8);
}

Test(affinity, bound_ranks_keep_their_cores) {
    cpu_set_t masks[] = {cores(0, 4), cores(4, 4), cores(8, 3)};
    cr_assert_eq(pb_affinity_share(masks, 3, 0), 4);
    cr_assert_eq(pb_affinity_share(masks, 3, 1), 4);
    cr_assert_eq(pb_affinity_share(masks, 3, 2), 3);
}

Test(affinity, partial_overlap_counts) {
    cpu_set_t masks[] = {cores(0, 6), cores(5, 4), cores(8, 2), cores(100, 1)};
    cr_assert_eq(pb_affinity_share(masks, 4, 0), 3, "6 cores, shared with one");
    cr_assert_eq(pb_affinity_share(masks, 4, 1), 1, "4 cores, shared with two");
    cr_assert_eq(pb_affinity_share(masks, 4, 2), 1, "2 cores, shared with one");
    cr_assert_eq(pb_affinity_share(masks, 4, 3), 1, "not shared");
}

Test(affinity, more_ranks_than_cores_have_one_thread_each) {
    cpu_set_t masks[] = {cores(0, 2), cores(0, 2), cores(0, 2), cores(0, 0)};
    cr_assert_eq(pb_affinity_share(masks, 3, 2), 1);
    cr_assert_eq(pb_affinity_share(masks, 4, 3), 1, "an empty mask");
}

Test(affinity, the_mask_of_this_process) {
    cpu_set_t one = cores(sched_getcpu(), 1);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cpu_set_t mine = pb_affinity_mine();
    cr_assert(CPU_EQUAL(&mine, &one));
}
