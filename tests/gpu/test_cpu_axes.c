#include "gpu/cpu_axes.h"

#include "base/memory.h"
#include "base/random.h"

#include <criterion/criterion.h>
#include <math.h>

enum { N = 500, DIM = 40 };
static float rows[N * DIM];

/* Points with variance 4^(3 - k) along dimension k, turned by nothing: the axes are then the first dimensions. */
static void fill_falling(int true_dims) {
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < DIM; k++) {
            double spread = k < (size_t)true_dims ? pow(0.7, (double)k) : 0;
            rows[i * DIM + k] = (float)(5 + spread * (double)pb_random_symmetric(1, PB_STREAM_TEST, 0, i * DIM + k));
        }
}

static pb_axes find(bool *usable) {
    pb_axes axes;
    pb_status status = pb_axes_find(rows, N, DIM, DIM, &axes, usable);
    cr_assert(!pb_failed(&status), "%s", status.message);
    return axes;
}

static double product(const pb_axes *axes, int g, int h) {
    double sum = 0;
    for (size_t k = 0; k < DIM; k++)
        sum += (double)axes->columns[k * PB_AXES + (size_t)g] * (double)axes->columns[k * PB_AXES + (size_t)h];
    return sum;
}

/* Nothing is made longer, measured on differences of the points themselves, in double. */
static void check_never_longer(const pb_axes *axes) {
    for (size_t i = 0; i + 1 < N; i++) {
        double length = 0, image = 0;
        for (size_t k = 0; k < DIM; k++)
            length += pow((double)rows[i * DIM + k] - (double)rows[(i + 1) * DIM + k], 2);
        for (size_t h = 0; h < PB_AXES; h++) {
            double y = 0;
            for (size_t k = 0; k < DIM; k++)
                y += (double)axes->columns[k * PB_AXES + h] * ((double)rows[i * DIM + k] - (double)rows[(i + 1) * DIM + k]);
            image += y * y;
        }
        cr_assert(image <= length * (1 + 1e-14), "pair %zu: %.17g from %.17g", i, image, length);
    }
}

Test(cpu_axes, are_orthonormal_and_never_lengthen) {
    bool usable;
    fill_falling(DIM);
    pb_axes axes = find(&usable);
    cr_assert(usable);
    cr_assert(pb_axes_norm2(&axes) < 1, "%.17g", pb_axes_norm2(&axes));
    for (int g = 0; g < PB_AXES; g++)
        for (int h = 0; h < PB_AXES; h++)
            cr_assert(fabs(product(&axes, g, h) - (g == h)) < 1e-4, "axes %d and %d: %g", g, h, product(&axes, g, h));
    check_never_longer(&axes);
    pb_axes_free(&axes);
}

/* The share of the variance that the axes hold is close to what the best sixteen can: 1 - 0.49^16, all but a hundred thousandth.
 */
Test(cpu_axes, hold_the_leading_variance) {
    bool usable;
    double kept = 0, all = 0;
    fill_falling(DIM);
    pb_axes axes = find(&usable);
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < DIM; k++)
            all += pow((double)rows[i * DIM + k] - 5, 2);
        for (size_t h = 0; h < PB_AXES; h++) {
            double y = 0;
            for (size_t k = 0; k < DIM; k++)
                y += (double)axes.columns[k * PB_AXES + h] * ((double)rows[i * DIM + k] - 5);
            kept += y * y;
        }
    }
    cr_assert(kept / all > 0.99, "%g", kept / all);
    pb_axes_free(&axes);
}

Test(cpu_axes, of_fewer_dimensions_leave_the_rest_zero) {
    bool usable;
    fill_falling(3);
    pb_axes axes = find(&usable);
    cr_assert(usable && pb_axes_norm2(&axes) < 1);
    int there = 0;
    for (int h = 0; h < PB_AXES; h++)
        there += product(&axes, h, h) > 0.5;
    cr_assert_eq(there, 3);
    check_never_longer(&axes);
    pb_axes_free(&axes);
}

/* Points without variance have no axes: whatever is found must keep its promise. */
Test(cpu_axes, of_equal_points_never_lengthen_either) {
    bool usable = true;
    fill_falling(0);
    pb_axes axes = find(&usable);
    cr_assert(!usable || pb_axes_norm2(&axes) < 1);
    pb_axes_free(&axes);
}

Test(cpu_axes, are_the_same_every_time) {
    bool usable;
    fill_falling(DIM);
    pb_axes one = find(&usable), other = find(&usable);
    for (size_t i = 0; i < DIM * PB_AXES; i++)
        cr_assert(one.columns[i] >= other.columns[i] && one.columns[i] <= other.columns[i]);
    pb_axes_free(&one);
    pb_axes_free(&other);
}
