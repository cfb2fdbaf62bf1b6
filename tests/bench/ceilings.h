/* ceilings.h, private to tests/bench/: how fast a core can do arithmetic in registers alone, by instruction set. */
#ifndef PB_TESTS_BENCH_CEILINGS_H
#define PB_TESTS_BENCH_CEILINGS_H

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

enum { CHAINS = 12 };

/* Rounds of CHAINS independent steps sum += (x - c)^2, or sum += x * c, in registers; the empty asm keeps the compiler from
 * knowing that x is the same every time. The number of lanes worked on is the result. */
#define CEILING(NAME, TARGET, VEC, LANES, ZERO, SUB, FMA)                  \
    TARGET static inline double NAME(long rounds, bool difference) {       \
        VEC sums[CHAINS], x = ZERO, c = ZERO, y;                           \
        for (int i = 0; i < CHAINS; i++)                                   \
            sums[i] = ZERO;                                                \
        for (long round = 0; difference && round < rounds; round++)        \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {    \
                __asm__ volatile("" : "=x"(y) : "0"(x));                   \
                VEC t = SUB(y, c);                                         \
                sums[i] = FMA(t, t, sums[i]);                              \
            }                                                              \
        for (long round = 0; !difference && round < rounds; round++)       \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {    \
                __asm__ volatile("" : "=x"(y) : "0"(x));                   \
                sums[i] = FMA(y, c, sums[i]);                              \
            }                                                              \
        for (int i = 0; i < CHAINS; i++)                                   \
            __asm__ volatile("" : : "x"(sums[i]));                         \
        return (double)rounds * CHAINS * LANES;                            \
    }

#define SCALAR_SUB(a, b) ((a) - (b))
CEILING(ceiling_plain, , float, 1, 0.0f, SCALAR_SUB, fmaf)
CEILING(ceiling_avx2, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_setzero_ps(), _mm256_sub_ps, _mm256_fmadd_ps)
CEILING(ceiling_avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_setzero_ps(), _mm512_sub_ps, _mm512_fmadd_ps)

#endif
