#include "gpu/precision.h"

#include <string.h>

/* The one list of names, by value. */
static const char *const NAMES[] = {
    [PB_PRECISION_FP32] = "fp32", [PB_PRECISION_TF32] = "tf32", [PB_PRECISION_FP16] = "fp16", [PB_PRECISION_BF16] = "bf16"};

const char *pb_precision_name(pb_precision precision) { return NAMES[precision]; }

bool pb_precision_parse(const char *name, pb_precision *precision_out) {
    for (size_t p = 0; p < sizeof NAMES / sizeof *NAMES; p++)
        if (strcmp(NAMES[p], name) == 0) {
            *precision_out = (pb_precision)p;
            return true;
        }
    return false;
}
