/* cpu_axes.h: private to gpu/: leading principal axes of points, for filters on their distances.
 *
 * What a filter needs is not that the axes are good but that they never lengthen: for the matrix R of the axes as stored,
 * |R (x - c)| <= |x - c| for any x and c. That is proved on the very floats (their spectral norm is bounded in double precision);
 * how much of the variance they hold is only a matter of speed. Deterministic; no threads.
 */
#ifndef PB_GPU_CPU_AXES_H
#define PB_GPU_CPU_AXES_H

#include "base/status.h"

#include <stddef.h>

/* A whole register of AVX-512, and on patch features of 128 dimensions enough to exclude all but about 1 % of the pairs
 * (measured: cpu_axes.c). */
enum { PB_AXES = 16 };

/* Axes and what a filter must know of them. dim: values of a point. */
typedef struct pb_axes {
    int dim;
    float *columns;       /* [dim][PB_AXES]: R transposed; an axis that the points do not have is zero */
    float shift[PB_AXES]; /* R times the mean of the sampled points, rounded */
    double norm[PB_AXES]; /* length of each axis */
} pb_axes;

/* Axes of points [count][stride], `dim` floats each and finite, count >= 1. *usable: the proof succeeded, and not all axes are
 * zero. To be released by pb_axes_free, after an error too. Errors: PB_E_SYSTEM. Which points are looked at depends on count
 * alone, so the same points have the same axes. Cost: linear in dim, whatever count is (cpu_axes.c samples). */
PB_CHECKED pb_status pb_axes_find(const float *rows, size_t count, size_t stride, int dim, pb_axes *axes, bool *usable);
void pb_axes_free(pb_axes *axes);

/* An upper bound on the square of the largest factor by which the axes lengthen a vector. Of the floats as stored; in double. */
double pb_axes_norm2(const pb_axes *axes);

#endif
