/* elements.h: private to gpu/cuda/: values of a network's memory as kernels see them: floats, whatever the type is.
 *
 * Only for kernels (lanes.h). The type is the same for all threads of a launch.
 */
#ifndef PB_GPU_CUDA_ELEMENTS_H
#define PB_GPU_CUDA_ELEMENTS_H

#include "gpu/cuda/lanes.h"
#include "gpu/cuda/precision.h"

#include <stdint.h>

/* Device memory of one type that is read, and that is written: one of the two pointers, the other is NULL. A kernel asks per
 * value which pointer is set; all threads of a launch take the same way. */
typedef struct elements_in {
    const float *floats;
    const uint16_t *halves;
    pb_element element;
} elements_in;

typedef struct elements_out {
    float *floats;
    uint16_t *halves;
    pb_element element;
} elements_out;

/* For the host, which hands them to a kernel. */
static inline elements_in elements_from(const void *memory, pb_element element) {
    const bool floats = element == PB_ELEMENT_FLOAT;
    const elements_in made = {floats ? (const float *)memory : NULL, floats ? NULL : (const uint16_t *)memory, element};
    return made;
}

static inline elements_out elements_to(void *memory, pb_element element) {
    const bool floats = element == PB_ELEMENT_FLOAT;
    const elements_out made = {floats ? (float *)memory : NULL, floats ? NULL : (uint16_t *)memory, element};
    return made;
}

/* Exactly. */
DEVICE float element_get(elements_in from, size_t at) {
    return from.floats                       ? from.floats[at]
           : from.element == PB_ELEMENT_HALF ? half_value(from.halves[at])
                                             : bfloat_value(from.halves[at]);
}

/* Rounded to the nearest; a NaN stays one. */
DEVICE void element_put(elements_out to, size_t at, float value) {
    if (to.floats)
        to.floats[at] = value;
    else if (to.element == PB_ELEMENT_HALF)
        to.halves[at] = half_bits(value);
    else
        to.halves[at] = value == value ? bfloat_bits(value) : (uint16_t)0x7FFF;
}

#endif
