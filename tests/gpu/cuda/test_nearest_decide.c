#include "filtered.h"

enum { N = 90, DIM = 7, COUNT = 9, FIRST = 50, ROOM = PB_CUDA_FILTER_ROOM };

/* Query q has 9 q candidates: 0 to 63 are as many as are listed, 72 are too many. */
static void lists_of(uint64_t counts[COUNT], uint32_t lists[COUNT * ROOM]) {
    for (size_t q = 0; q < COUNT; q++) {
        counts[q] = 9 * q;
        for (size_t i = 0; i < ROOM; i++) /* beyond the count stands what must not be read: the query's nearest may be there */
            lists[q * ROOM + i] = (uint32_t)((i * 7 + q) % N);
    }
    counts[1] = ROOM;
}

/* The least of what is listed, or of what was there. */
static uint64_t expected_of(const float *rows, const float *query, uint64_t count, const uint32_t *list, uint64_t before) {
    uint64_t least = before;
    for (size_t i = 0; i < count && count <= ROOM; i++) {
        const uint64_t packed = pb_pack_nearest(canonical(rows + list[i] * DIM, query, DIM), FIRST + list[i]);
        least = packed < least ? packed : least;
    }
    return least;
}

static void check(kind k) {
    float *rows = numbers(k, 0, N * DIM), *queries = numbers(k, 1, COUNT * DIM);
    uint64_t counts[COUNT], nearest[COUNT], after[COUNT], beyond_count;
    uint32_t lists[COUNT * ROOM], beyond[COUNT];
    lists_of(counts, lists);
    for (size_t q = 0; q < COUNT; q++)
        nearest[q] = q % 4 == 3 ? 5 : PB_NEAREST_NONE;
    pb_cuda_candidates found = candidates_on_device(COUNT);
    void *points = on_device(rows, N * DIM * sizeof *rows), *asked = on_device(queries, COUNT * DIM * sizeof *queries);
    void *near = on_device(nearest, sizeof nearest);
    assert_cuda(cudaMemcpyAsync(found.counts, counts, sizeof counts, cudaMemcpyHostToDevice, NULL));
    assert_cuda(cudaMemcpyAsync(found.lists, lists, sizeof lists, cudaMemcpyHostToDevice, NULL));
    assert_cuda(pb_cuda_nearest_decide(NULL, points, DIM, FIRST, asked, 0, found, near));
    assert_cuda(pb_cuda_nearest_decide(NULL, points, DIM, FIRST, asked, COUNT, found, near));
    assert_cuda(cudaMemcpyAsync(&beyond_count, found.beyond_count, sizeof beyond_count, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaMemcpyAsync(beyond, found.beyond, sizeof beyond, cudaMemcpyDeviceToHost, NULL));
    off_device(after, near, sizeof after);
    for (size_t q = 0; q < COUNT; q++)
        cr_assert_eq(after[q], expected_of(rows, queries + q * DIM, counts[q], lists + q * ROOM, nearest[q]), "query %zu", q);
    cr_assert(beyond_count == 1 && beyond[0] == COUNT - 1, "%zu", (size_t)beyond_count);
    free_candidates(found);
    assert_cuda(cudaFree(points));
    assert_cuda(cudaFree(asked));
    assert_sound();
    pb_release(&rows);
    pb_release(&queries);
}

Test(nearest_decide, measures_what_is_listed) {
    for (int k = 0; k < KINDS; k++)
        for (size_t o = 0; o < LENGTH(ORDERS); o++) {
            emulator_turns(ORDERS[o]);
            check((kind)k);
        }
}
