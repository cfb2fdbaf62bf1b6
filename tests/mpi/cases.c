/* Cases of mpi/ for any number of ranks; started by tests/mpi/test_*.c. Expected values are formulas of rank and size. */
#include "cases.h"
#include "device_cases.h"

#include "base/memory.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void ranks(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm);
    HOLDS(size >= 1 && rank >= 0 && rank < size);
    HOLDS(pb_comm_local_rank(comm) == rank); /* tests run on one host */
    HOLDS(pb_comm_fair_threads(comm) >= 1);
    /* there mpiexec gives all ranks equal shares */
    uint64_t threads = pb_comm_sum_u64(comm, (uint64_t)pb_comm_fair_threads(comm), "threads of the host");
    uint64_t cores = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    HOLDS(threads <= (cores > (uint64_t)size ? cores : (uint64_t)size));
}

static void reductions(pb_comm *comm) {
    uint64_t size = (uint64_t)pb_comm_size(comm), rank = (uint64_t)pb_comm_rank(comm);
    HOLDS(pb_comm_max_u64(comm, rank << 40 | 5, "max") == ((size - 1) << 40 | 5));
    HOLDS(pb_comm_sum_u64(comm, rank + 1, "sum") == size * (size + 1) / 2);
    HOLDS(pb_comm_sum_before_u64(comm, rank + 1, "sum before") == rank * (rank + 1) / 2);
    HOLDS(pb_comm_max_real(comm, -(double)rank, "max real") >= 0.0);
    HOLDS(pb_comm_max_u64(comm, UINT64_MAX - rank, "max of large") == UINT64_MAX);
}

/* Any number of values, none among them. */
static void sums_of_arrays(pb_comm *comm) {
    uint64_t size = (uint64_t)pb_comm_size(comm), rank = (uint64_t)pb_comm_rank(comm), values[100];
    for (size_t count = 0; count <= 100; count += 50) {
        for (uint64_t i = 0; i < 100; i++)
            values[i] = rank * 1000 + i;
        pb_comm_sum_array_u64(comm, values, count, "sums");
        bool same = true;
        for (uint64_t i = 0; i < 100; i++)
            same = same && values[i] == (i < count ? size * (size - 1) / 2 * 1000 + size * i : rank * 1000 + i);
        HOLDS(same);
    }
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

enum { RANKS_MAX = 64, PART_MAX = 15 * RANKS_MAX };

/* Rank 0 gives nothing, nor does the last one if there are more than two; rank 1 gives whole pieces of 7 bytes (the program
 * cases_mpi_pieces), the others do not. */
static size_t part_size(int rank, int size) { return size > 2 && rank == size - 1 ? 0 : (size_t)rank * 14 + (rank > 1 ? 1 : 0); }

/* Byte i of rank r's part: differs between ranks and places, so that a byte at a wrong place is seen. */
static unsigned char part_byte(int rank, size_t i) { return (unsigned char)(i * 11 + (size_t)rank * 101 + 1); }

static void fill_part(unsigned char part[PART_MAX], int rank) {
    for (size_t i = 0; i < PART_MAX; i++)
        part[i] = part_byte(rank, i);
}

static bool is_part(const unsigned char *bytes, size_t count, int rank) {
    size_t right = 0;
    while (right < count && bytes[right] == part_byte(rank, right))
        right++;
    return right == count;
}

static void gather(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm);
    unsigned char part[PART_MAX];
    fill_part(part, rank);
    for (int root = 0; root < size; root++) {
        unsigned char *all = NULL;
        size_t sizes[RANKS_MAX] = {0}, at = 0;
        pb_status status = pb_comm_gather(comm, part, part_size(rank, size), root, &all, sizes, "gather");
        HOLDS(!pb_failed(&status));
        HOLDS((all != NULL) == (rank == root));
        for (int from = 0; from < size && rank == root; at += sizes[from], from++)
            HOLDS(sizes[from] == part_size(from, size) && is_part(all + at, sizes[from], from));
        pb_release(&all);
    }
}

/* More than any machine has: root cannot take it, and everybody must hear of it before a byte travels. */
static void gather_out_of_memory(pb_comm *comm) {
    int rank = pb_comm_rank(comm);
    char *all = NULL;
    size_t sizes[RANKS_MAX];
    size_t absurd = rank == pb_comm_size(comm) - 1 ? (size_t)1 << 60 : 0;
    pb_status status = pb_comm_gather(comm, &rank, absurd, 0, &all, sizes, "absurd gather");
    HOLDS(status.code == PB_E_SYSTEM && status.rank == 0);
    HOLDS(all == NULL);
}

