/* The plain way of a cover, on numbers that leave it no other: everything tiny, or so large that distances overflow. */
#include "cover_rounds.h"

static void check_kind(kind k, float scale, int dim) {
    enum { N = 150 };
    float *rows = numbers(k, 0, N * (size_t)dim);
    for (size_t i = 0; i < N * (size_t)dim; i++)
        rows[i] *= scale;
    int ranks = 1 + (k + dim) % RANKS_MAX; /* each number by turns */
    check_rounds("cpu", ranks, ranks, rows, N, dim, 40, (uint64_t)(k * 100 + dim + ranks));
    pb_release(&rows);
}

Test(cpu_cover_exact, picks_are_the_textbooks_for_numbers_of_any_size) {
    static const int DIMS[] = {1, 3, 16, 17, 128};
    static const float SCALES[] = {1e-38f, 1e-30f, 1e-20f, 1e-10f, 1e10f, 1e20f, 1e30f};
    for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++) {
        for (int k = 0; k < KINDS; k++)
            check_kind((kind)k, 1.0f, DIMS[d]);
        for (size_t s = 0; s < sizeof SCALES / sizeof *SCALES; s++)
            check_kind(UNIFORM, SCALES[s], DIMS[d]);
    }
}
