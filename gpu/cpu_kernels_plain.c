/* The kernels for any processor: a register is one float and fmaf is the C library's, which uses the processor's instruction
 * where there is one and is exact where there is none. min and max give their second operand when one is a NaN, as the
 * processor's instructions do in the other sets. */
#include <math.h>
#include <stdbool.h>

#define KERNELS pb_cpu_kernels_plain
#define KERNELS_NAME "plain"
#define COVER_KERNELS pb_cover_kernels_plain

/* Every call of fmaf empties the registers, so that more sums at once would gain nothing. */
enum { WIDTH = 1, ROWS = 1, PART = 4 };

typedef float vec;

static inline vec load(const float *from) { return *from; }
static inline void store(float *to, vec a) { *to = a; }
static inline vec broadcast(float value) { return value; }
static inline vec sub(vec a, vec b) { return a - b; }
#define multiply_add(a, b, c) fmaf((a), (b), (c))
static inline vec min(vec a, vec b) { return a < b ? a : b; }
static inline vec max(vec a, vec b) { return a > b ? a : b; }
static inline bool any_not_above(vec a, vec b) { return !(a > b); }
static inline bool any_above(vec a, vec b) { return a > b; }

#include "gpu/cpu_kernels_body.h"
