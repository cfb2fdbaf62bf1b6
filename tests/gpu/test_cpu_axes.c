#include "gpu/cpu_axes.h"

#include "base/fault.h"
#include "cover_points.h"

#include <stdio.h>

/* R (a - b) for the stored axes, in double. */
static double stretched(const pb_axes *axes, const float *a, const float *b) {
    double sum = 0;
    for (int h = 0; h < PB_AXES; h++) {
        double along = 0;
        for (int k = 0; k < axes->dim; k++)
            along += axes->columns[k * PB_AXES + h] * ((double)a[k] - b[k]);
        sum += along * along;
    }
    return sqrt(sum);
}

static double distance(const float *a, const float *b, int dim) {
    double sum = 0;
    for (int k = 0; k < dim; k++)
        sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sqrt(sum);
}

static pb_axes found(const float *rows, size_t n, int dim, bool *usable) {
    pb_axes axes;
    assert_done(pb_axes_find(rows, n, (size_t)dim, dim, &axes, usable));
    return axes;
}

/* What filters rest on: no distance grows, nor does the length of a vector of another kind. Their bound on the norm agrees. */
static void check_never_lengthen(const float *rows, size_t n, int dim) {
    bool usable;
    pb_axes axes = found(rows, n, dim, &usable);
    if (usable) {
        float *others = numbers(UNIFORM, 9, 50 * (size_t)dim);
        cr_assert(pb_axes_norm2(&axes) < 1);
        for (size_t i = 1; i < n; i++) {
            double true_one = distance(rows + i * (size_t)dim, rows, dim);
            cr_assert(stretched(&axes, rows + i * (size_t)dim, rows) <= true_one * (1 + 1e-12));
        }
        for (size_t i = 1; i < 50; i++) {
            double true_one = distance(others + i * (size_t)dim, others, dim);
            cr_assert(stretched(&axes, others + i * (size_t)dim, others) <= true_one * (1 + 1e-12));
        }
        pb_release(&others);
    }
    pb_axes_free(&axes);
    cr_assert_null(axes.columns);
}

Test(cpu_axes, never_lengthen) {
    static const int DIMS[] = {1, 2, 15, 16, 17, 128, 200};
    static const size_t SIZES[] = {1, 2, 16, 300};
    for (int m = 0; m < MAKERS_COUNT; m++)
        for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++)
            for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
                float *rows = MAKERS[m].make(SIZES[s], DIMS[d]);
                check_never_lengthen(rows, SIZES[s], DIMS[d]);
                pb_release(&rows);
            }
}

/* Sizes of numbers from the smallest to the largest that there are. */
Test(cpu_axes, never_lengthen_at_any_scale) {
    for (int exponent = -120; exponent <= 120; exponent += 40) {
        float *rows = cloud_points(100, 30);
        for (size_t i = 0; i < 100 * 30; i++)
            rows[i] = ldexpf(rows[i], exponent);
        check_never_lengthen(rows, 100, 30);
        pb_release(&rows);
    }
    for (int k = 0; k < KINDS; k++) {
        float *rows = numbers((kind)k, 0, 100 * 30);
        check_never_lengthen(rows, 100, 30);
        pb_release(&rows);
    }
}

/* The norm's bound against the power method on R' R, from many vectors: never below, and close. */
Test(cpu_axes, norm_is_bounded_from_above) {
    float *rows = feature_points(500, 40);
    bool usable;
    pb_axes axes = found(rows, 500, 40, &usable);
    cr_assert(usable);
    for (int bend = 0; bend < 3; bend++) { /* as found, and with axes that are no longer orthogonal */
        for (int k = 0; bend > 0 && k < 40; k++)
            axes.columns[k * PB_AXES + bend] += axes.columns[k * PB_AXES] * 0.5f;
        double v[40], largest = 0;
        for (int k = 0; k < 40; k++)
            v[k] = dice(3, (size_t)k);
        for (int round = 0; round < 300; round++) {
            double along[PB_AXES] = {0}, norm2 = 0;
            for (int k = 0; k < 40; k++)
                for (int h = 0; h < PB_AXES; h++)
                    along[h] += axes.columns[k * PB_AXES + h] * v[k];
            for (int k = 0; k < 40; k++) {
                v[k] = 0;
                for (int h = 0; h < PB_AXES; h++)
                    v[k] += axes.columns[k * PB_AXES + h] * along[h];
                norm2 += v[k] * v[k];
            }
            largest = sqrt(norm2);
            for (int k = 0; k < 40; k++)
                v[k] /= largest;
        }
        cr_assert(pb_axes_norm2(&axes) >= largest * (1 - 1e-9), "%.17g, %.17g", pb_axes_norm2(&axes), largest);
        cr_assert(pb_axes_norm2(&axes) <= largest * (bend ? 2 : 1 + 1e-5));
    }
    pb_axes_free(&axes);
    pb_release(&rows);
}

