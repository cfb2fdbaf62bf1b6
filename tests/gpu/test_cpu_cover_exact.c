/* The plain way of a cover, on numbers that leave it no other: everything tiny, or so large that distances overflow. */
#include "cover_points.h"
#include "cover_rounds.h"
#include "gpu/cpu_cover.h"

static void check_kind(kind k, float scale, int dim) {
    enum { N = 150 };
    float *rows = numbers(k, 0, N * (size_t)dim);
    for (size_t i = 0; i < N * (size_t)dim; i++)
        rows[i] *= scale;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        check_rounds("cpu", 1, ranks, rows, N, dim, 40, (uint64_t)(k * 100 + dim + ranks));
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

/* Blocks for several threads, chunks of centres and pieces of chunks: of 4000 dimensions a MiB holds 65 rows. */
Test(cpu_cover_exact, picks_are_the_textbooks_for_many) {
    float *rows = cloud_points(5000, 4);
    for (int threads = 1; threads <= 3; threads++)
        check_rounds("cpu", threads, 1, rows, 5000, 4, 60, 21);
    check_rounds("cpu", 2, 2, rows, 1500, 4, 700, 22);
    pb_release(&rows);
    rows = cloud_points(150, 4000);
    check_rounds("cpu", 1, 1, rows, 150, 4000, 120, 23);
    pb_release(&rows);
}

/* Bounds that the filter left are not exact. A centre whose distance lies between such a bound and what it bounds changes
 * nothing. */
Test(cpu_cover_exact, goes_on_from_bounds_that_are_not_exact) {
    enum { N = 400, DIM = 40 };
    float *rows = shuffled_points(N, DIM);
    rounds r = begin_rounds("cpu", 1, 1, rows, N, DIM, 0, 1, 0);
    pb_cover *cover = r.covers[0];
    cr_assert(cover->filtered);
    for (size_t c = 1; c < 10; c++) {
        uint32_t points[N];
        size_t above = 0;
        for (uint32_t i = 0; i < N; i++) {
            points[i] = i;
            float d = pb_ref_distance2(row_of(&r, i), row_of(&r, 2 * c + 1), DIM);
            above += d >= r.exact[i] && d < cover->bounds[i];
        }
        cr_assert(c > 1 || above > N / 10, "%zu", above); /* the test would say nothing */
        assert_done(pb_device_cover_add(r.devices[0], r.covers[0], row_of(&r, 2 * c + 1), 1));
        textbook_adds(&r, 2 * c + 1);
        cr_assert_eq(pb_cover_exact_advance(cover, cover->work, points, N, c, c + 1, 0), N);
        for (uint32_t i = 0; i < N; i++) {
            const pb_candidate candidate = {.index = i, .nearest = cover->nearest[i], .bound = cover->bounds[i]};
            cr_assert(points[i] == i && cover->met[i] == c + 1);
            check_candidate(&r, &candidate);
        }
    }
    end_rounds(&r);
    pb_release(&rows);
}
