/* simulated.c: the ranks are coroutines. */
#include "scaling.h"

#include "simulator.h"

#include <stdio.h>
#include <stdlib.h>

static simulator_count counts[2][SIMULATOR_KINDS];

/* A barrier, so that all ranks stand at the same place; then one of them acts. The second is counted, and taken off again. */
void scaling_begin(pb_comm *comm) {
    pb_comm_barrier(comm, "before counting");
    if (pb_comm_rank(comm) == 0)
        simulator_reset();
    pb_comm_barrier(comm, "before counting");
}

void scaling_end(pb_comm *comm, int part) {
    if (pb_comm_rank(comm) == 0)
        for (int kind = 0; kind < SIMULATOR_KINDS; kind++)
            counts[part][kind] = simulator_counted(kind);
    pb_comm_barrier(comm, "after counting");
}

void scaling_print(int part) {
    printf(", \"mpi\": {");
    counts[part][SIMULATOR_BARRIER].calls--;
    for (int kind = 0; kind < SIMULATOR_KINDS; kind++)
        printf("%s\"%s\": [%llu, %llu]", kind > 0 ? ", " : "", SIMULATOR_NAMES[kind],
               (unsigned long long)counts[part][kind].calls, (unsigned long long)counts[part][kind].bytes);
    printf("}");
}

int main(int argc, char **argv) {
    int ranks = argc > 1 ? atoi(argv[1]) : 0;
    int code = ranks > 0 ? scaling_read(argv + 2, argc - 2) : 64;
    if (code == 0)
        simulator_run(ranks, scaling_rank);
    return code;
}
