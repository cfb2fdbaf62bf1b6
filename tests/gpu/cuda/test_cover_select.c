#include "emulated.h"

/* A selection among points that have met one centre, by the kernels alone; a gap between global indices. */
typedef struct selection {
    float *rows, *exact;
    size_t n;
    int dim;
    pb_cuda_contest contest;
    void *centres, *best;
    uint64_t leader; /* by the twin: distance^2 and place */
} selection;

enum { PICKS_MAX = 12 };

static uint32_t index_of(size_t place) { return 100 + 3 * (uint32_t)place; }

static selection begin(kind k, size_t n, int dim, uint64_t floor) {
    const size_t row = (size_t)dim * sizeof(float);
    selection s = {.rows = numbers(k, 0, n * (size_t)dim), .exact = constants(INFINITY, n), .n = n, .dim = dim};
    float *first = numbers(k, 1, (size_t)dim);
    uint32_t *index, *nearest;
    uint64_t nobody = 0;
    assert_done(pb_allocate(&index, n, sizeof *index, "test indices"));
    assert_done(pb_allocate(&nearest, n, sizeof *nearest, "test centres"));
    for (size_t i = 0; i < n; i++)
        index[i] = index_of(i); /* and the nearest centre is number 0 */
    s.contest = (pb_cuda_contest){on_device(s.rows, n * row), on_device(index, n * sizeof *index),
                                  on_device(NULL, n * sizeof(uint64_t)), n, dim, floor};
    s.centres = on_device(NULL, (PICKS_MAX + 2) * row);
    s.best = on_device(NULL, (PICKS_MAX + 1) * sizeof nobody);
    void *nearest_there = on_device(nearest, n * sizeof *nearest);
    assert_cuda(cudaMemcpyAsync(s.centres, first, row, cudaMemcpyHostToDevice, NULL));
    assert_cuda(cudaMemsetAsync(s.best, 0, (PICKS_MAX + 1) * sizeof nobody, NULL));
    assert_cuda(pb_cuda_contest_begin(NULL, s.contest, nearest_there, s.centres, s.best));
    s.leader = pb_ref_greedy_step(s.rows, n, dim, first, s.exact);
    assert_cuda(cudaFree(nearest_there));
    pb_release(&first);
    pb_release(&index);
    pb_release(&nearest);
    return s;
}

/* Frees all; the contest's pointers are to const for the kernels. */
static void end(selection *s) {
    const void *all[] = {s->contest.rows, s->contest.index, s->contest.state, s->centres, s->best};
    for (size_t i = 0; i < LENGTH(all); i++) {
        void *memory;
        memcpy(&memory, &all[i], sizeof memory);
        assert_cuda(cudaFree(memory));
    }
    assert_sound();
    pb_release(&s->rows);
    pb_release(&s->exact);
}

/* Each candidate is as far as the textbook says, from the centre that is said to be its nearest. */
static void check_state(const selection *s, const float *centres) {
    uint64_t *state = unseen(s->n);
    assert_cuda(cudaMemcpyAsync(state, s->contest.state, s->n * sizeof *state, cudaMemcpyDeviceToHost, NULL));
    for (size_t i = 0; i < s->n; i++) {
        const float *centre = centres + pb_nearest_index(state[i]) * (size_t)s->dim;
        cr_assert_eq(state[i] >> 32, pb_float_bits(s->exact[i]), "candidate %zu", i);
        cr_assert_eq(pb_float_bits(pb_ref_distance2(s->rows + i * (size_t)s->dim, centre, s->dim)), state[i] >> 32);
    }
    pb_release(&state);
}

/* All picks are queued before anything is looked at, two of them in vain when there are fewer. */
static void check(kind k, size_t n, int dim, size_t picks) {
    const size_t row = (size_t)dim * sizeof(float);
    selection s = begin(k, n, dim, 0);
    uint64_t best[PICKS_MAX + 1];
    float *centres = constants(NAN, (PICKS_MAX + 2) * (size_t)dim);
    for (size_t p = 0; p < picks; p++)
        assert_cuda(pb_cuda_contest_step(NULL, s.contest, (uint32_t)(1 + p), s.centres, (uint64_t *)s.best + p));
    assert_cuda(cudaMemcpyAsync(best, s.best, sizeof best, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaMemcpyAsync(centres, s.centres, (PICKS_MAX + 2) * row, cudaMemcpyDeviceToHost, NULL));
    for (size_t p = 0; p < picks; p++) {
        cr_assert_eq(best[p], s.leader, "n %zu dim %d pick %zu: %llx, not %llx", n, dim, p, (unsigned long long)best[p],
                     (unsigned long long)s.leader);
        const float *pick = s.rows + pb_farthest_index(s.leader) * (size_t)dim;
        assert_same_bits(centres + (1 + p) * (size_t)dim, pick, (size_t)dim);
        s.leader = pb_ref_greedy_step(s.rows, n, dim, pick, s.exact);
    }
    cr_assert_eq(best[picks], s.leader);
    check_state(&s, centres);
    end(&s);
    pb_release(&centres);
}

Test(cover_select, picks_are_the_textbooks) {
    static const struct {
        size_t n;
        int dim;
    } SHAPES[] = {{1, 1}, {40, 3}, {255, 2}, {257, 33}, {600, 1}, {300, 152}, {5, 1024}};
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t s = 0; s < LENGTH(SHAPES); s++) {
            emulator_turns(ORDERS[o]);
            check((kind)((o + s) % KINDS), SHAPES[s].n, SHAPES[s].dim, s % 2 ? PICKS_MAX : 3);
        }
}

Test(cover_select, has_nobody_to_pick_from) {
    assert_cuda(pb_cuda_contest_begin(NULL, (pb_cuda_contest){0}, NULL, NULL, NULL));
    assert_cuda(pb_cuda_contest_step(NULL, (pb_cuda_contest){0}, 1, NULL, NULL));
}

/* A floor that the leader just reaches, by its global index, or just not: then nothing changes, however often it is tried. */
Test(cover_select, stops_at_the_floor) {
    enum { N = 50 };
    for (int over = 0; over < 2; over++) {
        selection s = begin(TIES, N, 2, 0);
        uint64_t best[2];
        s.contest.floor = pb_pack_farthest(pb_packed_distance2(s.leader), index_of(pb_farthest_index(s.leader))) + (uint64_t)over;
        assert_cuda(pb_cuda_contest_step(NULL, s.contest, 1, s.centres, s.best));
        assert_cuda(cudaMemcpyAsync(best, s.best, sizeof best, cudaMemcpyDeviceToHost, NULL));
        cr_assert_eq(best[0], s.leader);
        cr_assert((best[1] == 0) == (over == 1));
        end(&s);
    }
}
