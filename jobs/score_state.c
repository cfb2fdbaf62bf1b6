/* score_state.c: saving scores and taking them up. Saved scores are files of results; beside them is kept, in memory, what was
 * scored and is not saved yet. Read "taking up" as what the next run does with what "saving" has left.
 *
 * That a saved score is the one that would be made now is told by the file's attributes (score.c says which) and by invariant 4:
 * an image's score depends on the image alone, not on the rank or batch it was in. */
#include "jobs/score_state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

static const char PREFIX[] = "scores";
static const size_t HELD_BYTES_MAX = (size_t)256 << 20; /* of maps that are not yet saved */

/* A file of them: all columns in memory, the maps on the disk. */
struct pb_saved_scores {
    pb_results results;
    char path[PB_PATH_MAX];
};

static size_t patches_of(const pb_score_state *state) { return pb_size_area(state->grid); }

/* --- taking up -------------------------------------------------------------------------------------------------- */

static void saved_close(pb_saved_scores **saved) {
    if (!*saved)
        return;
    pb_results_free(&(*saved)->results);
    pb_release(saved);
}

/* Whether it may hold images of this rank, by its name. */
static bool concerns(const pb_score_state *state, const char *path) {
    const pb_selection *mine = state->selection;
    return mine->count > 0 && pb_state_range_meets(path, mine->index[0], mine->index[mine->count - 1]);
}

/* Why the scores of a file are not those of this job; "" when they are. Images must rise: find looks for one by halving. */
static const char *misfit(const pb_score_state *state, const pb_results *results) {
    for (uint64_t i = 1; i < results->images; i++)
        if (results->archive_index[i] <= results->archive_index[i - 1])
            return "order of images";
    if (results->grid.width != state->grid.width || results->grid.height != state->grid.height)
        return "grid";
    return pb_run_misfit(&results->attributes, &state->attributes);
}

/* *saved is the caller's to close, also after a failure. */
static pb_status read_one(const pb_score_state *state, const char *path, pb_saved_scores *saved) {
    PB_TRY(pb_results_read(path, &saved->results));
    const char *why = misfit(state, &saved->results);
    if (*why)
        return pb_fail(PB_E_INPUT, "%s: made with another %s", path, why);
    return pb_path_join("", path, saved->path);
}

/* A file that cannot be used is no failure: its images are scored again. */
static pb_status open_one(void *context, const char *path) {
    pb_score_state *state = context;
    pb_saved_scores *saved;
    if (!concerns(state, path))
        return pb_ok();
    PB_TRY(pb_allocate(&saved, 1, sizeof *saved, "saved scores"));
    pb_status unusable = read_one(state, path, saved);
    if (pb_failed(&unusable)) {
        pb_log(PB_LOG_WARN, "checkpoint-ignored", "reason=\"%s\"", unusable.message);
        saved_close(&saved);
        return pb_ok();
    }
    pb_status status = pb_resize(&state->saved, state->saved_count, state->saved_count + 1, sizeof *state->saved, "saved scores");
    if (pb_failed(&status))
        saved_close(&saved);
    else
        state->saved[state->saved_count++] = saved;
    return status;
}

pb_status pb_score_state_open(pb_score_state *state) { return pb_state_each(&state->run.state, PREFIX, open_one, state); }

/* The run is the caller's, who ends it afterwards. */
void pb_score_state_free(pb_score_state *state) {
    pb_results_maps_close(&state->maps_open);
    for (size_t i = 0; i < state->saved_count; i++)
        saved_close(&state->saved[i]);
    pb_release(&state->saved);
    pb_release(&state->verdicts);
    pb_release(&state->maps);
    pb_attributes_free(&state->attributes);
    *state = (pb_score_state){0};
}

/* Where `image` is among saved scores: the file, and its place there; NULL: nowhere. With the first file that has it: where two
 * have, they have the same. */
static const pb_saved_scores *find(const pb_score_state *state, uint64_t image, uint64_t *place) {
    for (size_t f = 0; f < state->saved_count; f++) {
        const pb_results *results = &state->saved[f]->results;
        uint64_t low = 0, high = results->images;
        while (low < high) {
            uint64_t middle = low + (high - low) / 2;
            if (results->archive_index[middle] < image)
                low = middle + 1;
            else
                high = middle;
        }
        *place = low;
        if (low < results->images && results->archive_index[low] == image && results->nearest[low] != PB_RESULT_UNSCORED)
            return state->saved[f];
    }
    return NULL;
}

/* `place` is not needed here: what is found is read when its turn comes. */
void pb_score_state_divide(const pb_score_state *state, size_t *todo, size_t *todo_count, size_t *done, size_t *done_count) {
    uint64_t place;
    *todo_count = *done_count = 0;
    for (size_t i = 0; i < state->selection->count; i++)
        if (find(state, state->selection->index[i], &place))
            done[(*done_count)++] = i;
        else
            todo[(*todo_count)++] = i;
}

/* One file is open at a time: there may be thousands, and images come in order. */
static pb_status open_maps(pb_score_state *state, const pb_saved_scores *saved) {
    if (state->maps_of == saved)
        return pb_ok();
    pb_results_maps_close(&state->maps_open);
    state->maps_of = NULL;
    PB_TRY(pb_results_maps_open(saved->path, &saved->results, &state->maps_open));
    state->maps_of = saved;
    return pb_ok();
}

/* The patch is not among what is read of results (io/results_file.h, pb_results), so it is found in the map again: the first of
 * the largest, as when it was scored. */
