/* element_arrays.h: arrays of a network's types, for tests of its kernels. */
#ifndef PB_TESTS_GPU_CUDA_ELEMENT_ARRAYS_H
#define PB_TESTS_GPU_CUDA_ELEMENT_ARRAYS_H

#include "arrays.h"
#include "gpu/cuda/network_weights.h"

static const pb_element ELEMENTS[] = {PB_ELEMENT_FLOAT, PB_ELEMENT_HALF, PB_ELEMENT_BFLOAT};

/* Half the distance of a type's neighbours, as part of a value, and of the least values: what storing a float as it adds. */
static inline double unit_of_element(pb_element element) {
    return element == PB_ELEMENT_HALF ? 0x1p-11 : element == PB_ELEMENT_BFLOAT ? 0x1p-8 : 0;
}

static inline double least_of_element(pb_element element) { return element == PB_ELEMENT_HALF ? 0x1p-25 : 0; }

static inline float element_value(const void *memory, pb_element element, size_t at) {
    if (element == PB_ELEMENT_FLOAT)
        return ((const float *)memory)[at];
    const uint16_t bits = ((const uint16_t *)memory)[at];
    return element == PB_ELEMENT_HALF ? pb_half_value(bits) : pb_bfloat_value(bits);
}

/* The values as a type has them, which they then are; released by pb_release. */
static inline void *as_elements(float *values, size_t count, pb_element element) {
    void *made;
    assert_done(pb_allocate(&made, count + 1, pb_element_bytes(element), "test values"));
    for (size_t i = 0; i < count; i++) {
        if (element == PB_ELEMENT_FLOAT)
            ((float *)made)[i] = values[i];
        else
            ((uint16_t *)made)[i] = element == PB_ELEMENT_HALF ? pb_half_bits(values[i]) : pb_bfloat_bits(values[i]);
        values[i] = element_value(made, element, i);
    }
    return made;
}

#endif