/* Points with a spread of 1 / (k + 1) along axis k of a rotated frame: the leading ones are found, and hold what they should. */
Test(cpu_axes, hold_the_leading_variance) {
    enum { N = 3000, DIM = 64 };
    float *rows = cloud_points(N, DIM);
    double held = 0, all = 0, best = 0, variance[DIM];
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < DIM; k++)
            rows[i * DIM + k] = rows[i * DIM + k] / (float)(k + 1) + 5;
    for (size_t i = 0; i < N; i++) /* a reflection, which mixes all */
        for (size_t k = 0, last = DIM - 1; k < DIM / 2; k++) {
            float a = rows[i * DIM + k], b = rows[i * DIM + last - k];
            rows[i * DIM + k] = 0.6f * a + 0.8f * b;
            rows[i * DIM + last - k] = 0.8f * a - 0.6f * b;
        }
    bool usable;
    pb_axes axes = found(rows, N, DIM, &usable);
    cr_assert(usable);
    for (int k = 0; k < DIM; k++) {
        variance[k] = 1.0 / ((k + 1) * (k + 1));
        all += variance[k];
        best += k < PB_AXES ? variance[k] : 0;
    }
    double sum = 0, among = 0;
    for (size_t i = 1; i < N; i++) {
        const float *a = rows + i * DIM, *b = a - DIM;
        double y = stretched(&axes, a, b), d = distance(a, b, DIM);
        sum += y * y;
        among += d * d;
    }
    held = sum / among;
    cr_assert(held > 0.99 * best / all && held <= 1, "%g, at best about %g", held, best / all);
    pb_axes_free(&axes);
    pb_release(&rows);
}

static double axis_product(const pb_axes *axes, int g, int h) {
    double sum = 0;
    for (int k = 0; k < axes->dim; k++)
        sum += (double)axes->columns[k * PB_AXES + g] * axes->columns[k * PB_AXES + h];
    return sum;
}

Test(cpu_axes, are_orthonormal_and_the_same_every_time) {
    float *rows = feature_points(400, 70);
    bool usable;
    pb_axes axes = found(rows, 400, 70, &usable), again = found(rows, 400, 70, &usable);
    cr_assert(usable);
    for (int g = 0; g < PB_AXES; g++)
        for (int h = 0; h < PB_AXES; h++)
            cr_assert(fabs(axis_product(&axes, g, h) - (g == h)) < 1e-5, "axes %d and %d: %g", g, h, axis_product(&axes, g, h));
    assert_same_bits(axes.columns, again.columns, 70 * PB_AXES);
    assert_same_bits(axes.shift, again.shift, PB_AXES);
    pb_axes_free(&axes);
    pb_axes_free(&again);
    pb_release(&rows);
}

/* Fewer directions than axes: all of the distance is held, and what is left is zero. */
Test(cpu_axes, of_points_with_few_directions) {
    float *rows = line_points(200, 50);
    bool usable;
    pb_axes axes = found(rows, 200, 50, &usable);
    cr_assert(usable);
    for (size_t i = 1; i < 200; i++) {
        double true_one = distance(rows + i * 50, rows, 50);
        cr_assert(stretched(&axes, rows + i * 50, rows) > 0.9999 * true_one - 1e-6);
    }
    for (int h = 0; h < PB_AXES; h++)
        cr_assert(axes.norm[h] < 1 && (axes.norm[h] > 0.999 || axes.norm[h] <= 0), "axis %d is %g long", h, axes.norm[h]);
    pb_axes_free(&axes);
    pb_release(&rows);
}

Test(cpu_axes, of_equal_points_are_of_no_use) {
    float *rows = equal_points(20, 30);
    bool usable;
    pb_axes axes = found(rows, 20, 30, &usable);
    cr_assert_not(usable);
    pb_axes_free(&axes);
    axes = found(rows, 1, 30, &usable);
    cr_assert_not(usable);
    pb_axes_free(&axes);
    pb_release(&rows);
}

/* shift is where the axes see the sampled points' mean; a stride leaves out what lies between rows. */
Test(cpu_axes, skip_what_lies_between_rows) {
    enum { N = 100, DIM = 20, STRIDE = 32 };
    float *rows = feature_points(N, DIM), *wide = constants(NAN, N * STRIDE);
    for (size_t i = 0; i < N; i++)
        memcpy(wide + i * STRIDE, rows + i * DIM, DIM * sizeof *rows);
    bool usable;
    pb_axes narrow = found(rows, N, DIM, &usable), axes;
    assert_done(pb_axes_find(wide, N, STRIDE, DIM, &axes, &usable));
    cr_assert(usable);
    assert_same_bits(axes.columns, narrow.columns, DIM * PB_AXES);
    assert_same_bits(axes.shift, narrow.shift, PB_AXES);
    float *mean = constants(0, DIM), *origin = constants(0, DIM);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < DIM; k++)
            mean[k] += rows[i * DIM + k] / N;
    double sum = 0;
    for (int h = 0; h < PB_AXES; h++)
        sum += (double)axes.shift[h] * axes.shift[h];
    double expected = stretched(&axes, mean, origin);
    cr_assert(fabs(sqrt(sum) - expected) <= 1e-5 * expected);
    pb_axes_free(&axes);
    pb_axes_free(&narrow);
    pb_release(&rows);
    pb_release(&wide);
    pb_release(&mean);
    pb_release(&origin);
}

Test(cpu_axes, no_memory_is_a_status) {
    float *rows = feature_points(20, 20);
    for (int hit = 1; hit <= 5; hit++) { /* of the five allocations */
        char specification[32];
        pb_axes axes;
        bool usable = true;
        snprintf(specification, sizeof specification, "base.allocate@0:%d", hit);
        assert_done(pb_fault_arm(specification, 0));
        pb_status status = pb_axes_find(rows, 20, 20, 20, &axes, &usable);
        cr_assert_eq(status.code, PB_E_SYSTEM);
        cr_assert_not(usable);
        pb_axes_free(&axes);
    }
    assert_done(pb_fault_arm("", 0));
    pb_release(&rows);
}
