#include "emulated.h"

/* Searches in two parts, the later first, so that what is already in nearest counts. blocks: how many the device is kept busy
 * with, which decides how points are shared. */
static void check(kind k, int blocks, size_t n, int dim, size_t count) {
    const uint32_t first_index = UINT32_MAX - 2000;
    const size_t half = n / 2, row = (size_t)dim * sizeof(float);
    float *rows = numbers(k, 0, n * (size_t)dim), *queries = numbers(k, 1, count * (size_t)dim);
    if (n > 0 && count > 0) /* one query that is a point */
        memcpy(queries, rows + (n - 1) * (size_t)dim, row);
    uint64_t *actual = unseen(count), *expected = unseen(count);
    void *low = on_device(rows, half * row), *high = on_device(rows + half * (size_t)dim, (n - half) * row);
    void *there = on_device(queries, count * row), *nearest = on_device(NULL, count * sizeof *actual);
    assert_cuda(pb_cuda_nearest(NULL, blocks, high, n - half, dim, first_index + (uint32_t)half, there, count, NULL, NULL,
                                nearest));
    assert_cuda(pb_cuda_nearest(NULL, blocks, low, half, dim, first_index, there, count, NULL, NULL,
                                nearest));
    off_device(actual, nearest, count * sizeof *actual);
    pb_ref_nearest(rows, n, dim, first_index, queries, count, expected);
    for (size_t q = 0; q < count; q++)
        cr_assert(actual[q] == expected[q], "n %zu dim %d kind %d query %zu of %zu: %llx, not %llx", n, dim, k, q, count,
                  (unsigned long long)actual[q], (unsigned long long)expected[q]);
    assert_cuda(cudaFree(low));
    assert_cuda(cudaFree(high));
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&rows);
    pb_release(&queries);
    pb_release(&actual);
    pb_release(&expected);
}

/* Around tiles of 128, slabs of 16 and what a thread has, 8. */
static const struct {
    size_t n;
    int dim;
    size_t count;
} SHAPES[] = {{0, 3, 5},    {1, 1, 1},    {2, 1, 0},     {1, 1024, 1}, {6, 15, 129},  {255, 16, 7},
              {257, 17, 9}, {300, 33, 1}, {513, 2, 130}, {40, 128, 3}, {260, 152, 17}, {1000, 5, 257}};

Test(nearest, is_the_twins) {
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t s = 0; s < LENGTH(SHAPES); s++) {
            emulator_turns(ORDERS[o]);
            check((kind)((s + o) % KINDS), (int)(1 + s * 5 % 7), SHAPES[s].n, SHAPES[s].dim, SHAPES[s].count);
        }
}

/* Equal distances everywhere: the smallest index, whichever block or thread sees it. */
Test(nearest, ties_go_to_the_smallest_index) {
    for (int blocks = 1; blocks <= 12; blocks += 3)
        for (size_t o = 0; o < LENGTH(ORDERS); o++) {
            emulator_turns(ORDERS[o]);
            check(TIES, blocks, 700, 1, 40);
            check(TIES, blocks, 700, 2, 140);
        }
}

/* Those on a list, in whatever order, and nobody else; how many there are is read on the device. */
static void check_listed(int blocks, size_t n, int dim, size_t count, size_t listed) {
    float *rows = numbers(UNIFORM, 0, n * (size_t)dim), *queries = numbers(UNIFORM, 1, count * (size_t)dim);
    uint64_t *actual = unseen(count), *expected = unseen(count), number = listed;
    uint32_t *list;
    assert_done(pb_allocate(&list, count, sizeof *list, "a list"));
    for (size_t i = 0; i < count; i++)
        list[i] = (uint32_t)(i * 7 % count); /* 7 divides no count */
    void *points = on_device(rows, n * (size_t)dim * sizeof *rows);
    void *asked = on_device(queries, count * (size_t)dim * sizeof *queries);
    void *nearest = on_device(actual, count * sizeof *actual), *which = on_device(list, count * sizeof *list);
    void *how_many = on_device(&number, sizeof number);
    assert_cuda(pb_cuda_nearest(NULL, blocks, points, n, dim, 9, asked, count, which, how_many, nearest));
    off_device(actual, nearest, count * sizeof *actual);
    for (size_t i = 0; i < listed; i++)
        pb_ref_nearest(rows, n, dim, 9, queries + list[i] * (size_t)dim, 1, expected + list[i]);
    cr_assert_arr_eq(actual, expected, count * sizeof *actual);
    assert_cuda(cudaFree(points));
    assert_cuda(cudaFree(asked));
    assert_cuda(cudaFree(which));
    assert_cuda(cudaFree(how_many));
    assert_sound();
    pb_release(&rows);
    pb_release(&queries);
    pb_release(&actual);
    pb_release(&expected);
    pb_release(&list);
}

Test(nearest, searches_for_those_on_a_list) {
    static const size_t LISTED[] = {0, 1, 127, 128, 129, 300};
    for (size_t i = 0; i < LENGTH(LISTED); i++)
        for (int blocks = 1; blocks <= 7; blocks += 3)
            check_listed(blocks, 270, 5, 300, LISTED[i]);
}
