#include "emulated.h"

/* Points of which some are listed, and some have met some of the centres. */
typedef struct meeting {
    kind k;
    size_t n, listed;
    int dim;
    uint32_t begin, centres;
    int blocks;
} meeting;

static uint32_t listed_point(const meeting *m, size_t i) { return (uint32_t)(i * m->n / (m->listed ? m->listed : 1)); }

/* The plain twin. */
static void expect(const meeting *m, const float *rows, const float *centres, uint64_t *state, uint32_t *met) {
    for (size_t i = 0; i < m->listed; i++) {
        const uint32_t point = listed_point(m, i), end = m->begin + m->centres;
        const size_t dim = (size_t)m->dim;
        pb_ref_nearest(centres + m->begin * dim, m->centres, m->dim, m->begin, rows + point * dim, 1, state + point);
        met[point] = met[point] > end ? met[point] : end;
    }
}

static void check(meeting m) {
    const size_t dim = (size_t)m.dim, centre_values = (m.begin + m.centres) * dim, states = m.n * sizeof(uint64_t);
    float *rows = numbers(m.k, 0, m.n * dim), *centres = numbers(m.k, 1, centre_values);
    uint64_t *actual = unseen(m.n), *expected = unseen(m.n);
    uint32_t *met, *met_expected, *list;
    pb_cuda_cover_counts counts = {m.listed, 0, 0};
    assert_done(pb_allocate(&met, m.n, sizeof *met, "test counts"));
    assert_done(pb_allocate(&met_expected, m.n, sizeof *met, "test counts"));
    assert_done(pb_allocate(&list, m.listed, sizeof *list, "test list"));
    for (size_t i = 0; i < m.n; i++) {
        actual[i] = expected[i] = i % 3 ? PB_NEAREST_NONE : pb_pack_nearest((float)(i % 4), (uint32_t)i % 7);
        met[i] = met_expected[i] = i % 5 == 0 ? m.begin + m.centres + 9 : (uint32_t)i % 4;
    }
    for (size_t i = 0; i < m.listed; i++)
        list[i] = listed_point(&m, i);
    void *rows_there = on_device(rows, m.n * dim * 4), *centres_there = on_device(centres, centre_values * 4);
    void *state = on_device(actual, states), *met_there = on_device(met, m.n * 4), *list_there = on_device(list, m.listed * 4);
    void *counts_there = on_device(&counts, sizeof counts);
    assert_cuda(pb_cuda_cover_meet(NULL, m.blocks, rows_there, m.dim, list_there, counts_there, m.n, centres_there, m.begin,
                                   m.centres, state, met_there));
    off_device(actual, state, states);
    off_device(met, met_there, m.n * 4);
    expect(&m, rows, centres, expected, met_expected);
    cr_assert_arr_eq(actual, expected, states);
    cr_assert_arr_eq(met, met_expected, m.n * 4);
    void *rest[] = {rows_there, centres_there, list_there, counts_there};
    for (size_t i = 0; i < LENGTH(rest); i++)
        assert_cuda(cudaFree(rest[i]));
    assert_sound();
    pb_release(&rows);
    pb_release(&centres);
    pb_release(&actual);
    pb_release(&expected);
    pb_release(&met);
    pb_release(&met_expected);
    pb_release(&list);
}

/* Around tiles of 128, slabs of 16, chunks of 128; blocks that take several tiles. */
Test(cover_meet, is_the_twins) {
    static const meeting MEETINGS[] = {
        {UNIFORM, 1, 1, 1, 0, 1, 1},       {UNIFORM, 200, 0, 5, 0, 9, 2},    {TIES, 300, 300, 1, 5, 128, 1},
        {MIXED, 500, 130, 17, 128, 127, 3}, {TIES, 600, 420, 2, 256, 77, 2},  {HUGE_ONES, 150, 149, 16, 1, 8, 5},
        {DENORMALS, 150, 75, 33, 3, 7, 1}, {UNIFORM, 129, 129, 152, 0, 128, 9}, {UNIFORM, 3, 2, 1024, 2, 3, 1},
    };
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t m = 0; m < LENGTH(MEETINGS); m++) {
            emulator_turns(ORDERS[o]);
            check(MEETINGS[m]);
        }
}