/* Down the ring. `more` bytes more than a part, so that one side may have many pieces and the other none. */
static void exchange_parts(pb_comm *comm, size_t more) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm), up = (rank + 1) % size, down = (rank + size - 1) % size;
    size_t expected = part_size(up, size) + more;
    unsigned char out[PART_MAX], in[PART_MAX];
    fill_part(out, rank);
    memset(in, 0, sizeof in);
    pb_comm_exchange(comm, out, part_size(rank, size) + more, down, in, expected, up, "exchange");
    HOLDS(is_part(in, expected, up));
    for (size_t i = expected; i < PART_MAX; i++)
        HOLDS(in[i] == 0);
}

static void exchange(pb_comm *comm) {
    exchange_parts(comm, 0);
    exchange_parts(comm, 1);
    exchange_parts(comm, 21);
}

static void allgather(pb_comm *comm) {
    int size = pb_comm_size(comm), rank = pb_comm_rank(comm), numbers[RANKS_MAX];
    unsigned char part[PART_MAX], all[RANKS_MAX * PART_MAX];
    size_t sizes[RANKS_MAX], at = 0;
    pb_comm_allgather(comm, &rank, sizeof rank, numbers, "allgather");
    fill_part(part, rank);
    for (int from = 0; from < size; from++) {
        HOLDS(numbers[from] == from);
        sizes[from] = part_size(from, size);
    }
    pb_comm_allgather_parts(comm, part, sizes, all, "allgather of parts");
    for (int from = 0; from < size; at += sizes[from], from++)
        HOLDS(is_part(all + at, sizes[from], from));
}

static void self(pb_comm *comm) {
    pb_comm *alone;
    pb_status status = pb_comm_create_self(&alone);
    HOLDS(!pb_failed(&status) && pb_comm_size(alone) == 1 && pb_comm_rank(alone) == 0);
    HOLDS(pb_comm_fair_threads(alone) == pb_comm_fair_threads(comm));
    HOLDS(pb_comm_local_rank(alone) == pb_comm_local_rank(comm));
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
    HOLDS(after.seconds >= before.seconds);
}