pb_status pb_score_state_take(pb_score_state *state, size_t place, pb_verdict *verdict, float *map) {
    uint64_t image = state->selection->index[place], at;
    const pb_saved_scores *saved = find(state, image, &at);
    PB_ASSERT(saved);
    pb_status status = open_maps(state, saved);
    if (!pb_failed(&status))
        status = pb_results_maps_read(state->maps_open, at, 1, map);
    if (pb_failed(&status))
        return pb_fail(PB_E_INPUT, "%s: saved scores are damaged; remove this folder and run again: %.600s",
                       state->run.state.folder, status.message);
    *verdict = (pb_verdict){.position = state->selection->first + place, .index = image, .score = saved->results.score[at],
                            .nearest = saved->results.nearest[at]};
    memcpy(verdict->brightness, saved->results.brightness[at], sizeof verdict->brightness);
    for (size_t patch = 1; patch < patches_of(state); patch++)
        if (map[patch] > map[verdict->patch])
            verdict->patch = (uint32_t)patch;
    return pb_ok();
}

/* --- saving ----------------------------------------------------------------------------------------------------- */

/* Makes room for `more` images; doubles, so that copying costs no more than the images themselves. */
static pb_status grow(pb_score_state *state, size_t more) {
    size_t room = 2 * (state->count + more), map_bytes = patches_of(state) * sizeof(float);
    if (state->count + more <= state->room)
        return pb_ok();
    PB_TRY(pb_resize(&state->verdicts, state->count, room, sizeof *state->verdicts, "scores to save"));
    PB_TRY(pb_resize(&state->maps, state->count, room, map_bytes, "scores to save"));
    state->room = room;
    return pb_ok();
}

/* Maps are the memory here, 4 bytes a patch: 256 MiB of them are saved though it is not time yet. */
pb_status pb_score_state_keep(pb_score_state *state, const pb_verdict *verdicts, const float *maps, size_t count) {
    size_t patches = patches_of(state);
    PB_TRY(grow(state, count));
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i].nearest == PB_RESULT_UNSCORED)
            continue;
        state->verdicts[state->count] = verdicts[i];
        memcpy(state->maps + state->count * patches, maps + i * patches, patches * sizeof *maps);
        state->count++;
    }
    bool full = state->count * patches * sizeof *maps > HELD_BYTES_MAX;
    return full || pb_run_due(&state->run) ? pb_score_state_save(state) : pb_ok();
}

/* The columns of a block, one value an image, and its records. What was allocated is the caller's to release, also after a
 * failure. */
static pb_status fill_block(pb_archive *archive, const pb_verdict *verdicts, pb_result_block *block, uint64_t *index,
                            pb_record *records) {
    PB_TRY(pb_allocate(&block->score, block->count, sizeof *block->score, "a block of results"));
    PB_TRY(pb_allocate(&block->patch, block->count, sizeof *block->patch, "a block of results"));
    PB_TRY(pb_allocate(&block->nearest, block->count, sizeof *block->nearest, "a block of results"));
    PB_TRY(pb_allocate(&block->brightness, block->count, sizeof *block->brightness, "a block of results"));
    for (size_t i = 0; i < block->count; i++) {
        block->score[i] = verdicts[i].score;
        block->patch[i] = verdicts[i].patch;
        block->nearest[i] = verdicts[i].nearest;
        memcpy(block->brightness[i], verdicts[i].brightness, sizeof block->brightness[i]);
        index[i] = verdicts[i].index;
        PB_TRY(pb_archive_record(archive, index[i], &records[i]));
    }
    return pb_ok();
}

/* Verdicts are rows, results are columns; arrays of the block live no longer than this. */
pb_status pb_verdicts_write(pb_results_writer *writer, uint64_t first, pb_archive *archive, const pb_verdict *verdicts,
                            float *maps, size_t count) {
    pb_result_block block = {.count = count, .map = maps};
    uint64_t *index = NULL;
    pb_record *records = NULL;
    pb_status status = pb_allocate(&index, count, sizeof *index, "a block of results");
    pb_keep_first(&status, pb_allocate(&records, count, sizeof *records, "a block of results"));
    if (!pb_failed(&status))
        status = fill_block(archive, verdicts, &block, index, records);
    if (!pb_failed(&status))
        status = pb_results_write(writer, first, &block, index, records);
    pb_release(&block.score);
    pb_release(&block.patch);
    pb_release(&block.nearest);
    pb_release(&block.brightness);
    pb_release(&index);
    pb_release(&records);
    return status;
}

/* There is a verdict at least. No scores.csv: it is for people. */
static pb_status write_file(const pb_score_state *state) {
    char path[PB_PATH_MAX];
    pb_results_writer *writer = NULL;
    const pb_verdict *verdicts = state->verdicts;
    PB_TRY(pb_state_range_path(&state->run.state, PREFIX, verdicts[0].index, verdicts[state->count - 1].index, path));
    PB_TRY(pb_results_create(path, state->count, state->grid, &state->attributes, &writer));
    pb_status status = pb_verdicts_write(writer, 0, state->archive, verdicts, state->maps, state->count);
    if (!pb_failed(&status))
        status = pb_results_publish(&writer, NULL, NULL, 0);
    pb_results_abandon(&writer);
    return status;
}

/* How long it took is noted also when it failed, so that a slow disk is not asked again at once. */
pb_status pb_score_state_save(pb_score_state *state) {
    double begun = pb_clock_seconds();
    if (state->count == 0)
        return pb_ok();
    pb_status status = write_file(state);
    state->count = 0; /* also those that could not be saved: the next ones may be */
    pb_run_saved(&state->run, begun);
    return pb_run_tolerate(status);
}
