/* affinity.c: a rank's fair number of threads, from the masks of the ranks of its host. A mask is what srun, mpiexec or a
 * cgroup's cpuset has left of the cores; taking all cores of the host would let the ranks fight for them. */
#include "mpi/affinity.h"

#include <unistd.h>

cpu_set_t pb_affinity_mine(void) {
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) == 0)
        return mine;
    CPU_ZERO(&mine); /* EINVAL: the kernel counts more cores than a cpu_set_t has room for */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    for (int core = 0; core < online && core < CPU_SETSIZE; core++)
        CPU_SET(core, &mine);
    return mine;
}

/* Overlapping masks are taken as if all shared all of their cores. That is exact where masks are equal or apart, which is what
 * batch systems make, and too low, never too high, where they overlap in part. */
int pb_affinity_share(const cpu_set_t *masks, int count, int mine) {
    int sharing = 0;
    for (int other = 0; other < count; other++) {
        cpu_set_t common;
        CPU_AND(&common, &masks[mine], &masks[other]);
        sharing += other == mine || CPU_COUNT(&common) > 0;
    }
    int threads = CPU_COUNT(&masks[mine]) / sharing;
    return threads > 0 ? threads : 1;
}
