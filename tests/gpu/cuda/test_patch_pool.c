#include "emulated.h"

/* With one tap, and pooled to the same number once more, PatchCore's features are the pooled neighbourhoods; but a -0 has become
 * +0. */
static void check_patches(kind k, size_t n, pb_size size, int channels, pb_patchcore how, size_t beside) {
    const pb_layer_shape shape = {size, channels};
    const size_t places = n * pb_size_area(pb_patchcore_grid(&how, size)), values = n * pb_layer_shape_values(shape);
    const size_t dim = (size_t)how.layer_dim, stride = dim + beside;
    float *tap = numbers(k, 0, values), *actual = constants(NAN, places * stride), *expected = constants(NAN, places * dim);
    void *there = on_device(tap, values * sizeof *tap), *out = on_device(actual, places * stride * sizeof *tap);
    const pb_cuda_field field = {there, n, size.height, size.width, channels};
    const float *const taps[1] = {tap};
    assert_cuda(pb_cuda_patch_pool(NULL, field, how.patch, how.stride, how.layer_dim, out, stride));
    off_device(actual, out, places * stride * sizeof *tap);
    pb_ref_patchcore_features(&how, 1, &shape, taps, (int)n, expected);
    for (size_t p = 0; p < places; p++) {
        for (size_t i = 0; i < stride; i++)
            actual[p * stride + i] += 0.0f;
        assert_same_bits(actual + p * stride, expected + p * dim, dim);
        for (size_t i = dim; i < stride; i++)
            cr_assert(isnan(actual[p * stride + i]), "written beside place %zu", p);
    }
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&tap);
    pb_release(&actual);
    pb_release(&expected);
}

/* Pooled to fewer values than there are, to as many and to more; steps that divide the size and others. */
Test(patch_pool, is_the_twins) {
    static const pb_size SIZES[] = {{1, 1}, {3, 2}, {7, 5}, {4, 9}};
    static const pb_patchcore HOW[] = {{1, 1, 3, 3}, {3, 1, 27, 27}, {3, 2, 10, 10}, {5, 3, 64, 64}, {3, 4, 1, 1}, {13, 1, 7, 7}};
    for (size_t s = 0; s < LENGTH(SIZES); s++)
        for (size_t h = 0; h < LENGTH(HOW); h++) {
            emulator_turns(ORDERS[(s + h) % LENGTH(ORDERS)]);
            check_patches((kind)((s + h) % KINDS), 1 + (s + h) % 3, SIZES[s], 1 + (int)(s * 5 + h) % 9, HOW[h], h % 2 * 4);
        }
    check_patches(UNIFORM, 0, SIZES[1], 3, HOW[1], 0);
}

/* The plain twin. */
static float pooled(const float *row, int64_t j, int64_t from, int64_t to) {
    const int64_t first = j * from / to, end = ((j + 1) * from + to - 1) / to;
    float sum = 0.0f;
    for (int64_t i = first; i < end; i++)
        sum += row[i];
    return sum * (1.0f / (float)(end - first));
}

static void check_rows(kind k, size_t count, int from, int to) {
    float *rows = numbers(k, 0, count * (size_t)from), *actual = constants(NAN, count * (size_t)to);
    void *there = on_device(rows, count * (size_t)from * sizeof *rows), *out = on_device(NULL, count * (size_t)to * sizeof *rows);
    assert_cuda(pb_cuda_row_pool(NULL, there, count, from, to, out));
    off_device(actual, out, count * (size_t)to * sizeof *rows);
    for (size_t i = 0; i < count * (size_t)to; i++) {
        const float wanted = pooled(rows + i / (size_t)to * (size_t)from, (int64_t)(i % (size_t)to), from, to);
        assert_same_bits(actual + i, &wanted, 1);
    }
    assert_cuda(cudaFree(there));
    assert_sound();
    pb_release(&rows);
    pb_release(&actual);
}

Test(patch_pool, rows_are_the_twins) {
    static const int SIZES[][2] = {{1, 1}, {7, 3}, {3, 7}, {40, 40}, {1, 9}, {2048, 1024}, {130, 129}};
    for (size_t s = 0; s < LENGTH(SIZES); s++) {
        emulator_turns(ORDERS[s % LENGTH(ORDERS)]);
        check_rows((kind)(s % KINDS), 1 + s * 7 % 30, SIZES[s][0], SIZES[s][1]);
    }
    check_rows(UNIFORM, 0, 5, 5);
}
