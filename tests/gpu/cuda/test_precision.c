#include "gpu/cuda/precision.h"

#include <criterion/criterion.h>

Test(cuda_precision, has_a_size_in_memory) {
    static const struct {
        pb_precision precision;
        size_t bytes;
        int channels;
    } EXPECTED[] = {{PB_PRECISION_FP32, 4, 4}, {PB_PRECISION_TF32, 4, 4}, {PB_PRECISION_FP16, 2, 8}, {PB_PRECISION_BF16, 2, 8}};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(pb_element_bytes(pb_precision_element(EXPECTED[i].precision)), EXPECTED[i].bytes);
        cr_assert_eq(pb_precision_input_channels(EXPECTED[i].precision), EXPECTED[i].channels);
    }
}
