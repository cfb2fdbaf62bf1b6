/* token_bounds.h, private to tests/gpu/: how far float arithmetic of a layer norm or of attention may be from the definition in
 * gpu/network.h, computed in double from what the layer was given. unit: the relative error of storing a result in another type,
 * 0 for floats; least: its absolute error where the type's numbers get denormal, 0 for floats.
 */
#ifndef PB_TESTS_GPU_TOKEN_BOUNDS_H
#define PB_TESTS_GPU_TOKEN_BOUNDS_H

#include "gpu/network.h"
#include "networks.h"

#include "base/memory.h"

#include <criterion/criterion.h>
#include <math.h>

static const double TOKEN_U = 0x1p-24;

/* y = (x - m) / s * w + b in float. The mean of C values is off by at most (C + 1) u of the mean size of x; the variance, of
 * squares of differences that are themselves off by that and one rounding, by (C + 4) u of itself and the square of the first;
 * root, division, product and sum add one rounding each. Sizes in which nothing cancels, and twice the sum for second orders. */
static inline void check_layer_norm(const pb_layer *layer, size_t places, const float *x, const float *found,
                                    double unit, double least) {
    int channels = layer->outputs;
    double m = channels + 8;
    for (size_t p = 0; p < places; p++, x += channels, found += channels) {
        double mean = 0, size = 0, v = 0;
        for (int c = 0; c < channels; c++) {
            mean += (double)x[c] / channels;
            size += fabs((double)x[c]) / channels;
        }
        for (int c = 0; c < channels; c++)
            v += ((double)x[c] - mean) * ((double)x[c] - mean) / channels;
        double s = sqrt(v + layer->epsilon);
        for (int c = 0; c < channels; c++) {
            double scaled = ((double)x[c] - mean) / s * (double)layer->weights[c], expected = scaled + (double)layer->bias[c];
            double weight = fabs((double)layer->weights[c]) / s;
            double bound =
                2 * m * TOKEN_U * (weight * (size + fabs((double)x[c])) + fabs(scaled) * (1 + size / s) + fabs(expected)) +
                unit * fabs(expected) + least;
            cr_assert(fabs((double)found[c] - expected) <= bound,
                      "%d channels, place %zu, channel %d: %.9g, expected %.9g within %.3g", channels, p, c, (double)found[c],
                      expected, bound);
        }
    }
}

/* Of one head: what token t attends to. A score of d products is off by gamma = d u of the sum of their sizes, so that each
 * exponential is off by twice the largest such e, and by 8 u that a vectorised one may be off by itself; the sum of T of them
 * and the products with values add 2 T u. */
static inline void check_token(const pb_layer *layer, size_t tokens, const float *x, size_t t, size_t first, const float *found,
                               double unit, double least) {
    size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs, dim = outputs / (size_t)layer->groups;
    double *scores, largest = -INFINITY, error = 0, sum = 0;
    test_must(pb_allocate(&scores, tokens, sizeof *scores, "scores"));
    for (size_t u = 0; u < tokens; u++) {
        double size = 0;
        for (size_t c = first; c < first + dim; c++) {
            double product = (double)x[t * inputs + c] * (double)x[u * inputs + outputs + c];
            scores[u] += product;
            size += fabs(product);
        }
        largest = fmax(largest, scores[u]);
        error = fmax(error, ((double)dim + 1) * TOKEN_U * size);
    }
    for (size_t u = 0; u < tokens; u++)
        sum += exp(scores[u] - largest);
    double relative = 1.01 * (2 * error + (2 * (double)tokens + 12) * TOKEN_U);
    for (size_t c = first; c < first + dim; c++) {
        double expected = 0, size = 0;
        for (size_t u = 0; u < tokens; u++) {
            double term = exp(scores[u] - largest) / sum * (double)x[u * inputs + 2 * outputs + c];
            expected += term;
            size += fabs(term);
        }
        double value = (double)found[t * outputs + c], bound = relative * size + unit * fabs(expected) + least;
        cr_assert(fabs(value - expected) <= bound,
                  "%zu tokens, %d heads of %zu, token %zu, channel %zu: %.9g, expected %.9g"
                  " within %.3g",
                  tokens, layer->groups, dim, t, c, value, expected, bound);
    }
    pb_release(&scores);
}

/* All of an image: x [tokens][inputs], found [tokens][outputs]. */
static inline void check_attention(const pb_layer *layer, size_t tokens, const float *x, const float *found, double unit,
                                   double least) {
    for (size_t t = 0; t < tokens; t++)
        for (int first = 0; first < layer->outputs; first += layer->outputs / layer->groups)
            check_token(layer, tokens, x, t, (size_t)first, found, unit, least);
}

#endif
