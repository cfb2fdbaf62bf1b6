/* Cases of mpi/ for any number of ranks; started by tests/mpi/test_*.c. Expected values are formulas of rank and size. */
#include "cases.h"

#include "base/memory.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void ranks(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm);
    HOLDS(size >= 1 && rank >= 0 && rank < size);
    HOLDS(pb_comm_local_size(comm) == size && pb_comm_local_rank(comm) == rank); /* tests run on one host */
    HOLDS(pb_comm_fair_threads(comm) >= 1);
    HOLDS(pb_comm_fair_threads(comm) <= sysconf(_SC_NPROCESSORS_ONLN));
}

static void reductions(pb_comm *comm) {
    uint64_t size = (uint64_t)pb_comm_size(comm), rank = (uint64_t)pb_comm_rank(comm);
    HOLDS(pb_comm_max_u64(comm, rank << 40 | 5, "max") == ((size - 1) << 40 | 5));
    HOLDS(pb_comm_sum_u64(comm, rank + 1, "sum") == size * (size + 1) / 2);
    HOLDS(pb_comm_sum_before_u64(comm, rank + 1, "sum before") == rank * (rank + 1) / 2);
    HOLDS(pb_comm_max_real(comm, -(double)rank, "max real") >= 0.0);
    HOLDS(pb_comm_max_u64(comm, UINT64_MAX - rank, "max of large") == UINT64_MAX);
}

static void broadcast(pb_comm *comm) {
    for (int root = 0; root < pb_comm_size(comm); root++) {
        unsigned char bytes[1000];
        for (int i = 0; i < 1000; i++)
            bytes[i] = pb_comm_rank(comm) == root ? (unsigned char)(i * 7 + root) : 0;
        pb_comm_broadcast(comm, bytes, sizeof bytes, root, "broadcast");
        bool same = true;
        for (int i = 0; i < 1000; i++)
            same = same && bytes[i] == (unsigned char)(i * 7 + root);
        HOLDS(same);
        pb_comm_broadcast(comm, NULL, 0, root, "empty broadcast");
    }
}

/* Rank r sends r * 3 bytes of value r; the last rank sends nothing if there are more than two. */
static size_t part_size(int rank, int size) { return size > 2 && rank == size - 1 ? 0 : (size_t)rank * 3; }

static void gather(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm);
    unsigned char part[64];
    memset(part, rank, sizeof part);
    for (int root = 0; root < size; root++) {
        unsigned char *all = NULL;
        size_t sizes[64] = {0};
        pb_status status = pb_comm_gather(comm, part, part_size(rank, size), root, &all, sizes, "gather");
        HOLDS(!pb_failed(&status));
        HOLDS((all != NULL) == (rank == root));
        for (int from = 0, at = 0; from < size && rank == root; from++) {
            HOLDS(sizes[from] == part_size(from, size));
            for (size_t i = 0; i < sizes[from]; i++)
                HOLDS(all[at++] == from);
        }
        pb_release(&all);
    }
}

/* More than any machine has: root cannot take it, and everybody must hear of it before a byte travels. */
static void gather_out_of_memory(pb_comm *comm) {
    int rank = pb_comm_rank(comm);
    char *all = NULL;
    size_t sizes[64];
    size_t absurd = rank == pb_comm_size(comm) - 1 ? (size_t)1 << 60 : 0;
    pb_status status = pb_comm_gather(comm, &rank, absurd, 0, &all, sizes, "absurd gather");
    HOLDS(status.code == PB_E_SYSTEM && status.rank == 0);
    HOLDS(all == NULL);
}

static void exchange(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm), up = (rank + 1) % size, down = (rank + size - 1) % size;
    unsigned char out[256], in[256];
    memset(out, rank, sizeof out);
    memset(in, 255, sizeof in);
    pb_comm_exchange(comm, out, part_size(rank, size) + 1, down, in, part_size(up, size) + 1, up, "exchange");
    for (size_t i = 0; i <= part_size(up, size); i++)
        HOLDS(in[i] == up);
    HOLDS(in[part_size(up, size) + 1] == 255);
}

static void allgather(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm), numbers[64];
    unsigned char part[64], all[64 * 8];
    size_t sizes[64];
    pb_comm_allgather(comm, &rank, sizeof rank, numbers, "allgather");
    memset(part, rank + 1, sizeof part);
    for (int from = 0; from < size; from++) {
        HOLDS(numbers[from] == from);
        sizes[from] = part_size(from, size);
    }
    pb_comm_allgather_parts(comm, part, sizes, all, "allgather of parts");
    for (int from = 0, at = 0; from < size; from++)
        for (size_t i = 0; i < sizes[from]; i++)
            HOLDS(all[at++] == from + 1);
}

