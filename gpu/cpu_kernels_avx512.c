/* The kernels for AVX-512: a tile is two registers wide. A comparison gives a mask of lanes, so none must be gathered. Compiled
 * for F, VL, BW, DQ and FMA; called only where the processor has all of them (cpu_kernels.c). */
#include <immintrin.h>

#include <stdbool.h>

#define KERNELS pb_cpu_kernels_avx512
#define KERNELS_NAME "avx512"
#define COVER_KERNELS pb_cover_kernels_avx512

/* 8 x 2 sums: 16 chains hide a latency of 4 cycles on two units, a load serves two of them, and 8 rows a power of two apart still
 * fit in one set of an 8-way first cache. */
enum { WIDTH = 16, ROWS = 8, PART = 2 };

typedef __m512 vec;

static inline vec load(const float *from) { return _mm512_load_ps(from); }
static inline void store(float *to, vec a) { _mm512_storeu_ps(to, a); }
static inline vec broadcast(float value) { return _mm512_set1_ps(value); }
static inline vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec min(vec a, vec b) { return _mm512_min_ps(a, b); }
static inline vec max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline bool any_not_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ) != 0; }
static inline bool any_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }

#include "gpu/cpu_kernels_body.h"
