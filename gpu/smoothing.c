/* The Gaussian of gpu/smoothing.h. The sum is taken in double, from the middle outwards; each weight is rounded to float once. */
#include "gpu/smoothing.h"

#include "base/status.h"

#include <math.h>

/* One side's value; of sigma 0 there is only the place itself, which 0 / 0 would not say. */
static double bell(int k, double sigma) { return k == 0 ? 1.0 : exp(-(double)k * k / (2 * sigma * sigma)); }

/* Weights beyond reach are 0. The sum counts both sides. */
void pb_smoothing_gaussian(double sigma, pb_smoothing *smoothing_out) {
    PB_ASSERT(sigma >= 0 && sigma <= PB_SIGMA_MAX);
    *smoothing_out = (pb_smoothing){.reach = (int)(4 * sigma + 0.5)};
    double sum = 1.0;
    for (int k = 1; k <= smoothing_out->reach; k++)
        sum += 2 * bell(k, sigma);
    for (int k = 0; k <= smoothing_out->reach; k++)
        smoothing_out->weights[k] = (float)(bell(k, sigma) / sum);
}
