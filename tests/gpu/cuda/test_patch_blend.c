#include "emulated.h"

/* Features of patches of one place are the taps themselves: the second tap is blended to the first one's grid. */
static void check(kind k, size_t n, pb_size from, pb_size grid, int channels, size_t beside) {
    const pb_layer_shape shapes[2] = {{grid, 1}, {from, channels}};
    const size_t places = n * pb_size_area(grid), values = n * pb_size_area(from) * (size_t)channels;
    const size_t stride = (size_t)channels + beside, wide = (size_t)channels + 1;
    float *field = numbers(k, 0, values), *first = numbers(k, 1, places);
    for (size_t i = 0; i < values; i++)
        field[i] += 0.0f; /* means are never -0 */
    float *actual = constants(NAN, places * stride), *expected = constants(NAN, places * wide);
    void *there = on_device(field, values * sizeof *field), *out = on_device(actual, places * stride * sizeof *field);
    const float *const taps[2] = {first, field};
    assert_cuda(pb_cuda_patch_blend(NULL, (pb_cuda_field){there, n, from.height, from.width, channels}, grid.height, grid.width,
                                    out, stride));
    off_device(actual, out, places * stride * sizeof *field);
    pb_ref_patch_features(1, 2, shapes, taps, (int)n, expected);
    for (size_t p = 0; p < places; p++) {
        assert_same_bits(actual + p * stride, expected + p * wide + 1, (size_t)channels);
        for (size_t i = (size_t)channels; i < stride; i++)
            cr_assert(isnan(actual[p * stride + i]), "written beside place %zu", p);
    }
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&field);
    pb_release(&first);
    pb_release(&actual);
    pb_release(&expected);
}

/* Larger, smaller, both at once, by whole and by other factors, and from a single place. */
Test(patch_blend, is_the_twins) {
    static const pb_size SIZES[][2] = {{{4, 3}, {8, 6}}, {{5, 7}, {9, 10}}, {{9, 4}, {5, 7}}, {{1, 1}, {3, 4}}, {{12, 9}, {4, 3}},
                                       {{2, 5}, {3, 5}}};
    static const int CHANNELS[] = {1, 3, 40};
    for (size_t s = 0; s < LENGTH(SIZES); s++)
        for (size_t c = 0; c < LENGTH(CHANNELS); c++) {
            emulator_turns(ORDERS[(s + c) % LENGTH(ORDERS)]);
            check((kind)((s + c) % KINDS), 1 + s % 3, SIZES[s][0], SIZES[s][1], CHANNELS[c], c * 5);
        }
    check(UNIFORM, 0, SIZES[0][0], SIZES[0][1], 3, 0);
}
