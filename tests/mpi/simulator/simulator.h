/* simulator.h: up to thousands of MPI ranks in one process, one after the other: coroutines that take turns where they wait for
 * each other. Everything above MPI is the real code, so what it asks of MPI can be counted at sizes that no machine has. A rank
 * that waits for ever, and ranks in different collectives, end the process with a message. One thread. */
#ifndef PB_TESTS_SIMULATOR_H
#define PB_TESTS_SIMULATOR_H

#include <stdint.h>

typedef enum simulator_kind {
    SIMULATOR_BARRIER,
    SIMULATOR_ALLREDUCE,
    SIMULATOR_EXSCAN,
    SIMULATOR_BCAST,
    SIMULATOR_GATHER,
    SIMULATOR_ALLGATHER, /* of equal and unequal parts */
    SIMULATOR_MESSAGE,   /* from rank to rank */
    SIMULATOR_KINDS
} simulator_kind;
extern const char *const SIMULATOR_NAMES[SIMULATOR_KINDS];

/* What was asked of MPI over MPI_COMM_WORLD. */
typedef struct simulator_count {
    uint64_t calls;          /* collectives; of messages those of the rank that sent most */
    uint64_t bytes;          /* of all calls: a reduction's or broadcast's operand, what a gather brings to whom it brings all,
                              * the messages of the rank that sent most bytes */
} simulator_count;

/* Runs `rank_main` on so many ranks, to their end. */
void simulator_run(int ranks, void (*rank_main)(void));

/* Counts since the last reset. All ranks must stand at the same place: behind a collective, say. */
simulator_count simulator_counted(simulator_kind kind);
void simulator_reset(void);

#endif