static void self(pb_comm *comm) {
    pb_comm *alone;
    pb_status status = pb_comm_create_self(&alone);
    HOLDS(!pb_failed(&status) && pb_comm_size(alone) == 1 && pb_comm_rank(alone) == 0);
    for (int call = 0; call <= pb_comm_rank(comm); call++) /* as often as this rank likes: nobody else takes part */
        HOLDS(pb_comm_sum_u64(alone, 7, "sum of one") == 7);
    status = pb_agree(alone, pb_fail(PB_E_INPUT, "alone"));
    HOLDS(status.code == PB_E_INPUT);
    pb_comm_destroy(&alone);
    HOLDS(alone == NULL);
}

static void counters(pb_comm *comm) {
    pb_comm_counters before = pb_comm_count(comm);
    char bytes[100] = {0};
    pb_comm_barrier(comm, "barrier");
    pb_comm_broadcast(comm, bytes, sizeof bytes, 0, "broadcast");
    pb_comm_counters after = pb_comm_count(comm);
    HOLDS(after.collectives - before.collectives == 2);
    HOLDS(after.bytes_sent - before.bytes_sent == (pb_comm_rank(comm) == 0 ? 100 : 0));
}

static void agree_ok(pb_comm *comm) {
    pb_status status = pb_agree(comm, pb_ok());
    HOLDS(!pb_failed(&status) && status.rank == -1);
}

static void agree_one(pb_comm *comm) {
    for (int culprit = 0; culprit < pb_comm_size(comm); culprit++) {
        pb_status local = pb_comm_rank(comm) == culprit ? pb_fail(PB_E_INPUT, "image %d is bad", culprit) : pb_ok();
        pb_status status = pb_agree(comm, local);
        char expected[64];
        snprintf(expected, sizeof expected, "image %d is bad", culprit);
        HOLDS(status.code == PB_E_INPUT && status.rank == culprit && strcmp(status.message, expected) == 0);
        HOLDS(strcmp(status.file, "mpi/cases.c") == 0 && status.line > 0);
    }
}

/* All fail: the highest code wins, and among its ranks the lowest. */
static void agree_worst(pb_comm *comm) {
    int rank = pb_comm_rank(comm), size = pb_comm_size(comm);
    pb_code code = rank == 0 ? PB_E_USAGE : PB_E_SYSTEM;
    pb_status status = pb_agree(comm, pb_fail(code, "from rank %d", rank));
    HOLDS(status.code == (size == 1 ? PB_E_USAGE : PB_E_SYSTEM));
    HOLDS(status.rank == (size == 1 ? 0 : 1));
}

static void agree_twice(pb_comm *comm) {
    int last = pb_comm_size(comm) - 1;
    pb_status status = pb_agree(comm, pb_comm_rank(comm) == last ? pb_fail(PB_E_INPUT, "last") : pb_ok());
    status = pb_agree(comm, status);
    HOLDS(status.rank == last);
}

static void lost_peer(pb_comm *comm) {
    pb_comm_watchdog(comm, 1.0);
    if (pb_comm_rank(comm) == pb_comm_size(comm) - 1)
        sleep(60);
    pb_comm_barrier(comm, "meeting of all ranks");
}

static void killed_peer(pb_comm *comm) {
    if (pb_comm_rank(comm) == pb_comm_size(comm) - 1)
        raise(SIGKILL);
    pb_comm_barrier(comm, "meeting of all ranks");
}

/* Slow is not lost: one second of waiting within a limit of twenty. */
static void slow_peer(pb_comm *comm) {
    pb_comm_watchdog(comm, 20.0);
    if (pb_comm_rank(comm) == 0)
        sleep(1);
    pb_comm_barrier(comm, "meeting of all ranks");
}

static const pb_case CASES[] = {
    {"ranks", ranks},
    {"reductions", reductions},
    {"broadcast", broadcast},
    {"gather", gather},
    {"allgather", allgather},
    {"exchange", exchange},
    {"gather-out-of-memory", gather_out_of_memory},
    {"counters", counters},
    {"self", self},
    {"agree-ok", agree_ok},
    {"agree-one", agree_one},
    {"agree-worst", agree_worst},
    {"agree-twice", agree_twice},
    {"lost-peer", lost_peer},
    {"killed-peer", killed_peer},
    {"slow-peer", slow_peer},
};

int main(int argc, char **argv) { return run_case(argc, argv, CASES, sizeof CASES / sizeof CASES[0]); }
