#include "emulated.h"

typedef struct written {
    float *points, *distance2;
    uint64_t not_finite;
} written;

/* Writes rows as points `first` on of a larger room. */
static written write_rows(const float *rows, size_t count, int dim, size_t first, bool distances) {
    const size_t values = count * (size_t)dim;
    written w = {constants(0.0f, values), constants(0.0f, count), UINT64_MAX};
    void *from = on_device(rows, values * sizeof *rows), *to = on_device(NULL, values * sizeof *rows);
    void *distance2 = on_device(w.distance2, count * sizeof *w.distance2), *least = on_device(NULL, sizeof w.not_finite);
    assert_cuda(pb_cuda_points_write(NULL, from, count, dim, first, to, distances ? distance2 : NULL, least));
    off_device(w.points, to, values * sizeof *rows);
    off_device(w.distance2, distance2, count * sizeof *w.distance2);
    off_device(&w.not_finite, least, sizeof w.not_finite);
    assert_cuda(cudaFree(from));
    assert_sound();
    return w;
}

static void release(written *w) {
    pb_release(&w->points);
    pb_release(&w->distance2);
}

static void check(kind k, size_t count, int dim) {
    float *rows = numbers(k, 0, count * (size_t)dim), *infinite = constants(INFINITY, count), *zero = constants(0.0f, count);
    for (int distances = 0; distances < 2; distances++) {
        written w = write_rows(rows, count, dim, 5, distances);
        assert_same_bits(w.points, rows, count * (size_t)dim);
        assert_same_bits(w.distance2, distances ? infinite : zero, count);
        cr_assert_eq(w.not_finite, UINT64_MAX);
        release(&w);
    }
    pb_release(&rows);
    pb_release(&infinite);
    pb_release(&zero);
}

Test(points_write, copies_bit_for_bit) {
    static const size_t COUNTS[] = {0, 1, 3, 255, 300};
    static const int DIMS[] = {1, 2, 31, 128, 1024};
    for (size_t c = 0; c < LENGTH(COUNTS); c++)
        for (size_t d = 0; d < LENGTH(DIMS); d++) {
            emulator_turns(ORDERS[(c + d) % LENGTH(ORDERS)]);
            check((kind)((c + d) % KINDS), COUNTS[c], DIMS[d]);
        }
}

/* More values than a launch has threads: each takes several. */
Test(points_write, copies_what_is_larger_than_the_grid) { check(MIXED, 1400, 1024); }

Test(points_write, names_the_least_point_that_is_not_finite) {
    enum { N = 200, DIM = 130, FIRST = 17 };
    static const struct {
        size_t point;
        int k;
        float value;
    } BAD[] = {{199, 0, INFINITY}, {150, 129, NAN}, {150, 3, -INFINITY}, {33, 64, -NAN}, {31, 5, NAN}, {0, 0, INFINITY}};
    for (size_t o = 0; o < LENGTH(ORDERS); o++) {
        float *rows = numbers(MIXED, 0, N * DIM);
        emulator_turns(ORDERS[o]);
        for (size_t i = 0; i < LENGTH(BAD); i++) {
            rows[BAD[i].point * DIM + (size_t)BAD[i].k] = BAD[i].value;
            written w = write_rows(rows, N, DIM, FIRST, true);
            cr_assert_eq(w.not_finite, FIRST + BAD[i].point);
            release(&w);
        }
        pb_release(&rows);
    }
}

/* The largest finite numbers, denormals and both zeros are sound. */
Test(points_write, extremes_are_finite) {
    const float rows[] = {FLT_MAX, -FLT_MAX, 0x1p-149f, -0x1p-149f, 0.0f, -0.0f, FLT_MIN, -FLT_MIN};
    written w = write_rows(rows, 8, 1, 0, true);
    cr_assert_eq(w.not_finite, UINT64_MAX);
    release(&w);
}
