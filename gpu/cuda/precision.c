#include "gpu/cuda/precision.h"

#include <string.h>

static const struct {
    const char *name;
    pb_element element;
} PRECISIONS[] = {
    [PB_PRECISION_FP32] = {"fp32", PB_ELEMENT_FLOAT},
    [PB_PRECISION_TF32] = {"tf32", PB_ELEMENT_FLOAT},
    [PB_PRECISION_FP16] = {"fp16", PB_ELEMENT_HALF},
    [PB_PRECISION_BF16] = {"bf16", PB_ELEMENT_BFLOAT},
};

const char *pb_precision_name(pb_precision precision) { return PRECISIONS[precision].name; }

bool pb_precision_parse(const char *name, pb_precision *precision_out) {
    for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; p++)
        if (strcmp(PRECISIONS[p].name, name) == 0) {
            *precision_out = (pb_precision)p;
            return true;
        }
    return false;
}

pb_element pb_precision_element(pb_precision precision) { return PRECISIONS[precision].element; }

size_t pb_element_bytes(pb_element element) { return element == PB_ELEMENT_FLOAT ? 4 : 2; }

int pb_precision_input_channels(pb_precision precision) {
    return 16 / (int)pb_element_bytes(pb_precision_element(precision));
}
