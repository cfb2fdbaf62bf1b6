#include "emulated.h"
#include "gpu/cuda/network_edges.h"
#include "gpu/cuda/network_weights.h"

/* Every half and bfloat that is no NaN, and floats. */
static void check(size_t count, pb_element element) {
    const size_t each = pb_element_bytes(element);
    float *floats = numbers(MIXED, 5, count), *actual = constants(NAN, count);
    uint16_t *halves;
    assert_done(pb_allocate(&halves, count + 1, sizeof *halves, "test values"));
    for (size_t i = 0; i < count; i++)
        halves[i] = (uint16_t)(i * 40503);
    void *from = on_device(element == PB_ELEMENT_FLOAT ? (const void *)floats : halves, count * each);
    void *to = on_device(NULL, count * sizeof(float));
    assert_cuda(pb_cuda_network_tap(NULL, from, count, element, to));
    off_device(actual, to, count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const float wanted = element == PB_ELEMENT_FLOAT  ? floats[i]
                             : element == PB_ELEMENT_HALF ? pb_half_value(halves[i])
                                                          : pb_bfloat_value(halves[i]);
        if (isnan(wanted))
            cr_assert(isnan(actual[i]), "value %zu", i);
        else
            assert_same_bits(actual + i, &wanted, 1);
    }
    assert_cuda(cudaFree(from));
    assert_sound();
    pb_release(&halves);
    pb_release(&actual);
    pb_release(&floats);
}

Test(network_tap, is_the_value_for_any_number) {
    static const size_t COUNTS[] = {0, 1, 255, 256, 257, 1000, 65536};
    for (size_t c = 0; c < LENGTH(COUNTS); c++)
        for (int element = PB_ELEMENT_FLOAT; element <= PB_ELEMENT_BFLOAT; element++) {
            emulator_turns(ORDERS[c % LENGTH(ORDERS)]);
            check(COUNTS[c], (pb_element)element);
        }
}
