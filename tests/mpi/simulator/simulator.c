/* Ranks take turns in the order of their numbers. A collective ends when the last rank has come to it; that one does the work for
 * all. Messages are copied when they are sent and wait for their receiver. */
#include "simulator.h"

#include "mpi/watchdog.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { STACK_BYTES = 512 << 10 };

const char *const SIMULATOR_NAMES[SIMULATOR_KINDS] = {"barrier", "allreduce", "exscan", "bcast",
                                                      "gather",  "allgather", "message"};

/* A rank's part of a collective. */
typedef struct call {
    simulator_kind kind;
    const char *send;
    char *receive;
    size_t bytes;              /* of a part, or of an operand */
    const int *counts, *places; /* of an allgather of unequal parts, else NULL */
    MPI_Datatype type;
    MPI_Op op;
    int root;
} call;

typedef struct message {
    int from, tag;
    size_t bytes;
    struct message *next;
    char content[];
} message;

typedef struct simulated {
    ucontext_t context;
    char *stack;
    bool ended;
    call mine;
    message *inbox; /* in the order in which they were sent */
    simulator_count sent;
} simulated;

static simulated *ranks;
static int rank_count, present;
static ucontext_t scheduler;
static void (*rank_main)(void);
static int arrived;
static simulator_kind gathering; /* the kind of collective that those who arrived are in */
static uint64_t collectives, progress; /* progress: grows when anything happens that somebody may wait for */
static simulator_count counted[SIMULATOR_KINDS];

static void give_up(const char *why) {
    fprintf(stderr, "simulator: rank %d: %s\n", present, why);
    exit(70);
}

static void yield(void) { swapcontext(&ranks[present].context, &scheduler); }

static void begin_rank(void) {
    rank_main();
    ranks[present].ended = true;
    progress++;
    yield();
}

void simulator_run(int count, void (*main_of_rank)(void)) {
    ranks = calloc((size_t)count, sizeof *ranks);
    rank_count = count;
    rank_main = main_of_rank;
    for (int r = 0; r < count; r++) {
        ranks[r].stack = malloc(STACK_BYTES);
        getcontext(&ranks[r].context);
        ranks[r].context.uc_stack.ss_sp = ranks[r].stack;
        ranks[r].context.uc_stack.ss_size = STACK_BYTES;
        makecontext(&ranks[r].context, begin_rank, 0);
    }
    for (int living = count; living > 0;) {
        uint64_t before = progress;
        living = 0;
        for (present = 0; present < count; present++)
            if (!ranks[present].ended) {
                swapcontext(&scheduler, &ranks[present].context);
                living += !ranks[present].ended;
            }
        if (progress == before)
            give_up("all ranks wait for each other");
    }
    for (int r = 0; r < count; r++)
        free(ranks[r].stack);
    free(ranks);
}

simulator_count simulator_counted(simulator_kind kind) {
    simulator_count most = counted[kind];
    for (int r = 0; kind == SIMULATOR_MESSAGE && r < rank_count; r++)
        if (ranks[r].sent.bytes >= most.bytes)
            most = ranks[r].sent;
    return most;
}

void simulator_reset(void) {
    memset(counted, 0, sizeof counted);
    for (int r = 0; r < rank_count; r++)
        ranks[r].sent = (simulator_count){0};
}

/* --- collectives ------------------------------------------------------------------------------------------------ */

static size_t size_of(MPI_Datatype type) { return type == MPI_BYTE ? 1 : 8; }

static void combine(const call *how, char *into, const char *more) {
    for (size_t at = 0; at < how->bytes; at += 8) {
        uint64_t a, b;
        double x, y;
        memcpy(&a, into + at, 8), memcpy(&b, more + at, 8);
        memcpy(&x, into + at, 8), memcpy(&y, more + at, 8);
        a = how->op == MPI_SUM ? a + b : a > b ? a : b;
        x = how->op == MPI_SUM ? x + y : x > y ? x : y;
        memcpy(into + at, how->type == MPI_DOUBLE ? (const void *)&x : (const void *)&a, 8);
    }
}

