/* Orthogonal iteration: V becomes C V made orthonormal, with the covariance C of a sample. C is never formed: C V is the sum over
 * the points v of v (v' V), 2 * PB_AXES products a value, so that the cost is linear in the dimensions. No library needed. (G. H.
 * Golub, C. F. Van Loan, "Matrix Computations", orthogonal iteration.)
 *
 * Steps: a sample less its mean (begin), a first basis, ROUNDS rounds, then `finish`, where the axes are rounded to float and
 * scaled until their norm is proved to be below 1. Everything before `finish` only has to be good; what it proves, it proves on
 * the floats as stored (gpu/cpu_axes.h). All arithmetic is in double and in a fixed order by one thread, so the axes depend on
 * the sample alone.
 */
#include "gpu/cpu_axes.h"

#include "base/memory.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Measured on 235,200 patch features of 128 dimensions: with 4096 points and 12 rounds the filter passes 1.04 % of all pairs,
 * with these 1.07 %, and they take a twelfth of the time. */
enum { SAMPLE = 1024, ROUNDS = 4 };

/* A sample: every step-th point, less their mean. The points are not copied; `point` is the one that is being looked at. */
typedef struct sample {
    const float *rows;
    size_t count, stride; /* stride from one to the next */
    int dim;
    double *mean, *point;                      /* [dim] */
    double (*basis)[PB_AXES], (*sum)[PB_AXES]; /* [dim] */
} sample;

/* Memory and mean. s is to be released by `end`, after an error too. */
static pb_status begin(sample *s, const float *rows, size_t count, size_t stride, int dim) {
    const size_t dims = (size_t)dim;
    *s = (sample){.rows = rows, .count = count < SAMPLE ? count : SAMPLE, .dim = dim};
    s->stride = count / s->count * stride;
    PB_TRY(pb_allocate(&s->mean, dims, sizeof *s->mean, "principal axes"));
    PB_TRY(pb_allocate(&s->point, dims, sizeof *s->point, "principal axes"));
    PB_TRY(pb_allocate(&s->basis, dims, sizeof *s->basis, "principal axes"));
    PB_TRY(pb_allocate(&s->sum, dims, sizeof *s->sum, "principal axes"));
    for (size_t i = 0; i < s->count; i++)
        for (int k = 0; k < dim; k++)
            s->mean[k] += s->rows[i * s->stride + (size_t)k];
    for (int k = 0; k < dim; k++)
        s->mean[k] /= (double)s->count; /* at the end, so that the mean of equal points is exactly they */
    return pb_ok();
}

static void end(sample *s) {
    pb_release(&s->mean);
    pb_release(&s->point);
    pb_release(&s->basis);
    pb_release(&s->sum);
}

/* point becomes sample point i less the mean. */
static void centre_point(sample *s, size_t i) {
    for (int k = 0; k < s->dim; k++)
        s->point[k] = s->rows[i * s->stride + (size_t)k] - s->mean[k];
}

/* sum's column h gets factor[h] times the point. */
static void add_multiples(sample *s, const double factor[PB_AXES]) {
    for (int k = 0; k < s->dim; k++)
        for (int h = 0; h < PB_AXES; h++)
            s->sum[k][h] += s->point[k] * factor[h];
}

/* A first basis: sums of all points with scattered signs, so that it has a part of whatever direction the points have. */
static void first_basis(sample *s) {
    for (size_t i = 0; i < s->count; i++) {
        double sign[PB_AXES];
        const uint32_t bits = (uint32_t)(i + 1) * 2654435769u >> 16; /* the golden ratio: neighbours get unlike bits */
        for (int h = 0; h < PB_AXES; h++)
            sign[h] = bits >> h & 1 ? 1 : -1;
        centre_point(s, i);
        add_multiples(s, sign);
    }
}

/* sum becomes C times basis, up to a factor. */
static void multiply(sample *s) {
    memset(s->sum, 0, (size_t)s->dim * sizeof *s->sum);
    for (size_t i = 0; i < s->count; i++) {
        double along[PB_AXES] = {0};
        centre_point(s, i);
        for (int k = 0; k < s->dim; k++)
            for (int h = 0; h < PB_AXES; h++)
                along[h] += s->point[k] * s->basis[k][h];
        add_multiples(s, along);
    }
}

/* Columns g and h of sum. */
static double product(const sample *s, int g, int h) {
    double sum = 0;
    for (int k = 0; k < s->dim; k++)
        sum += s->sum[k][g] * s->sum[k][h];
    return sum;
}

