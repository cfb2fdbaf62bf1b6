/* kinds.h, private to tests/gpu/: kinds of numbers that find different mistakes. */
#ifndef PB_TESTS_GPU_KINDS_H
#define PB_TESTS_GPU_KINDS_H

#include "base/random.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

typedef enum kind {
    UNIFORM,    /* in (-1, 1) */
    TIES,       /* -1, 0 or 1: many equal distances and, in few dimensions, many equal points */
    DENORMALS,  /* their differences are denormal, and the squares of these are 0 */
    HUGE_ONES,  /* up to FLT_MAX: differences and squares overflow to infinity */
    MIXED,      /* all magnitudes, and both zeros */
    KINDS
} kind;

static inline float number_of(kind k, uint32_t substream, size_t index) {
    float value = pb_random_symmetric(7, PB_STREAM_TEST, substream, index);
    switch (k) {
    case TIES: return (float)(int)(value * 3.0f / 2.0f);
    case DENORMALS: return value * 0x1p-127f;
    case HUGE_ONES: return value * FLT_MAX;
    case MIXED: {
        uint32_t bits = pb_random_u32(8, PB_STREAM_TEST, substream, index);
        return bits % 8 == 0 ? copysignf(0.0f, value) : ldexpf(value, (int)(bits >> 8 & 127) - 64);
    }
    default: return value;
    }
}

#endif