/* Of the first `count` ranks, into `result`; their operands are in `from`, which is in each call. */
static void reduce(const call *calls[], int count, char result[64]) {
    memcpy(result, calls[0]->send, calls[0]->bytes);
    for (int r = 1; r < count; r++)
        combine(calls[0], result, calls[r]->send);
}

static void copy(char *to, const char *from, size_t bytes) {
    if (bytes > 0 && to != from)
        memmove(to, from, bytes);
}

static size_t part_of(const call *at, int rank) { return at->counts ? (size_t)at->counts[rank] : at->bytes; }

static size_t place_of(const call *at, int rank) { return at->places ? (size_t)at->places[rank] : at->bytes * (size_t)rank; }

static void gather_to(const call *calls[], int count, const call *to) {
    for (int r = 0; r < count; r++)
        copy(to->receive + place_of(to, r), calls[r]->send, part_of(to, r));
}

/* Does a collective of `count` ranks. Returns the bytes that it counts for. */
static uint64_t perform(const call *calls[], int count) {
    const call *first = calls[0];
    char result[64];
    switch (first->kind) {
    case SIMULATOR_ALLREDUCE:
        reduce(calls, count, result);
        for (int r = 0; r < count; r++)
            copy(calls[r]->receive, result, first->bytes);
        return first->bytes;
    case SIMULATOR_EXSCAN:
        for (int r = count - 1; r > 0; r--) { /* from the end: receiving does not disturb what is still to be sent */
            reduce(calls, r, result);
            copy(calls[r]->receive, result, first->bytes);
        }
        return first->bytes;
    case SIMULATOR_BCAST:
        for (int r = 0; r < count; r++)
            copy(calls[r]->receive, calls[first->root]->receive, first->bytes);
        return first->bytes;
    case SIMULATOR_GATHER:
        gather_to(calls, count, calls[first->root]);
        return (uint64_t)count * first->bytes;
    case SIMULATOR_ALLGATHER:
        for (int r = 0; r < count; r++)
            gather_to(calls, count, calls[r]);
        return place_of(first, count - 1) + part_of(first, count - 1);
    default:
        return 0;
    }
}

static int enter(MPI_Comm comm, call mine) {
    if (comm == MPI_COMM_SELF) {
        const call *alone = &mine;
        perform(&alone, 1);
        return 0;
    }
    simulated *me = &ranks[present];
    me->mine = mine;
    if (arrived == 0)
        gathering = mine.kind;
    if (mine.kind != gathering)
        give_up("enters another collective than the ranks before it");
    if (++arrived < rank_count) {
        for (uint64_t waiting_for = collectives; waiting_for == collectives;)
            yield();
        return 0;
    }
    const call **calls = malloc((size_t)rank_count * sizeof *calls);
    for (int r = 0; r < rank_count; r++)
        calls[r] = &ranks[r].mine;
    counted[mine.kind].calls++;
    counted[mine.kind].bytes += perform(calls, rank_count);
    free(calls);
    arrived = 0;
    collectives++;
    progress++;
    return 0;
}

int MPI_Barrier(MPI_Comm comm) { return enter(comm, (call){.kind = SIMULATOR_BARRIER}); }

int MPI_Allreduce(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
    const void *operand = send == MPI_IN_PLACE ? receive : send;
    return enter(comm, (call){.kind = SIMULATOR_ALLREDUCE, .send = operand, .receive = receive,
                              .bytes = (size_t)count * size_of(type), .type = type, .op = op});
}

int MPI_Exscan(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
    return enter(comm, (call){.kind = SIMULATOR_EXSCAN, .send = send, .receive = receive,
                              .bytes = (size_t)count * size_of(type), .type = type, .op = op});
}

int MPI_Bcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm) {
    return enter(comm, (call){.kind = SIMULATOR_BCAST, .receive = buffer, .bytes = (size_t)count * size_of(type), .root = root});
}

