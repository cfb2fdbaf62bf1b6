/* coreset.h: what every way of selecting a coreset gives. Plain data; nothing here is collective. */
#ifndef PB_CORESET_CORESET_H
#define PB_CORESET_CORESET_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Picked patches in order of selection: every prefix is the coreset of a smaller ratio. Zeroed it is empty; arrays are owned. */
typedef struct pb_coreset {
    size_t count, room;
    uint64_t *picked; /* [count] global patch indices */
    float *radius;    /* [count] covering radius of the first i + 1 picks: the largest distance (not squared) of any patch to the
                       * nearest of them; NaN where it is not known */
} pb_coreset;

/* Makes an empty coreset with room for `room` picks. What the struct held before is overwritten, not freed. Errors: PB_E_SYSTEM;
 * it is then zeroed. */
PB_CHECKED pb_status pb_coreset_allocate(pb_coreset *coreset, size_t room);
/* Frees the arrays and zeroes it; one that is zeroed is fine. */
void pb_coreset_free(pb_coreset *coreset);

/* Adds a pick at the end; there must be room (asserted). radius as in the struct. */
void pb_coreset_add(pb_coreset *coreset, uint64_t picked, float radius);

/* The failure of a selection whose points are so large that a distance^2 is +infinity, and so have no order: PB_E_INPUT, in the
 * same words for every way of selecting. */
pb_status pb_coreset_overflow(void);

/* How many points a ratio stands for: floor(ratio * total), at least 1 and at most total. 0 < ratio <= 1, total > 0
 * (asserted). */
size_t pb_coreset_size(double ratio, uint64_t total);

/* The covering radius of rows that are within `further` of rows which cover by `radius`: at most their sum, by the triangle
 * inequality. Both are computed distances of rows of `dim` values, off by less than (dim + 4) 2^-24 of themselves, and so is the
 * radius that somebody measures later; the result is larger than the sum by room for all three, so that no patch is measured
 * outside of it. NaN where one of them is NaN. */
float pb_coreset_radius_sum(float radius, double further, int dim);

/* Picks `count` <= total of 0 .. total - 1 at random, each order equally likely but for 2^-64 * total, so that every prefix is a
 * random sample too: the baseline that greedy selection must beat. From the counter-based generator (PB_STREAM_CORESET): the same
 * on every rank for the same seed, and more picks only go on. Radii are NaN. coreset: as of pb_coreset_allocate. O(count) time
 * and memory, whatever the total. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_coreset_random(uint64_t seed, uint64_t total, size_t count, pb_coreset *coreset);

#endif
