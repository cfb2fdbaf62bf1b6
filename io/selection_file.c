/* selection_file.c: the picks of a selection, with their radii, in one file that is replaced as a whole at each checkpoint
 * (decision 0011). It is small: 12 bytes a pick, and 8 an image when it is finished. */
#include "io/selection_file.h"

#include "base/memory.h"
#include "io/file.h"
#include "io/h5.h"

#include <math.h>

static const char SELECTION_FORMAT[] = "patchbank-selection";
/* 2 is the first with the column `image`. */
enum { SELECTION_VERSION = 2 };

/* Three columns, in this order; image is empty while the selection goes on. */
static pb_status write_all(const pb_h5 *h5, const pb_selection_state *state) {
    pb_h5_column picked = pb_h5_vector("picked", PB_H5_U64, state->picks);
    pb_h5_column radius = pb_h5_vector("covering_radius", PB_H5_F32, state->picks);
    PB_TRY(pb_h5_write_header(h5, SELECTION_FORMAT, SELECTION_VERSION, &state->attributes));
    PB_TRY(pb_h5_write(h5, &picked, state->picked));
    PB_TRY(pb_h5_write(h5, &radius, state->radius));
    pb_h5_column image = pb_h5_vector("image", PB_H5_U64, state->images);
    return pb_h5_write(h5, &image, state->image);
}

/* An older file stays until the new one is whole: a kill in between loses one checkpoint's progress and no more. */
pb_status pb_selection_write(const char *path, const pb_selection_state *state) {
    pb_output output = {0};
    pb_h5 h5 = {0};
    PB_TRY(pb_output_begin(&output, path));
    pb_status status = pb_h5_create(&h5, &output);
    if (!pb_failed(&status))
        status = write_all(&h5, state);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (!pb_failed(&status))
        status = pb_output_commit(&output);
    pb_output_abandon(&output);
    return status;
}

/* Radii must be numbers, images must rise, as the selection leaves them: what goes on from this file relies on both. Whether
 * picks are patches that there are is the caller's to check, who knows how many. */
static pb_status read_all(const pb_h5 *h5, pb_selection_state *state) {
    pb_h5_column picked = pb_h5_vector("picked", PB_H5_U64, 0), radius = pb_h5_vector("covering_radius", PB_H5_F32, 0);
    PB_TRY(pb_h5_read_header(h5, SELECTION_FORMAT, SELECTION_VERSION, &state->attributes));
    PB_TRY(pb_h5_examine(h5, &picked));
    radius.size[0] = picked.size[0];
    state->picks = (size_t)picked.size[0];
    PB_TRY(pb_allocate(&state->picked, state->picks, sizeof *state->picked, "picked patches"));
    PB_TRY(pb_allocate(&state->radius, state->picks, sizeof *state->radius, "covering radii"));
    PB_TRY(pb_h5_read(h5, &picked, state->picked));
    PB_TRY(pb_h5_read(h5, &radius, state->radius));
    for (size_t i = 0; i < state->picks; i++)
        if (!isfinite(state->radius[i]))
            return pb_fail(PB_E_INPUT, "%s: covering radius %zu is not a finite number", h5->name, i);
    pb_h5_column image = pb_h5_vector("image", PB_H5_U64, 0);
    PB_TRY(pb_h5_examine(h5, &image));
    state->images = (size_t)image.size[0];
    PB_TRY(pb_allocate(&state->image, state->images, sizeof *state->image, "image indices"));
    PB_TRY(pb_h5_read(h5, &image, state->image));
    for (size_t i = 1; i < state->images; i++)
        if (state->image[i] <= state->image[i - 1])
            return pb_fail(PB_E_INPUT, "%s: image %zu does not rise", h5->name, i);
    return pb_ok();
}

pb_status pb_selection_read(const char *path, pb_selection_state *state_out) {
    pb_h5 h5 = {0};
    *state_out = (pb_selection_state){0};
    PB_TRY(pb_h5_open(&h5, path));
    pb_status status = read_all(&h5, state_out);
    pb_keep_first(&status, pb_h5_close(&h5));
    if (pb_failed(&status))
        pb_selection_state_free(state_out);
    return status;
}

void pb_selection_state_free(pb_selection_state *state) {
    pb_release(&state->picked);
    pb_release(&state->radius);
    pb_release(&state->image);
    pb_attributes_free(&state->attributes);
    *state = (pb_selection_state){0};
}
