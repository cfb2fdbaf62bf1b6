#include "ceiling.h"

#include "base/clock.h"
#include "ceilings.h"
#include "gpu/cpu.h"

#include <string.h>

static double once(const char *set) {
    const double begun = pb_clock_seconds();
    double lanes;
    if (strcmp(set, "avx512") == 0)
        lanes = ceiling_avx512(200000, false);
    else if (strcmp(set, "avx2") == 0)
        lanes = ceiling_avx2(200000, false);
    else
        lanes = ceiling_plain(20000, false);
    return lanes / (pb_clock_seconds() - begun);
}

/* The best of some: a machine has other things to do. */
double bench_cpu_fma_rate(const char *name) {
    const char *which = strchr(name, ':'), *set = pb_cpu_kernels_choose(which ? which + 1 : NULL)->name;
    double best = 0;
    for (int i = 0; i < 7; i++) {
        const double rate = once(set);
        best = rate > best ? rate : best;
    }
    return best;
}
