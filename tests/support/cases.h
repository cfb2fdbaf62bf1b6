/* cases.h: main of a program of MPI cases: `program CASE` runs one on all ranks and exits with 0 if it holds on all of them. */
#ifndef PB_TESTS_CASES_H
#define PB_TESTS_CASES_H

#include "mpi/comm.h"

#include <stdio.h>
#include <string.h>

typedef struct pb_case {
    const char *name;
    void (*run)(pb_comm *comm);
} pb_case;

static int case_failures;

/* Notes a failure and goes on, so that no rank leaves a collective alone. */
#define HOLDS(condition)                                                                                       \
    do {                                                                                                       \
        if (!(condition)) {                                                                                    \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                     \
            case_failures++;                                                                                   \
        }                                                                                                      \
    } while (0)

static inline int run_case(int argc, char **argv, const pb_case *cases, size_t count) {
    pb_comm *comm;
    pb_status status = pb_comm_create(&argc, &argv, &comm);
    if (pb_failed(&status))
        return status.code;
    size_t found = 0;
    for (; found < count && (argc < 2 || strcmp(cases[found].name, argv[1]) != 0); found++) {
    }
    if (found < count)
        cases[found].run(comm);
    else
        case_failures++;
    uint64_t failures = pb_comm_sum_u64(comm, (uint64_t)case_failures, "end of the case");
    pb_comm_destroy(&comm);
    return failures > 0;
}

#endif
