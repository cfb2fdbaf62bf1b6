#include "io/selection_file.h"

#include "oracle.h"
#include "sample.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

static char folder[ORACLE_PATH], path[ORACLE_PATH + 32];

static void make_folder(void) {
    oracle_folder(folder);
    snprintf(path, sizeof path, "%s/selection.h5", folder);
}

static void remove_folder(void) { oracle_remove(folder); }

TestSuite(selection_file, .init = make_folder, .fini = remove_folder);

static void write_state_with(uint64_t *image, size_t images) {
    uint64_t picked[] = {0, 77, UINT64_C(4000000000)};
    float radius[] = {3.5f, 1.25f, -1.0f};
    pb_selection_state state = {.picks = 3, .picked = picked, .radius = radius, .images = images, .image = image};
    sample_assert_ok(pb_attributes_set(&state.attributes, "archive_sha256", "abc"));
    sample_assert_ok(pb_selection_write(path, &state));
    pb_attributes_free(&state.attributes);
}

static void write_state(void) { write_state_with(NULL, 0); }

Test(selection_file, reads_what_was_written) {
    pb_selection_state state;
    write_state();
    sample_assert_ok(pb_selection_read(path, &state));
    cr_assert_eq(state.picks, 3);
    cr_assert(state.picked[1] == 77 && state.picked[2] == UINT64_C(4000000000));
    cr_assert(state.radius[0] == 3.5f && state.radius[2] == -1.0f);
    cr_assert_str_eq(pb_attributes_get(&state.attributes, "archive_sha256"), "abc");
    cr_assert_eq(state.images, 0);
    pb_selection_state_free(&state);
    cr_assert(state.picks == 0 && !state.picked);
}

Test(selection_file, a_finished_one_names_its_images) {
    uint64_t rising[] = {3, 4, UINT64_C(5000000000)}, falling[] = {3, 4, 4};
    pb_selection_state state;
    write_state_with(rising, 3);
    sample_assert_ok(pb_selection_read(path, &state));
    cr_assert(state.images == 3 && state.image[0] == 3 && state.image[2] == UINT64_C(5000000000));
    pb_selection_state_free(&state);
    write_state_with(falling, 3);
    sample_assert_failed(pb_selection_read(path, &state), PB_E_INPUT, "image 2 does not rise");
}

Test(selection_file, refuses_what_is_none) {
    pb_selection_state state;
    sample_assert_failed(pb_selection_read(path, &state), PB_E_INPUT, "selection.h5");
    write_state();
    cr_assert_eq(truncate(path, 1000), 0);
    sample_assert_failed(pb_selection_read(path, &state), PB_E_INPUT, "selection.h5");
    cr_assert(state.picks == 0 && !state.picked);
}
