/* The kernels for AVX2 with FMA: a tile is four registers wide and searched in two halves. Compiled with -mavx2 -mfma; called
 * only where the processor has both (cpu_kernels.c). Stores are unaligned: results go to the caller's rows. _CMP_NGT_UQ is "not
 * greater", true for a NaN; _CMP_GT_OQ false for it. */
#include <immintrin.h>

#include <stdbool.h>

#define KERNELS pb_cpu_kernels_avx2
#define KERNELS_NAME "avx2"
#define COVER_KERNELS pb_cover_kernels_avx2

/* 6 x 2 sums, two vectors of points, a row's value and a difference: all 16 registers. */
enum { WIDTH = 8, ROWS = 6, PART = 2 };

typedef __m256 vec;

static inline vec load(const float *from) { return _mm256_load_ps(from); }
static inline void store(float *to, vec a) { _mm256_storeu_ps(to, a); }
static inline vec broadcast(float value) { return _mm256_set1_ps(value); }
static inline vec sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec multiply_add(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec min(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline vec max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline bool any_not_above(vec a, vec b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ)) != 0; }
static inline bool any_above(vec a, vec b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }

#include "gpu/cpu_kernels_body.h"
