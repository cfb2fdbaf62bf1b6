/* ranks.h: cases that need MPI ranks. Criterion forks every test and Open MPI refuses to start in such a child, so a test starts
 * `mpiexec -n N PROGRAM CASE` and looks at what comes back; the case itself is a plain program. */
#ifndef PB_TESTS_RANKS_H
#define PB_TESTS_RANKS_H

#include "shell.h"

#include <criterion/criterion.h>

enum { RANKS_MOST = 4 }; /* 3 finds what powers of two hide */

/* The case must end with exit code 0 at 1 to RANKS_MOST ranks. */
static inline void passes_at_all_sizes(const char *program, const char *name) {
    static char output[65536];
    for (int ranks = 1; ranks <= RANKS_MOST; ranks++) {
        int code = shell(output, sizeof output, "%s -n %d --map-by :OVERSUBSCRIBE %s %s", PB_MPIEXEC, ranks, program, name);
        cr_assert(code == 0, "%s at %d ranks: exit code %d\n%s", name, ranks, code, output);
    }
}

#endif
