#include "filtered.h"

/* A search's filter, and what came of it. */
typedef struct filtered {
    size_t n, count;
    int dim;
    float *rows, *queries;
    uint64_t *nearest, *most, *counts;
    uint32_t *lists;
} filtered;

enum { FIRST = 1000 }; /* place of the first point */

static void *on_host(size_t bytes) {
    void *memory;
    assert_done(pb_allocate(&memory, bytes + 1, 1, "results"));
    return memory;
}

/* Filters n points in two parts, the first of which gives bounds too. Every third query has something near already, and every
 * other of these something nearer than all points. */
static filtered run(hard how, int blocks, size_t n, int dim, size_t count) {
    filtered f = {.n = n, .count = count, .dim = dim};
    f.rows = hard_rows(how, 0, n, dim);
    f.queries = hard_rows(how, 1, count, dim);
    const size_t half = n < 256 ? n : n / 2 / 128 * 128;
    f.nearest = unseen(count);
    for (size_t q = 0; q < count; q += 3) {
        const float there = canonical(f.rows + q % n * (size_t)dim, f.queries + q * (size_t)dim, dim);
        f.nearest[q] = pb_pack_nearest(q % 2 ? there : there * 0x1p-10f, 7);
    }
    pb_cuda_halves low = halves_on_device(f.rows, half, dim, true), queries = halves_on_device(f.queries, count, dim, false);
    pb_cuda_halves high = halves_on_device(f.rows + half * (size_t)dim, n - half, dim, true);
    pb_cuda_candidates found = candidates_on_device(count);
    void *near = on_device(f.nearest, count * sizeof *f.nearest);
    f.most = on_host(count * sizeof *f.most);
    f.counts = on_host(count * sizeof *f.counts);
    f.lists = on_host(count * PB_CUDA_FILTER_ROOM * sizeof *f.lists);
    assert_cuda(pb_cuda_nearest_filter(NULL, blocks, low, half, FIRST, dim, queries, count, near, found, true));
    assert_cuda(pb_cuda_nearest_filter(NULL, blocks, low, half, FIRST, dim, queries, count, near, found, false));
    assert_cuda(pb_cuda_nearest_filter(NULL, blocks, high, n - half, (uint32_t)(FIRST + half), dim, queries, count, near, found,
                                       false));
    assert_cuda(cudaMemcpyAsync(f.most, found.most, count * sizeof *f.most, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaMemcpyAsync(f.counts, found.counts, count * sizeof *f.counts, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaMemcpyAsync(f.lists, found.lists, count * PB_CUDA_FILTER_ROOM * sizeof *f.lists, cudaMemcpyDeviceToHost,
                                NULL));
    free_halves(low);
    free_halves(high);
    free_halves(queries);
    free_candidates(found);
    assert_cuda(cudaFree(near));
    assert_sound();
    return f;
}

static void release(filtered *f) {
    pb_release(&f->rows);
    pb_release(&f->queries);
    pb_release(&f->nearest);
    pb_release(&f->most);
    pb_release(&f->counts);
    pb_release(&f->lists);
}

static size_t times_listed(const filtered *f, size_t q, size_t point) {
    size_t times = 0;
    for (size_t i = 0; i < f->counts[q]; i++)
        times += f->lists[q * PB_CUDA_FILTER_ROOM + i] == FIRST + point;
    return times;
}

/* Every point that may be the nearest is a candidate once, and the bound is one. Returns the bound over what it bounds. */
static double check_query(const filtered *f, size_t q) {
    const float *query = f->queries + q * (size_t)f->dim;
    float least = f->nearest[q] == PB_NEAREST_NONE ? INFINITY : pb_packed_distance2(f->nearest[q]);
    size_t near = 0, listed = 0;
    for (size_t i = 0; i < f->n; i++)
        least = fminf(least, canonical(f->rows + i * (size_t)f->dim, query, f->dim));
    for (size_t i = 0; i < f->n; i++) {
        const bool may_be = canonical(f->rows + i * (size_t)f->dim, query, f->dim) <= least;
        near += may_be;
        if (f->counts[q] <= PB_CUDA_FILTER_ROOM) {
            const size_t times = times_listed(f, q, i);
            listed += times;
            cr_assert(times <= 1 && times >= may_be, "n %zu dim %d query %zu: point %zu %zu times", f->n, f->dim, q, i, times);
        }
    }
    cr_assert(f->counts[q] >= near && f->counts[q] <= f->n);
    cr_assert(f->counts[q] > PB_CUDA_FILTER_ROOM || listed == f->counts[q], "query %zu: what is listed are points", q);
    const float bound = pb_packed_distance2(f->most[q] << 32);
    cr_assert(f->most[q] <= UINT32_MAX && f->most[q] <= f->nearest[q] >> 32 && bound >= least, "query %zu: bound %a, least %a", q,
              (double)bound, (double)least);
    return (double)bound / (double)least;
}

static const struct {
    size_t n;
    int dim, blocks;
    size_t count;
} SHAPES[] = {{1, 1, 3, 1}, {127, 31, 1, 129}, {129, 33, 2, 5}, {260, 64, 5, 140}, {700, 20, 4, 70}, {300, 300, 9, 40}};

/* Numbers that leave one candidate or two are filtered to few; others to what they must be. */
Test(nearest_filter, leaves_what_may_be_nearest) {
    for (size_t s = 0; s < LENGTH(SHAPES); s++)
        for (int how = EASY; how < HARD; how++) {
            emulator_turns(ORDERS[(s + (size_t)how) % LENGTH(ORDERS)]);
            filtered f = run((hard)how, SHAPES[s].blocks, SHAPES[s].n, SHAPES[s].dim, SHAPES[s].count);
            size_t candidates = 0;
            for (size_t q = 0; q < f.count; q++) {
                const double loose = check_query(&f, q);
                candidates += f.counts[q];
                cr_assert(how != EASY || f.dim < 20 || loose < 1.02, "bound %g times the least", loose);
            }
            cr_assert(how != EASY || f.dim < 20 || candidates < 16 * f.count, "%zu candidates of %zu", candidates, f.count);
            release(&f);
        }
}

/* Nothing is known of a point or a query with huge numbers: all that they belong to is a candidate. */
Test(nearest_filter, lists_all_of_what_nothing_is_known) {
    enum { N = 300, DIM = 3, COUNT = 4 };
    float *rows = hard_rows(EASY, 0, N, DIM), *queries = hard_rows(EASY, 1, COUNT, DIM);
    uint64_t counts[COUNT], most[COUNT], *nearest = unseen(COUNT);
    rows[200 * DIM] = FLT_MAX;
    queries[2 * DIM + 1] = INFINITY;
    pb_cuda_halves points = halves_on_device(rows, N, DIM, true), asked = halves_on_device(queries, COUNT, DIM, false);
    pb_cuda_candidates found = candidates_on_device(COUNT);
    void *near = on_device(nearest, COUNT * sizeof *nearest);
    assert_cuda(pb_cuda_nearest_filter(NULL, 1, points, N, 0, DIM, asked, COUNT, near, found, false));
    assert_cuda(cudaMemcpyAsync(counts, found.counts, sizeof counts, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaMemcpyAsync(most, found.most, sizeof most, cudaMemcpyDeviceToHost, NULL));
    for (size_t q = 0; q < COUNT; q++) {
        cr_assert(counts[q] >= 128 && (q != 2 || counts[q] == N), "query %zu: %zu", q, (size_t)counts[q]);
        cr_assert((q == 2) == isinf(pb_packed_distance2(most[q] << 32)), "query %zu", q);
    }
    free_halves(points);
    free_halves(asked);
    free_candidates(found);
    assert_cuda(cudaFree(near));
    assert_sound();
    pb_release(&rows);
    pb_release(&queries);
    pb_release(&nearest);
}

/* The points of every eighth tile have the distance `sampled` or more, the others `others`: bounds of the sample, then how many
 * are listed; with the first point, which may be met before a better bound is known, one more. */
static void check_sample(float sampled, float others, int blocks, float bound_least, float bound_most, size_t listed) {
    enum { TILES = 10, N = TILES * 128, DIM = 1 };
    float rows[N], query = 0;
    uint64_t count, most, *nearest = unseen(1);
    for (size_t i = 0; i < N; i++)
        rows[i] = i / 128 % 8 == 0 ? sampled + (float)i : others;
    pb_cuda_halves points = halves_on_device(rows, N, DIM, true), asked = halves_on_device(&query, 1, DIM, false);
    pb_cuda_candidates found = candidates_on_device(1);
    void *near = on_device(nearest, sizeof *nearest);
    for (int bounds_only = 1; bounds_only >= 0; bounds_only--) {
        assert_cuda(pb_cuda_nearest_filter(NULL, blocks, points, N, 0, DIM, asked, 1, near, found, bounds_only));
        assert_cuda(cudaMemcpyAsync(&count, found.counts, sizeof count, cudaMemcpyDeviceToHost, NULL));
        assert_cuda(cudaMemcpyAsync(&most, found.most, sizeof most, cudaMemcpyDeviceToHost, NULL));
        const float bound = pb_packed_distance2(most << 32);
        cr_assert(!bounds_only || (bound >= bound_least && bound <= bound_most), "%d blocks: %a", blocks, (double)bound);
        cr_assert(bounds_only ? count == 0 : count >= listed && count <= listed + 1, "%d blocks: %zu", blocks, (size_t)count);
    }
    free_candidates(found);
    assert_cuda(cudaFree(near));
    free_halves(points);
    free_halves(asked);
    assert_sound();
    pb_release(&nearest);
}

Test(nearest_filter, bounds_by_a_sample) {
    for (int blocks = 1; blocks <= 3; blocks++) {
        check_sample(4, 2, blocks, 16, 17, 8 * 128); /* all others are nearer than the nearest of the sample */
        check_sample(2, 4, blocks, 4, 5, 1);
    }
}
