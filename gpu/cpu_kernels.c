/* Which kernels this processor runs. This file is compiled without instruction set options, so that asking is safe everywhere.
 * __builtin_cpu_supports also asks whether the operating system saves the registers. */
#include "gpu/cpu.h"

#include <stdbool.h>
#include <string.h>

/* All parts of AVX-512 that gpu/CMakeLists.txt lets the compiler use, and FMA: Xeon Phi has F without the others. */
static bool runs_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
}

static bool runs_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static bool runs_always(void) { return true; }

/* Best first. What a set needs is what gpu/CMakeLists.txt compiles it with. */
static const struct {
    const pb_cpu_kernels *kernels;
    bool (*runs_here)(void);
    const char *needs;
} SETS[] = {
    {&pb_cpu_kernels_avx512, runs_avx512, "AVX-512 F, VL, BW, DQ and FMA"},
    {&pb_cpu_kernels_avx2, runs_avx2, "AVX2 and FMA"},
    {&pb_cpu_kernels_plain, runs_always, "nothing"},
};

/* Contract: gpu/cpu.h. NULL takes the first set that runs here; "plain" always does. */
const pb_cpu_kernels *pb_cpu_kernels_choose(const char *name) {
    for (size_t i = 0; i < sizeof SETS / sizeof *SETS; i++)
        if ((!name || strcmp(name, SETS[i].kernels->name) == 0) && SETS[i].runs_here())
            return SETS[i].kernels;
    return NULL;
}

const char *pb_cpu_kernels_name(size_t set, const char **needs) {
    if (set >= sizeof SETS / sizeof *SETS)
        return NULL;
    *needs = SETS[set].needs;
    return SETS[set].kernels->name;
}
