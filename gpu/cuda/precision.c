#include "gpu/cuda/precision.h"

/* By precision. */
static const pb_element ELEMENTS[] = {[PB_PRECISION_FP32] = PB_ELEMENT_FLOAT,
                                      [PB_PRECISION_TF32] = PB_ELEMENT_FLOAT,
                                      [PB_PRECISION_FP16] = PB_ELEMENT_HALF,
                                      [PB_PRECISION_BF16] = PB_ELEMENT_BFLOAT};

pb_element pb_precision_element(pb_precision precision) { return ELEMENTS[precision]; }

size_t pb_element_bytes(pb_element element) { return element == PB_ELEMENT_FLOAT ? 4 : 2; }

/* 4 floats or 8 halves. */
int pb_precision_input_channels(pb_precision precision) {
    return 16 / (int)pb_element_bytes(pb_precision_element(precision));
}
