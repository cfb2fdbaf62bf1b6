/* The loops of covers for any processor, in GCC's portable vectors of four floats. A multiply-add rounds twice here, which sums
 * that only filter may. Comparisons of such vectors give masks of all ones or zeros, by which `choose` picks. Measuring is
 * cheaper here than in the kernels of cpu_kernels_plain.c, where every fmaf may be a call: hence a MEASURE_COST far below 1. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define KERNELS pb_cover_kernels_plain

enum { WIDTH = 4, ROWS = 2, GROUP = 1 };

static const float MEASURE_COST = 0.05f;

typedef float vec __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(16)));
typedef uint32_t number __attribute__((vector_size(16)));

static inline vec load_any(const float *from) {
    vec a;
    memcpy(&a, from, sizeof a);
    return a;
}

static inline vec load(const float *from) { return load_any(from); }
static inline void store(float *to, vec a) { memcpy(to, &a, sizeof a); }
static inline vec broadcast(float value) { return (vec){value, value, value, value}; }
static inline number broadcast_number(uint32_t value) { return (number){value, value, value, value}; }
static inline void store_number(uint32_t *to, number a) { memcpy(to, &a, sizeof a); }
static inline vec add(vec a, vec b) { return a + b; }
static inline vec sub(vec a, vec b) { return a - b; }
static inline vec multiply_add(vec a, vec b, vec c) { return a * b + c; }
static inline number choose(mask which, number a, number b) { return ((number)which & a) | (~(number)which & b); }
static inline vec max(vec a, vec b) { return (vec)choose(a > b, (number)a, (number)b); }
static inline float total(vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }

static inline float largest(vec a) {
    float low = a[0] > a[1] ? a[0] : a[1], high = a[2] > a[3] ? a[2] : a[3];
    return low > high ? low : high;
}

/* Lane i of a mask as bit i. */
static inline unsigned bits(mask a) {
    return ((unsigned)a[0] & 1) | ((unsigned)a[1] & 2) | ((unsigned)a[2] & 4) | ((unsigned)a[3] & 8);
}

static inline unsigned not_above(vec a, vec b) { return bits(a <= b); }
static inline unsigned not_below(vec a, vec b) { return bits(a >= b); }
static inline unsigned equal(vec a, vec b) { return bits(a == b); }

static inline void keep_less(vec score, uint32_t j, vec *least, number *which) {
    mask less = score < *least;
    *least = (vec)choose(less, (number)score, (number)*least);
    *which = choose(less, broadcast_number(j), *which);
}

/* No shuffles: rows are copied value by value, once for a tile and a chunk. */
static inline void transpose(const float *const rows[16], float *out) {
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            out[k * 16 + i] = rows[i][k];
}

#include "gpu/cpu_cover_body.h"
