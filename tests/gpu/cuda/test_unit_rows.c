#include "emulated.h"

static void check(kind k, size_t n, int dim) {
    const size_t values = n * (size_t)dim;
    float *actual = numbers(k, 0, values), *expected = numbers(k, 0, values);
    void *there = on_device(actual, values * sizeof *actual);
    assert_cuda(pb_cuda_unit_rows(NULL, there, n, dim));
    off_device(actual, there, values * sizeof *actual);
    pb_ref_unit_rows(expected, n, dim);
    assert_same_bits(actual, expected, values);
    assert_sound();
    pb_release(&actual);
    pb_release(&expected);
}

/* Around warps, blocks of 256 and slabs of 32; rows of zeros, of squares that underflow to 0 and of such that overflow. */
Test(unit_rows, is_the_twins) {
    static const size_t SIZES[] = {0, 1, 33, 255, 257, 520};
    static const int DIMS[] = {1, 2, 31, 33, 152, 1024};
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t s = 0; s < LENGTH(SIZES); s++)
            for (size_t d = 0; d < LENGTH(DIMS); d++) {
                emulator_turns(ORDERS[o]);
                if (SIZES[s] * (size_t)DIMS[d] <= 80000)
                    check((kind)((o + s + d) % KINDS), SIZES[s], DIMS[d]);
            }
}

Test(unit_rows, rows_without_a_length_stay_and_too_long_ones_are_no_numbers) {
    float rows[] = {0, -0.0f, 0x1p-149f, 0, FLT_MAX, 1, 3, 4};
    void *there = on_device(rows, sizeof rows);
    assert_cuda(pb_cuda_unit_rows(NULL, there, 4, 2));
    off_device(rows, there, sizeof rows);
    const float wanted[] = {0, -0.0f, 0x1p-149f, 0};
    assert_same_bits(rows, wanted, 4);
    cr_assert(isnan(rows[4]) && isnan(rows[5]));
    cr_assert(rows[6] == 3.0f / 5 && rows[7] == 4.0f / 5);
    assert_sound();
}