int MPI_Gather(const void *send, int count, MPI_Datatype type, void *receive, int receive_count, MPI_Datatype receive_type,
               int root, MPI_Comm comm) {
    (void)receive_count;
    (void)receive_type;
    return enter(comm, (call){.kind = SIMULATOR_GATHER, .send = send, .receive = receive,
                              .bytes = (size_t)count * size_of(type), .root = root});
}

int MPI_Allgather(const void *send, int count, MPI_Datatype type, void *receive, int receive_count, MPI_Datatype receive_type,
                  MPI_Comm comm) {
    (void)receive_count;
    (void)receive_type;
    return enter(comm, (call){.kind = SIMULATOR_ALLGATHER, .send = send, .receive = receive,
                              .bytes = (size_t)count * size_of(type)});
}

int MPI_Allgatherv(const void *send, int count, MPI_Datatype type, void *receive, const int *counts, const int *places,
                   MPI_Datatype receive_type, MPI_Comm comm) {
    (void)receive_type;
    return enter(comm, (call){.kind = SIMULATOR_ALLGATHER, .send = send, .receive = receive,
                              .bytes = (size_t)count * size_of(type), .counts = counts, .places = places});
}

/* --- messages --------------------------------------------------------------------------------------------------- */

int MPI_Send(const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
    size_t bytes = (size_t)count * size_of(type);
    (void)comm;
    message *sent = malloc(sizeof *sent + bytes), **end = &ranks[to].inbox;
    *sent = (message){.from = present, .tag = tag, .bytes = bytes};
    copy(sent->content, buffer, bytes);
    while (*end)
        end = &(*end)->next;
    *end = sent;
    ranks[present].sent.calls++;
    ranks[present].sent.bytes += bytes;
    progress++;
    return 0;
}

int MPI_Recv(void *buffer, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, void *status) {
    (void)comm;
    (void)status;
    for (;; yield()) {
        message **at = &ranks[present].inbox;
        while (*at && ((*at)->from != from || (*at)->tag != tag))
            at = &(*at)->next;
        message *found = *at;
        if (!found)
            continue;
        if (found->bytes > (size_t)count * size_of(type))
            give_up("a message longer than its receiver");
        copy(buffer, found->content, found->bytes);
        *at = found->next;
        free(found);
        progress++;
        return 0;
    }
}

int MPI_Sendrecv(const void *send, int count, MPI_Datatype type, int to, int tag, void *receive, int receive_count,
                 MPI_Datatype receive_type, int from, int receive_tag, MPI_Comm comm, void *status) {
    if (comm == MPI_COMM_SELF)
        give_up("a message to itself");
    if (to != MPI_PROC_NULL)
        MPI_Send(send, count, type, to, tag, comm);
    return from == MPI_PROC_NULL ? 0 : MPI_Recv(receive, receive_count, receive_type, from, receive_tag, comm, status);
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
    (void)argc;
    (void)argv;
    *provided = required;
    return 0;
}

int MPI_Finalize(void) { return 0; }

int MPI_Comm_rank(MPI_Comm comm, int *rank) {
    *rank = comm == MPI_COMM_SELF ? 0 : present;
    return 0;
}

int MPI_Comm_size(MPI_Comm comm, int *size) {
    *size = comm == MPI_COMM_SELF ? 1 : rank_count;
    return 0;
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, int info, MPI_Comm *made) {
    (void)comm, (void)type, (void)key, (void)info;
    *made = MPI_COMM_SELF;
    return 0;
}

int MPI_Comm_free(MPI_Comm *comm) {
    (void)comm;
    return 0;
}

/* Nobody watches: a rank that waits for ever is seen at once (simulator_run), and a thread for each rank would be too many. */
pb_status pb_watchdog_start(pb_watchdog *watchdog, int rank) {
    (void)watchdog, (void)rank;
    return pb_ok();
}

void pb_watchdog_stop(pb_watchdog *watchdog) { (void)watchdog; }

void pb_watchdog_limit(pb_watchdog *watchdog, double limit_s) { (void)watchdog, (void)limit_s; }

void pb_watchdog_mark(pb_watchdog *watchdog, const char *what) { (void)watchdog, (void)what; }
