#include "emulated.h"

static void check(kind k, size_t n, int dim, int out_dim) {
    const size_t in = n * (size_t)dim, out = n * (size_t)out_dim, entries = (size_t)dim * (size_t)out_dim;
    float *rows = numbers(k, 0, in), *matrix = numbers(UNIFORM, 1, entries);
    float *actual = constants(0.0f, out), *expected = constants(0.0f, out);
    void *rows_there = on_device(rows, in * sizeof *rows), *matrix_there = on_device(matrix, entries * sizeof *matrix);
    void *out_there = on_device(NULL, out * sizeof *actual);
    assert_cuda(pb_cuda_project(NULL, rows_there, n, dim, matrix_there, out_dim, out_there));
    off_device(actual, out_there, out * sizeof *actual);
    pb_ref_project(rows, n, dim, matrix, out_dim, expected);
    assert_same_bits(actual, expected, out);
    assert_cuda(cudaFree(rows_there));
    assert_cuda(cudaFree(matrix_there));
    assert_sound();
    pb_release(&rows);
    pb_release(&matrix);
    pb_release(&actual);
    pb_release(&expected);
}

/* Around tiles of 128, slabs of 16 and what a thread has, 8. */
static const struct {
    size_t n;
    int dim, out_dim;
} SHAPES[] = {{0, 3, 4},    {1, 1, 1},      {1, 1024, 3},  {7, 15, 129}, {127, 16, 128}, {128, 17, 127},
              {129, 33, 1}, {130, 152, 67}, {300, 5, 257}, {1, 2, 128},
              {300, 7, 128}, {257, 2, 256}};

Test(project, is_the_twins) {
    for (size_t o = 0; o < LENGTH(ORDERS); o++) {
        emulator_turns(ORDERS[o]);
        for (size_t s = 0; s < LENGTH(SHAPES); s++)
            check((kind)((s + o) % KINDS), SHAPES[s].n, SHAPES[s].dim, SHAPES[s].out_dim);
    }
}

/* Sums that become -0: a dimension too many, of zeros, would make them +0. */
Test(project, keeps_the_sign_of_zero) {
    const float row[] = {0x1p-100f}, matrix[] = {-0x1p-100f};
    float out;
    void *row_there = on_device(row, sizeof row), *matrix_there = on_device(matrix, sizeof matrix);
    void *out_there = on_device(NULL, sizeof out);
    assert_cuda(pb_cuda_project(NULL, row_there, 1, 1, matrix_there, 1, out_there));
    off_device(&out, out_there, sizeof out);
    cr_assert(out == 0 && signbit(out));
    assert_cuda(cudaFree(row_there));
    assert_cuda(cudaFree(matrix_there));
    assert_sound();
}
