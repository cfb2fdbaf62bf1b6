#include "emulated.h"

/* Device arrays of a selection. */
typedef struct selection {
    void *points, *centre, *distance2, *best;
} selection;

enum { FIRST_INDEX = 1000 };

static uint64_t step(const selection *s, size_t n, int dim, const float *centre) {
    uint64_t best = 0;
    assert_cuda(cudaMemcpyAsync(s->centre, centre, (size_t)dim * sizeof *centre, cudaMemcpyHostToDevice, NULL));
    assert_cuda(cudaMemsetAsync(s->best, 0, sizeof best, NULL));
    assert_cuda(pb_cuda_greedy_step(NULL, s->points, n, dim, FIRST_INDEX, s->centre, s->distance2, s->best));
    assert_cuda(cudaMemcpyAsync(&best, s->best, sizeof best, cudaMemcpyDeviceToHost, NULL));
    return n > 0 ? best + FIRST_INDEX : best; /* as if counted from 0 */
}

static void check(kind k, size_t n, int dim) {
    float *rows = numbers(k, 0, (n + 1) * (size_t)dim), *actual = constants(INFINITY, n), *expected = constants(INFINITY, n);
    selection s = {on_device(rows, n * (size_t)dim * sizeof *rows), on_device(NULL, (size_t)dim * sizeof *rows),
                   on_device(actual, n * sizeof *actual), on_device(NULL, sizeof(uint64_t))};
    size_t pick = n / 2;
    for (int picks = 0; picks < 3; picks++) {
        const float *centre = rows + pick * (size_t)dim;
        uint64_t best = step(&s, n, dim, centre), wanted = pb_ref_greedy_step(rows, n, dim, centre, expected);
        cr_assert(best == wanted, "n %zu dim %d kind %d: %llx, not %llx", n, dim, k, (unsigned long long)best,
                  (unsigned long long)wanted);
        pick = n > 0 ? pb_farthest_index(best) : 0;
    }
    off_device(actual, s.distance2, n * sizeof *actual);
    assert_same_bits(actual, expected, n);
    assert_cuda(cudaFree(s.points));
    assert_cuda(cudaFree(s.centre));
    assert_cuda(cudaFree(s.best));
    assert_sound();
    pb_release(&rows);
    pb_release(&actual);
    pb_release(&expected);
}

/* Around warps of 32, blocks of 256 and slabs of 32 dimensions. */
static const size_t SIZES[] = {0, 1, 31, 33, 255, 256, 257, 600};
static const int DIMS[] = {1, 2, 31, 32, 33, 152, 1024};

Test(greedy_step, is_the_twins) {
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t s = 0; s < LENGTH(SIZES); s++)
            for (size_t d = 0; d < LENGTH(DIMS); d++) {
                emulator_turns(ORDERS[o]);
                if (SIZES[s] * (size_t)DIMS[d] <= 80000)
                    check((kind)((o + s + d) % KINDS), SIZES[s], DIMS[d]);
            }
}

/* Every point at the same distance: the smallest index. Or one at a larger one, in any lane, warp and block. */
Test(greedy_step, finds_the_maximum_wherever_it_is) {
    enum { N = 520 };
    float *rows = constants(1.0f, N), zero = 0.0f;
    for (size_t place = 0; place < N; place += 13) {
        float *distance2 = constants(INFINITY, N);
        rows[place] = 2.0f;
        rows[N - 1] = place % 2 ? 2.0f : 1.0f; /* a tie with a later one */
        selection s = {on_device(rows, N * sizeof *rows), on_device(NULL, sizeof *rows), on_device(distance2, N * sizeof *rows),
                       on_device(NULL, sizeof(uint64_t))};
        emulator_turns(ORDERS[place % LENGTH(ORDERS)]);
        cr_assert_eq(step(&s, N, 1, &zero), pb_pack_farthest(4.0f, (uint32_t)place));
        void *all[] = {s.points, s.centre, s.distance2, s.best};
        for (size_t i = 0; i < LENGTH(all); i++)
            assert_cuda(cudaFree(all[i]));
        rows[place] = 1.0f;
        pb_release(&distance2);
    }
    assert_sound();
    pb_release(&rows);
}
