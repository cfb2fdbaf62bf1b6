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

/* Empties it and makes room for `room` picks. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_coreset_allocate(pb_coreset *coreset, size_t room);
void pb_coreset_free(pb_coreset *coreset);

/* Adds a pick at the end; there must be room. */
void pb_coreset_add(pb_coreset *coreset, uint64_t picked, float radius);

/* The failure of a selection whose points are so large that a distance^2 is +infinity, and so have no order. PB_E_INPUT. */
pb_status pb_coreset_overflow(void);

/* How many points a ratio stands for: floor(ratio * total), at least 1 and at most total. */
size_t pb_coreset_size(double ratio, uint64_t total);

/* Picks `count` <= total of 0 .. total - 1 at random, each order equally likely, so that every prefix is a random sample too: the
 * baseline that greedy selection must beat. From the counter-based generator: the same on every rank. Radii are NaN.
 * Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_coreset_random(uint64_t seed, uint64_t total, size_t count, pb_coreset *coreset);

#endif
