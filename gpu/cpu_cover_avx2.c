/* The loops of covers for AVX2 with FMA: a tile is two registers wide. Comparisons are ordered (_OQ): a NaN passes none of them,
 * as pb_cover_kernels' loops expect. */
#include <immintrin.h>

#include <stdbool.h>
#include <stdint.h>

#define KERNELS pb_cover_kernels_avx2

/* 4 x 2 sums, two vectors of points and a centre's value; the tile's 32 registers come from the first cache. */
enum { WIDTH = 8, ROWS = 4, GROUP = 4 };

static const float MEASURE_COST = 1.0f;

typedef __m256 vec;
typedef __m256i number;

static inline vec load(const float *from) { return _mm256_load_ps(from); }
static inline vec load_any(const float *from) { return _mm256_loadu_ps(from); }
static inline void store(float *to, vec a) { _mm256_store_ps(to, a); }
static inline vec broadcast(float value) { return _mm256_set1_ps(value); }
static inline number broadcast_number(uint32_t value) { return _mm256_set1_epi32((int)value); }
static inline void store_number(uint32_t *to, number a) { _mm256_store_si256((__m256i *)(void *)to, a); }
static inline vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec multiply_add(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline unsigned not_above(vec a, vec b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
static inline unsigned not_below(vec a, vec b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)); }
static inline unsigned equal(vec a, vec b) { return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }

/* Halves, then pairs, then the last two: no particular order is promised. */
static inline float total(vec a) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

static inline float largest(vec a) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

static inline void keep_less(vec score, uint32_t j, vec *least, number *which) {
    vec less = _mm256_cmp_ps(score, *least, _CMP_LT_OQ), its = _mm256_castsi256_ps(_mm256_set1_epi32((int)j));
    *least = _mm256_min_ps(score, *least);
    *which = _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(*which), its, less));
}

/* An 8 x 8 block: pairs of rows, then of pairs, within 128-bit lanes; then the lanes. */
static inline void transpose_block(const float *const rows[8], int from, float *out) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps(rows[i] + from);
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int half = 0; half < 2; half++) {
            a[i + 2 * half] = _mm256_shuffle_ps(b[i + half], b[i + 2 + half], 0x44);
            a[i + 2 * half + 1] = _mm256_shuffle_ps(b[i + half], b[i + 2 + half], 0xEE);
        }
    for (int i = 0; i < 4; i++) {
        store(out + i * 16, _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
        store(out + (4 + i) * 16, _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
    }
}

/* Four blocks of 8 x 8. */
static inline void transpose(const float *const rows[16], float *out) {
    for (int i = 0; i < 16; i += 8)
        for (int k = 0; k < 16; k += 8)
            transpose_block(rows + i, k, out + k * 16 + i);
}

#include "gpu/cpu_cover_body.h"
