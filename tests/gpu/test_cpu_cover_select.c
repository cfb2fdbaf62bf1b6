#include "cover_points.h"
#include "cover_rounds.h"

#include <signal.h>

/* Dimensions with which nothing is filtered, and with which it is. */
static const int DIMS[] = {3, 24};

/* `most` of 0 asks for the next pick alone, again and again the same. */
Test(cpu_cover_select, nothing_is_picked_when_none_are_wanted) {
    for (size_t d = 0; d < 2; d++) {
        float *rows = feature_points(100, DIMS[d]);
        rounds r = begin_rounds("cpu", 1, 1, rows, 100, DIMS[d], 7, 0, 5);
        for (int i = 0; i < 3; i++) {
            refresh_all(&r, 0);
            cr_assert_eq(select_all(&r, 0, 0), 0); /* which checks what is next */
            cr_assert_eq(select_all(&r, r.due, 0), 0);
            cr_assert_eq(select_all(&r, r.due + 1, 0), 0);
            cr_assert_eq(select_all(&r, UINT64_MAX, 5), 0);
        }
        cr_assert_eq(select_all(&r, r.due, 5), 1);
        end_rounds(&r);
        pb_release(&rows);
    }
}

/* More picks than there are points, and than the first room for centres, in one go: once all is covered the first is picked for
 * ever. */
Test(cpu_cover_select, picks_repeat_when_all_is_covered) {
    for (size_t d = 0; d < 2; d++)
        for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
            float *rows = repeated_points(90, DIMS[d]);
            rounds r = begin_rounds("cpu", 1, ranks, rows, 90, DIMS[d], 7, 5, 5);
            refresh_all(&r, 0);
            cr_assert_eq(select_all(&r, 0, 600), 600);
            cr_assert_eq(r.centres[r.k - 1], 0);
            refresh_all(&r, 0);
            cr_assert_eq(select_all(&r, 0, 3), 3);
            cr_assert_eq(select_all(&r, pb_pack_farthest(0x1p-149f, UINT32_MAX), 3), 0);
            end_rounds(&r);
            pb_release(&rows);
        }
}

/* The same candidates in another order, as if other ranks had sent them: the same picks. */
Test(cpu_cover_select, the_order_of_candidates_does_not_matter) {
    for (size_t d = 0; d < 2; d++)
        for (int m = 0; m < MAKERS_COUNT; m++) {
            const size_t n = 120, dim = (size_t)DIMS[d];
            float *rows = MAKERS[m].make(n, DIMS[d]);
            rounds r = begin_rounds("cpu", 1, 1, rows, n, DIMS[d], 7, 5, 5);
            refresh_all(&r, 0);
            gathered g = gather(&r);
            for (size_t i = n - 1; i > 0; i--) {
                size_t j = roll(&r) % (i + 1);
                pb_candidate other = g.candidates[i];
                g.candidates[i] = g.candidates[j];
                g.candidates[j] = other;
            }
            for (size_t i = 0; i < n; i++)
                memcpy(g.rows + i * dim, row_of(&r, g.candidates[i].index - r.offset), dim * sizeof *g.rows);
            outcome o = select_on(&r, 0, &g, 0, 50);
            check_outcome(&r, &o, 0, 50);
            release_outcome(&o);
            release_gathered(&g);
            end_rounds(&r);
            pb_release(&rows);
        }
}

Test(cpu_cover_select, a_nearest_centre_that_is_not_there_is_a_defect, .signal = SIGABRT) {
    float *rows = feature_points(50, 24);
    rounds r = begin_rounds("cpu", 1, 1, rows, 50, 24, 0, 0, 5);
    refresh_all(&r, 0);
    gathered g = gather(&r);
    g.candidates[7].nearest = 1;
    outcome o = select_on(&r, 0, &g, 0, 1);
    cr_assert_fail("made %zu", o.made);
}