/* basis becomes sum made orthonormal (Gram and Schmidt, twice for accuracy). What vanishes, as when the points have fewer
 * dimensions, becomes a zero axis and stays one. 1e-20 is the square of 1e-10: what is left of a column after that much
 * cancellation is rounding of double, not a direction. `before` of a zero column is 0, and 0 > 0 is false: it stays zero. */
static void orthonormalize(sample *s) {
    for (int h = 0; h < PB_AXES; h++) {
        const double before = product(s, h, h);
        for (int pass = 0; pass < 2; pass++)
            for (int g = 0; g < h; g++) {
                double along = product(s, g, h);
                for (int k = 0; k < s->dim; k++)
                    s->sum[k][h] -= along * s->sum[k][g];
            }
        const double after = product(s, h, h), scale = after > 1e-20 * before ? 1 / sqrt(after) : 0;
        for (int k = 0; k < s->dim; k++)
            s->sum[k][h] *= scale;
    }
    memcpy(s->basis, s->sum, (size_t)s->dim * sizeof *s->basis);
}

/* Each entry is rounded once more; finish measures the norm afterwards. */
static void scale_axes(pb_axes *axes, double factor) {
    for (size_t i = 0; i < (size_t)axes->dim * PB_AXES; i++)
        axes->columns[i] = (float)(axes->columns[i] * factor);
}

/* Products of floats are exact in double; only the sum rounds. */
static double axis_product(const pb_axes *axes, int g, int h) {
    double sum = 0;
    for (size_t k = 0; k < (size_t)axes->dim; k++)
        sum += (double)axes->columns[k * PB_AXES + (size_t)g] * axes->columns[k * PB_AXES + (size_t)h];
    return sum;
}

/* |R|^2 = |R R'| <= the largest of the diagonal + the Frobenius norm of the rest. For the axes as stored; the rest is nearly 0,
 * as they are nearly orthogonal, so the bound is nearly the norm. */
double pb_axes_norm2(const pb_axes *axes) {
    double largest = 0, rest = 0;
    for (int g = 0; g < PB_AXES; g++) {
        largest = fmax(largest, axis_product(axes, g, g));
        for (int h = 0; h < g; h++)
            rest += 2 * pow(axis_product(axes, g, h), 2);
    }
    return largest + sqrt(rest);
}

/* Brings the norm just below 1, 1e-6 being more than rounding to float changes, and fills in what follows from the axes. False
 * where no axis is left, as when all points are equal, or the proof fails; nobody filters then. */
static bool finish(pb_axes *axes, const sample *s) {
    double norm2 = pb_axes_norm2(axes);
    if (!(norm2 > 0))
        return false;
    scale_axes(axes, (1 - 1e-6) / sqrt(norm2));
    for (int h = 0; h < PB_AXES; h++) {
        double along = 0;
        for (size_t k = 0; k < (size_t)axes->dim; k++)
            along += axes->columns[k * PB_AXES + (size_t)h] * s->mean[k];
        axes->shift[h] = (float)along;
        axes->norm[h] = sqrt(axis_product(axes, h, h));
    }
    return pb_axes_norm2(axes) < 1 - 1e-9; /* far more than the rounding of the bound itself */
}

/* Cost: about 2 * PB_AXES * (ROUNDS + 1) * SAMPLE * dim multiply-adds in double, 21 million for 128 dimensions; memory for 2 *
 * PB_AXES + 2 doubles a dimension. */
pb_status pb_axes_find(const float *rows, size_t count, size_t stride, int dim, pb_axes *axes, bool *usable) {
    PB_ASSERT(count >= 1 && dim >= 1);
    *axes = (pb_axes){.dim = dim};
    *usable = false;
    sample s;
    pb_status status = begin(&s, rows, count, stride, dim);
    if (!pb_failed(&status))
        status = pb_allocate(&axes->columns, (size_t)dim, PB_AXES * sizeof *axes->columns, "principal axes");
    if (!pb_failed(&status)) {
        first_basis(&s);
        orthonormalize(&s);
        for (int round = 0; round < ROUNDS; round++) {
            multiply(&s);
            orthonormalize(&s);
        }
        for (size_t i = 0; i < (size_t)dim * PB_AXES; i++)
            axes->columns[i] = (float)s.basis[i / PB_AXES][i % PB_AXES];
        *usable = finish(axes, &s);
    }
    end(&s);
    return status;
}

void pb_axes_free(pb_axes *axes) { pb_release(&axes->columns); }
