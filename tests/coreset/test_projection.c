#include "coreset/projection.h"

#include "base/fault.h"
#include "base/memory.h"
#include "base/random.h"
#include "gpu/ref.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { DIM = 152, OUT_DIM = 128 };

static float matrix[DIM * OUT_DIM];

Test(projection, matrix_is_signs_of_the_stream_over_root_of_out_dim) {
    const float entry = 1.0f / sqrtf((float)OUT_DIM);
    pb_projection_matrix(77, DIM, OUT_DIM, matrix);
    for (size_t i = 0; i < DIM * OUT_DIM; i++) {
        float expected = pb_random_u32(77, PB_STREAM_PROJECTION, 0, i) >> 31 ? entry : -entry;
        cr_assert(matrix[i] == expected, "entry %zu", i);
    }
}

Test(projection, signs_are_balanced_and_columns_uncorrelated) {
    pb_projection_matrix(1, DIM, OUT_DIM, matrix);
    int positive = 0;
    for (size_t i = 0; i < DIM * OUT_DIM; i++)
        positive += matrix[i] > 0;
    /* 19,456 fair coins: the standard deviation of the count is 70; five of them. */
    cr_assert(abs(positive - DIM * OUT_DIM / 2) < 350, "%d positive", positive);
    int agreements = 0;
    for (size_t k = 0; k < DIM; k++)
        agreements += matrix[k * OUT_DIM] * matrix[k * OUT_DIM + 1] > 0;
    cr_assert(abs(agreements - DIM / 2) < 31, "%d agreements", agreements);
}

Test(projection, another_seed_another_matrix) {
    static float other[DIM * OUT_DIM];
    pb_projection_matrix(1, DIM, OUT_DIM, matrix);
    pb_projection_matrix(2, DIM, OUT_DIM, other);
    cr_assert(memcmp(matrix, other, sizeof matrix) != 0);
}

static pb_device *open_device(void) {
    pb_device *device;
    pb_status status = pb_device_open("cpu", 1, &device);
    cr_assert(!pb_failed(&status), "%s", status.message);
    return device;
}

static void fill(float *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        rows[i] = pb_random_symmetric(5, PB_STREAM_TEST, 0, i);
}

Test(projection, apply_is_the_plain_product_bit_for_bit) {
    enum { N = 37 };
    static float rows[N * DIM], expected[N * OUT_DIM];
    pb_device *device = open_device();
    pb_projection *projection;
    const float *projected;
    fill(rows, N * DIM);
    pb_status status = pb_projection_create(device, 77, DIM, OUT_DIM, &projection);
    cr_assert(!pb_failed(&status));
    cr_assert_eq(pb_projection_dim(projection), OUT_DIM);
    for (size_t n = 1; n <= N; n += 18) { /* room grows between the calls */
        status = pb_projection_apply(projection, rows, n, &projected);
        cr_assert(!pb_failed(&status));
        pb_projection_matrix(77, DIM, OUT_DIM, matrix);
        pb_ref_project(rows, n, DIM, matrix, OUT_DIM, expected);
        cr_assert_eq(memcmp(projected, expected, n * OUT_DIM * sizeof *expected), 0);
    }
    pb_projection_free(&projection);
    cr_assert_null(projection);
    pb_device_close(&device);
}

/* Johnson and Lindenstrauss: the squared distances keep their size on average; the mean over 500 pairs is within 5 %. */
Test(projection, keeps_distances_on_average) {
    enum { N = 1000 };
    float *rows;
    const float *projected;
    pb_device *device = open_device();
    pb_projection *projection;
    pb_status status = pb_allocate(&rows, N * DIM, sizeof *rows, "rows");
    cr_assert(!pb_failed(&status));
    fill(rows, N * DIM);
    status = pb_projection_create(device, 3, DIM, OUT_DIM, &projection);
    cr_assert(!pb_failed(&status));
    status = pb_projection_apply(projection, rows, N, &projected);
    cr_assert(!pb_failed(&status));
    double ratio = 0;
    for (size_t i = 0; i + 1 < N; i += 2)
        ratio += (double)pb_ref_distance2(projected + i * OUT_DIM, projected + (i + 1) * OUT_DIM, OUT_DIM) /
                 (double)pb_ref_distance2(rows + i * DIM, rows + (i + 1) * DIM, DIM) / (N / 2);
    cr_assert(fabs(ratio - 1) < 0.05, "mean ratio %g", ratio);
    pb_projection_free(&projection);
    pb_device_close(&device);
    pb_release(&rows);
}

Test(projection, zero_or_enough_dimensions_are_the_identity) {
    static float rows[DIM];
    pb_device *device = open_device();
    const int out_dims[] = {0, DIM, DIM + 1};
    for (int i = 0; i < 3; i++) {
        pb_projection *projection;
        const float *projected;
        pb_status status = pb_projection_create(device, 3, DIM, out_dims[i], &projection);
        cr_assert(!pb_failed(&status));
        status = pb_projection_apply(projection, rows, 1, &projected);
        cr_assert(!pb_failed(&status) && projected == rows && pb_projection_dim(projection) == DIM);
        pb_projection_free(&projection);
    }
    pb_device_close(&device);
}

/* What was reserved is enough for as many rows, where it is; what was refused can be asked for again. */
Test(projection, room_can_be_made_beforehand) {
    enum { N = 5 };
    static float rows[N * DIM];
    pb_device *device = open_device();
    pb_projection *projection;
    const float *first, *projected;
    fill(rows, N * DIM);
    pb_status status = pb_projection_create(device, 77, DIM, OUT_DIM, &projection);
    cr_assert(!pb_failed(&status), "%s", status.message);
    status = pb_fault_arm("projection.memory", 0);
    cr_assert(!pb_failed(&status), "%s", status.message);
    status = pb_projection_reserve(projection, N);
    cr_assert(status.code == PB_E_SYSTEM && strstr(status.message, "no memory for 5 projected rows"), "%s", status.message);
    status = pb_projection_reserve(projection, N);
    cr_assert(!pb_failed(&status), "%s", status.message);
    status = pb_projection_apply(projection, rows, 1, &first);
    cr_assert(!pb_failed(&status), "%s", status.message);
    status = pb_projection_apply(projection, rows, N, &projected);
    cr_assert(!pb_failed(&status) && projected == first, "%s", status.message);
    pb_projection_free(&projection);
    pb_device_close(&device);
}
