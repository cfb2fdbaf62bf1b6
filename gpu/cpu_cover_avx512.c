/* The loops of covers for AVX-512: a tile is one register wide. Comparisons give masks of 16 bits, which are the lanes as bits
 * that cpu_cover_body.h wants. They are ordered (_OQ): a NaN passes none. */
#include <immintrin.h>

#include <stdbool.h>
#include <stdint.h>

#define KERNELS pb_cover_kernels_avx512

/* One centre at a time: the 16 registers of a tile stay, and a centre's values come as operands of the multiply-add. */
enum { WIDTH = 16, ROWS = 8, GROUP = 1 };

static const float MEASURE_COST = 1.3f;

typedef __m512 vec;
typedef __m512i number;

static inline vec load(const float *from) { return _mm512_load_ps(from); }
static inline vec load_any(const float *from) { return _mm512_loadu_ps(from); }
static inline void store(float *to, vec a) { _mm512_store_ps(to, a); }
static inline vec broadcast(float value) { return _mm512_set1_ps(value); }
static inline number broadcast_number(uint32_t value) { return _mm512_set1_epi32((int)value); }
static inline void store_number(uint32_t *to, number a) { _mm512_store_si512(to, a); }
static inline vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec multiply_add(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline float largest(vec a) { return _mm512_reduce_max_ps(a); }
static inline float total(vec a) { return _mm512_reduce_add_ps(a); }
static inline unsigned not_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline unsigned not_below(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline unsigned equal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }

static inline void keep_less(vec score, uint32_t j, vec *least, number *which) {
    __mmask16 less = _mm512_cmp_ps_mask(score, *least, _CMP_LT_OQ);
    *least = _mm512_mask_mov_ps(*least, less, score);
    *which = _mm512_mask_mov_epi32(*which, less, _mm512_set1_epi32((int)j));
}

/* Pairs of rows, then of pairs, within 128-bit lanes; then the lanes: 0x88 takes lanes 0 and 2, 0xDD lanes 1 and 3, of both
 * operands. */
static inline void transpose(const float *const rows[16], float *out) {
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_loadu_ps(rows[i]);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int half = 0; half < 2; half++) {
            __m512d low = _mm512_castps_pd(b[i + half]), high = _mm512_castps_pd(b[i + 2 + half]);
            a[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            a[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    for (int i = 0; i < 4; i++) {
        b[i] = _mm512_shuffle_f32x4(a[i], a[4 + i], 0x88);
        b[4 + i] = _mm512_shuffle_f32x4(a[i], a[4 + i], 0xDD);
        b[8 + i] = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0x88);
        b[12 + i] = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0xDD);
    }
    for (int i = 0; i < 4; i++) {
        store(out + i * 16, _mm512_shuffle_f32x4(b[i], b[8 + i], 0x88));
        store(out + (8 + i) * 16, _mm512_shuffle_f32x4(b[i], b[8 + i], 0xDD));
        store(out + (4 + i) * 16, _mm512_shuffle_f32x4(b[4 + i], b[12 + i], 0x88));
        store(out + (12 + i) * 16, _mm512_shuffle_f32x4(b[4 + i], b[12 + i], 0xDD));
    }
}

#include "gpu/cpu_cover_body.h"
