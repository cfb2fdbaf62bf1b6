/* The front of covers: what every kind of device has in common. */
#include "cover_points.h"
#include "cover_rounds.h"
#include "gpu/device_table.h"

#include <signal.h>

static const pb_device_table NOTHING = {.version = PB_DEVICE_TABLE_VERSION, .kind = "nothing"};

static void expect_unsupported(pb_status status, const char *operation) {
    cr_assert_eq(status.code, PB_E_UNSUPPORTED, "%s: %s", operation, status.message);
    cr_assert_not_null(strstr(status.message, "nothing"), "%s", status.message);
    cr_assert_not_null(strstr(status.message, operation), "\"%s\" is not in \"%s\"", operation, status.message);
}

Test(cover, empty_slots_are_unsupported) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    int something;
    pb_cover *created, *cover = (pb_cover *)(void *)&something; /* never looked at */
    float value = 0;
    int64_t not_finite;
    size_t count;
    uint64_t key;
    pb_candidate candidate;
    expect_unsupported(pb_device_cover_create(&device, 1, 1, 0, &created), "cover_create");
    cr_assert_null(created);
    expect_unsupported(pb_device_cover_write(&device, cover, 0, 1, &value, &not_finite), "cover_write");
    expect_unsupported(pb_device_cover_read(&device, cover, 0, 1, &value), "cover_read");
    expect_unsupported(pb_device_cover_add(&device, cover, &value, 1), "cover_add");
    expect_unsupported(pb_device_cover_refresh(&device, cover, 0, &count, &key), "cover_refresh");
    expect_unsupported(pb_device_cover_settle(&device, cover, &count), "cover_settle");
    expect_unsupported(pb_device_cover_key(&device, cover, 0, &key), "cover_key");
    expect_unsupported(pb_device_cover_raise(&device, cover, 0, &count), "cover_raise");
    expect_unsupported(pb_device_cover_candidates(&device, cover, &candidate, &value), "cover_candidates");
    expect_unsupported(pb_device_cover_select(&device, cover, &candidate, &value, 1, 0, 1, &key, &value, &count, &key),
                       "cover_select");
    expect_unsupported(pb_device_cover_update(&device, cover, &candidate, 1), "cover_update");
}

Test(cover, freeing_nothing_is_fine) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    pb_cover *cover = NULL;
    pb_device_cover_free(&device, &cover);
    cr_assert_null(cover);
}

Test(cover, indices_that_do_not_fit_are_a_defect, .signal = SIGABRT) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    pb_cover *cover;
    pb_status status = pb_device_cover_create(&device, 10, 1, UINT32_MAX - 10, &cover);
    cr_assert_fail("returned %d", status.code);
}

Test(cover, no_dimensions_are_a_defect, .signal = SIGABRT) {
    pb_device device = {.table = &NOTHING, .threads = 1};
    pb_cover *cover;
    pb_status status = pb_device_cover_create(&device, 10, 0, 0, &cover);
    cr_assert_fail("returned %d", status.code);
}

/* Ranks need not be alike: candidates found by one set of kernels are judged by another. */
Test(cover, ranks_with_different_kernels_pick_the_same) {
    static const int DIMS[] = {3, 24, 70};
    for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++)
        for (int m = 0; m < MAKERS_COUNT; m++) {
            float *rows = MAKERS[m].make(300, DIMS[d]);
            check_rounds(NULL, 1, 3, rows, 300, DIMS[d], 120, (uint64_t)m * 3 + d);
            pb_release(&rows);
        }
}
