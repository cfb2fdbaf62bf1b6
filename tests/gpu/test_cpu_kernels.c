#include "gpu/cpu.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* What the kernel says of the processor, which is not what the choice asks. */
static bool cpuinfo_has(const char *flag) {
    static char line[16384];
    char wanted[32];
    snprintf(wanted, sizeof wanted, " %s ", flag);
    FILE *file = fopen("/proc/cpuinfo", "r");
    cr_assert_not_null(file);
    bool found = false;
    while (fgets(line, sizeof line, file) && !found) {
        char *end = strchr(line, '\n');
        if (end)
            *end = ' ';
        found = strncmp(line, "flags", 5) == 0 && strstr(line, wanted);
    }
    fclose(file);
    return found;
}

Test(cpu_kernels, the_plain_set_runs_everywhere) {
    const pb_cpu_kernels *plain = pb_cpu_kernels_choose("plain");
    cr_assert_not_null(plain);
    cr_assert_str_eq(plain->name, "plain");
}

Test(cpu_kernels, a_set_is_offered_when_the_processor_has_it) {
    bool avx2 = cpuinfo_has("avx2") && cpuinfo_has("fma");
    bool avx512 = avx2 && cpuinfo_has("avx512f") && cpuinfo_has("avx512vl") && cpuinfo_has("avx512bw") && cpuinfo_has("avx512dq");
    cr_assert_eq(pb_cpu_kernels_choose("avx2") != NULL, avx2);
    cr_assert_eq(pb_cpu_kernels_choose("avx512") != NULL, avx512);
    cr_assert_str_eq(pb_cpu_kernels_choose(NULL)->name, avx512 ? "avx512" : avx2 ? "avx2" : "plain");
}

Test(cpu_kernels, an_unknown_set_is_refused) {
    cr_assert_null(pb_cpu_kernels_choose("sse9"));
    cr_assert_null(pb_cpu_kernels_choose(""));
}

Test(cpu_kernels, a_chunk_of_rows_fits_the_second_cache) {
    for (int dim = 1; dim <= 100000; dim = dim * 3 / 2 + 1) {
        size_t rows = pb_cpu_chunk_rows(dim);
        cr_assert(rows % PB_ROWS_STEP == 0 && rows >= PB_ROWS_STEP && rows <= PB_ROWS_CHUNK);
        cr_assert(rows == PB_ROWS_STEP || rows * (size_t)dim * sizeof(float) <= 256 << 10);
        cr_assert(rows == PB_ROWS_CHUNK || (rows + PB_ROWS_STEP) * (size_t)dim * sizeof(float) > 256 << 10);
    }
}