/* Those who wait for a late rank are seen to wait, also where a collective uses others. */
static void waiting(pb_comm *comm) {
    bool late = pb_comm_rank(comm) == 0 && pb_comm_size(comm) > 1;
    size_t sizes[8];
    char *all = NULL, mine = 1;
    pb_comm_barrier(comm, "begin");
    pb_comm_counters before = pb_comm_count(comm);
    if (late)
        usleep(300000);
    pb_status status = pb_comm_gather(comm, &mine, 1, 0, &all, sizes, "gather");
    pb_comm_counters after = pb_comm_count(comm);
    double waited = after.seconds - before.seconds;
    HOLDS(!pb_failed(&status) && after.collectives - before.collectives == 2);
    HOLDS(late || pb_comm_size(comm) == 1 || waited >= 0.2);
    HOLDS(waited < 60);
    pb_release(&all);
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

static void expect_verdict(pb_comm *comm, const pb_code *codes, pb_code expected, int of_rank) {
    int rank = pb_comm_rank(comm);
    pb_status status = pb_agree(comm, codes[rank] == PB_OK ? pb_ok() : pb_fail(codes[rank], "from rank %d", rank));
    char message[64];
    snprintf(message, sizeof message, "from rank %d", of_rank);
    HOLDS(status.code == expected && status.rank == of_rank && strcmp(status.message, message) == 0);
}

/* Severest first, whatever the numbers of the codes. */
static void agree_worst(pb_comm *comm) {
    static const pb_code WORST_FIRST[] = {PB_E_INTERNAL, PB_E_UNSUPPORTED, PB_E_SYSTEM, PB_E_REQUEUE, PB_E_NO, PB_OK};
    enum { CODES = sizeof WORST_FIRST / sizeof WORST_FIRST[0] };
    int size = pb_comm_size(comm);
    for (int first = 0; first < CODES - 1; first++) {
        pb_code codes[RANKS_MAX];
        int worst = 0;
        for (int rank = 0; rank < size; rank++) {
            codes[rank] = WORST_FIRST[(first + rank) % CODES];
            if ((first + rank) % CODES < (first + worst) % CODES)
                worst = rank;
        }
        expect_verdict(comm, codes, codes[worst], worst);
    }
}

/* Equally severe: the lowest rank, not the greatest number. */
static void agree_lowest(pb_comm *comm) {
    static const pb_code SAME[] = {PB_E_USAGE, PB_E_INPUT, PB_E_UNSUPPORTED};
    for (int shift = 0; shift < 3; shift++) {
        pb_code codes[RANKS_MAX];
        for (int rank = 0; rank < pb_comm_size(comm); rank++)
            codes[rank] = SAME[(rank + shift) % 3];
        expect_verdict(comm, codes, codes[0], 0);
        codes[0] = PB_E_SYSTEM;
        if (pb_comm_size(comm) > 1)
            expect_verdict(comm, codes, codes[1], 1);
    }
}

static void agree_twice(pb_comm *comm) {
    int last = pb_comm_size(comm) - 1;
    pb_status status = pb_agree(comm, pb_comm_rank(comm) == last ? pb_fail(PB_E_INPUT, "last") : pb_ok());
    status = pb_agree(comm, status);
    HOLDS(status.rank == last);
}

static void equal_texts(pb_comm *comm) {
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pb_comm_counters before = pb_comm_count(comm);
    pb_status status = pb_agree_equal(comm, text, "list.txt");
    pb_comm_counters after = pb_comm_count(comm);
    HOLDS(!pb_failed(&status));
    HOLDS(after.collectives - before.collectives == 1 && after.bytes_sent - before.bytes_sent == 16);
    status = pb_agree_equal(comm, "", "list.txt");
    HOLDS(!pb_failed(&status));
}

/* All ranks from `odd` on have another text than those below: rank `odd` is the one to be named. */
static void different_texts(pb_comm *comm) {
    for (int odd = 1; odd < pb_comm_size(comm); odd++) {
        char text[32], expected[256];
        snprintf(text, sizeof text, "%d images", pb_comm_rank(comm) < odd ? 7 : 100 + pb_comm_rank(comm));
        pb_status status = pb_agree_equal(comm, text, "list.txt");
        snprintf(expected, sizeof expected,
                 "list.txt: differs between the ranks (rank 0 has 7 images, rank %d has %d images); it must be the same on "
                 "all ranks",
                 odd, 100 + odd);
        HOLDS(status.code == PB_E_INPUT && status.rank == odd && strcmp(status.message, expected) == 0);
    }
}

/* The difference is in the last byte: found, though not shown, and the message's end is not lost. */
static void different_long_texts(pb_comm *comm) {
    int last = pb_comm_size(comm) - 1;
    static char text[100000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 2] = pb_comm_rank(comm) == last ? 'z' : 'y';
    pb_status status = pb_agree_equal(comm, text, "list.txt");
    HOLDS(status.code == (last == 0 ? PB_OK : PB_E_INPUT));
    HOLDS(last == 0 || status.rank == last);
    HOLDS(last == 0 || strstr(status.message, "xxx[...], rank"));
    HOLDS(last == 0 || strstr(status.message, "xxx[...]); it must be the same on all ranks"));
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

/* No limit is set: a rank may be waited for. */
static void sleeping_peer(pb_comm *comm) {
    if (pb_comm_rank(comm) == 0)
        sleep(2);
    pb_comm_barrier(comm, "meeting of all ranks");
}

static const pb_case CASES[] = {
    {"ranks", ranks},
    {"reductions", reductions},
    {"sums", sums_of_arrays},
    {"broadcast", broadcast},
    {"gather", gather},
    {"allgather", allgather},
    {"exchange", exchange},
    {"gather-out-of-memory", gather_out_of_memory},
    {"counters", counters},
    {"waiting", waiting},
    {"self", self},
    {"agree-ok", agree_ok},
    {"agree-one", agree_one},
    {"agree-worst", agree_worst},
    {"agree-lowest", agree_lowest},
    {"agree-twice", agree_twice},
    {"equal-texts", equal_texts},
    {"different-texts", different_texts},
    {"different-long-texts", different_long_texts},
    {"lost-peer", lost_peer},
    {"killed-peer", killed_peer},
    {"slow-peer", slow_peer},
    {"sleeping-peer", sleeping_peer},
    {"devices-near", devices_near},
    {"devices-far", devices_far},
    {"devices-peers", devices_peers},
    {"devices-mixed", devices_mixed},
    {"devices-shared", devices_shared},
    {"devices-no-route", devices_no_route},
    {"devices-failing", devices_failing},
    {"devices-join-fails", devices_join_fails},
};

int main(int argc, char **argv) { return run_case(argc, argv, CASES, sizeof CASES / sizeof CASES[0]); }
