/* A cover of the "cuda" device: its memory, its rounds, its candidates.
 *
 * A round (refresh): list the points that are at or above the floor and have missed centres; then chunk by chunk list again those
 * that still are and let them meet the chunk; at last list the candidates. Lists are made and read on the device, so the host
 * waits twice a round, for counts, however many chunks there are. Bounds are canonical throughout, so settle has nothing to do.
 */
#include "gpu/cuda/cover.h"

#include "base/memory.h"

#include <stddef.h>

/* The kernels see a candidate as three words. */
_Static_assert(sizeof(pb_candidate) == 12 && offsetof(pb_candidate, index) == 0 && offsetof(pb_candidate, nearest) == 4 &&
                   offsetof(pb_candidate, bound) == 8,
               "a candidate is index, nearest, bound");

/* All device memory but that of centres and of a selection's candidates, which grow. */
static pb_status allocate(const pb_device *device, pb_cover *cover) {
    const size_t rows = cover->capacity, row = (size_t)cover->dim * sizeof(float);
    PB_TRY(pb_cuda_allocate(device, &cover->rows, rows, row, "points"));
    PB_TRY(pb_cuda_allocate(device, &cover->state, rows, sizeof *cover->state, "bounds of points"));
    PB_TRY(pb_cuda_allocate(device, &cover->met, rows, sizeof *cover->met, "centres met by points"));
    PB_TRY(pb_cuda_allocate(device, &cover->list, rows, sizeof *cover->list, "candidates"));
    PB_TRY(pb_cuda_allocate(device, &cover->block_counts, pb_cuda_cover_blocks(rows), sizeof *cover->block_counts,
                            "blocks of points"));
    return pb_cuda_allocate(device, &cover->counts, 1, sizeof *cover->counts, "counts of points");
}

pb_status pb_cuda_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover_out) {
    *cover_out = NULL;
    pb_cover *cover;
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_allocate(&cover, 1, sizeof *cover, "a cover"));
    *cover = (pb_cover){.dim = dim, .first_index = first_index, .capacity = capacity};
    pb_status status = allocate(device, cover);
    if (pb_failed(&status)) {
        pb_cuda_cover_free(device, cover);
        return status;
    }
    *cover_out = cover;
    return status;
}

/* Takes a cover at any stage of being made. */
void pb_cuda_cover_free(pb_device *device, pb_cover *cover) {
    (void)device;
    if (!cover)
        return;
    pb_cuda_release(&cover->rows);
    pb_cuda_release(&cover->state);
    pb_cuda_release(&cover->met);
    pb_cuda_release(&cover->list);
    pb_cuda_release(&cover->block_counts);
    pb_cuda_release(&cover->counts);
    pb_cuda_release(&cover->centres);
    pb_cuda_release(&cover->scratch.memory);
    pb_release(&cover);
}

/* Contract: gpu/cover.h. Waits, since the host is told what is not finite. */
pb_status pb_cuda_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                              int64_t *not_finite) {
    PB_ASSERT(cover->centre_count == 0);
    PB_ASSERT(count <= cover->capacity && first <= cover->capacity - count);
    uint64_t *least = &cover->counts->count, found; /* its place on the device, free until there are centres */
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_set(device, least, 0xFF, sizeof found));
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_points_write(pb_cuda_state_of(device)->stream, rows, count, cover->dim, first,
                                              cover->rows + first * (size_t)cover->dim, NULL, least),
                         "cover_write"));
    PB_TRY(pb_cuda_download(device, &found, least, sizeof found));
    cover->count = first + count > cover->count ? first + count : cover->count;
    *not_finite = found == UINT64_MAX ? -1 : (int64_t)found;
    return pb_ok();
}

void pb_cuda_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index) {
    (void)device;
    PB_ASSERT(cover->centre_count == 0 && cover->capacity < UINT32_MAX - first_index);
    cover->first_index = first_index;
}

pb_status pb_cuda_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                             float *host_rows) {
    const size_t row = (size_t)cover->dim;
    PB_ASSERT(first <= cover->count && count <= cover->count - first);
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_download(device, host_rows, cover->rows + first * row, count * row * sizeof(float));
}

/* ---- centres ---- */

/* Doubled when it is used up, so that a centre costs the same however many there are. */
pb_status pb_cuda_cover_reserve(const pb_device *device, pb_cover *cover, size_t count) {
    const size_t row = (size_t)cover->dim * sizeof(float);
    if (count <= cover->centre_room)
        return pb_ok();
    size_t room = 2 * cover->centre_room > count ? 2 * cover->centre_room : count;
    float *larger;
    PB_TRY(pb_cuda_allocate(device, &larger, room, row, "centres"));
    pb_status status = cover->centre_count == 0 ? pb_ok()
                                                : pb_cuda_move(device, larger, cover->centres, cover->centre_count * row);
    if (pb_failed(&status)) {
        pb_cuda_release(&larger);
        return status;
    }
    pb_cuda_release(&cover->centres);
    cover->centres = larger;
    cover->centre_room = room;
    return pb_ok();
}

/* Lists points with key >= floor and met < limit. */
static pb_status list(pb_device *device, pb_cover *cover, uint64_t floor, size_t limit) {
    const pb_cuda_cover_points points = {cover->state, cover->met, cover->count, cover->first_index};
    return pb_cuda_check(device,
                         pb_cuda_cover_list(pb_cuda_state_of(device)->stream, points, floor, (uint32_t)limit,
                                            cover->block_counts, cover->list, cover->counts),
                         "cover_list");
}

/* Listed points meet centres begin .. end - 1. */
static pb_status meet(pb_device *device, pb_cover *cover, size_t begin, size_t end) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    return pb_cuda_check(device,
                         pb_cuda_cover_meet(state->stream, state->blocks, cover->rows, cover->dim, cover->list, cover->counts,
                                            cover->count, cover->centres, (uint32_t)begin, (uint32_t)(end - begin), cover->state,
                                            cover->met),
                         "cover_meet");
}

/* All points meet the first centre. Before, they are infinitely far from all: state of all ones is PB_NEAREST_NONE. Floor 0 and
 * limit 1 list every point, as none has met centre 0. */
static pb_status start(pb_device *device, pb_cover *cover) {
    PB_TRY(pb_cuda_set(device, cover->state, 0xFF, cover->count * sizeof *cover->state));
    PB_TRY(pb_cuda_set(device, cover->met, 0, cover->count * sizeof *cover->met));
    PB_TRY(list(device, cover, 0, 1));
    return meet(device, cover, 0, 1);
}

/* The centres after the first one are met when refresh asks for it. Uploading waits, so `centres` is the caller's again on
 * return. */
pb_status pb_cuda_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count) {
    const size_t dim = (size_t)cover->dim;
    if (count == 0)
        return pb_ok();
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_cover_reserve(device, cover, cover->centre_count + count));
    PB_ASSERT(cover->centre_count + count < UINT32_MAX);
    PB_TRY(pb_cuda_upload(device, cover->centres + cover->centre_count * dim, centres, count * dim * sizeof *centres));
    const bool first = cover->centre_count == 0;
    cover->centre_count += count;
    return first ? start(device, cover) : pb_ok();
}

/* ---- rounds ---- */

static pb_status read_counts(pb_device *device, const pb_cover *cover, pb_cuda_cover_counts *counts) {
    return pb_cuda_download(device, counts, cover->counts, sizeof *counts);
}

/* The candidates: all points with key >= floor. */
static pb_status list_candidates(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most) {
    pb_cuda_cover_counts counts;
    PB_TRY(list(device, cover, floor, UINT32_MAX));
    PB_TRY(read_counts(device, cover, &counts));
    cover->floor = floor;
    *count = cover->candidate_count = counts.count;
    *most = counts.most;
    return pb_ok();
}

/* Points that stay >= floor meet what they have missed, a chunk of centres at a time, from the first chunk that any of them has
 * not met in full. Nobody waits for the host in between. A point that has met a part of a chunk meets all of it: a minimum taken
 * twice is the same. stale.not_met is UINT32_MAX less the least `met` of those listed. */
static pb_status catch_up(pb_device *device, pb_cover *cover, uint64_t floor) {
    pb_cuda_cover_counts stale;
    PB_TRY(list(device, cover, floor, cover->centre_count));
    PB_TRY(read_counts(device, cover, &stale));
    if (stale.count == 0)
        return pb_ok();
    for (size_t begin = (UINT32_MAX - stale.not_met) / PB_CUDA_CHUNK * PB_CUDA_CHUNK; begin < cover->centre_count;
         begin += PB_CUDA_CHUNK) {
        const size_t left = cover->centre_count - begin, end = begin + (left < PB_CUDA_CHUNK ? left : PB_CUDA_CHUNK);
        PB_TRY(list(device, cover, floor, end));
        PB_TRY(meet(device, cover, begin, end));
    }
    return pb_ok();
}

pb_status pb_cuda_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most) {
    PB_ASSERT(cover->centre_count > 0);
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(catch_up(device, cover, floor));
    return list_candidates(device, cover, floor, count, most);
}

/* Bounds are canonical already. */
pb_status pb_cuda_cover_settle(pb_device *device, pb_cover *cover, size_t *count) {
    (void)device;
    *count = cover->candidate_count;
    return pb_ok();
}

/* Candidates with key >= least; `counts` has a place for the number, which nobody else uses between two lists. */
static pb_status count_above(pb_device *device, pb_cover *cover, uint64_t least, uint64_t *above) {
    uint64_t *there = &cover->counts->count;
    PB_TRY(pb_cuda_set(device, there, 0, sizeof *there));
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_cover_keys(pb_cuda_state_of(device)->stream, cover->list, cover->candidate_count, cover->state,
                                            cover->first_index, least, there),
                         "cover_keys"));
    return pb_cuda_download(device, above, there, sizeof *above);
}

/* The largest key that more than `position` candidates reach, bit by bit from the top: 64 small launches, which is seldom
 * asked. A bit stays if with it more than `position` keys are at least that large: the key at `position` in falling order. */
pb_status pb_cuda_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key) {
    uint64_t found = 0;
    *key = 0;
    if (position >= cover->candidate_count)
        return pb_ok();
    PB_TRY(pb_cuda_enter(device));
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t above;
        PB_TRY(count_above(device, cover, found | (uint64_t)1 << bit, &above));
        if (above > position)
            found |= (uint64_t)1 << bit;
    }
    *key = found;
    return pb_ok();
}

/* Whoever reaches the new floor has reached the old one and is up to date: the same as a list of those among the candidates. */
pb_status pb_cuda_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count) {
    uint64_t most;
    PB_ASSERT(floor >= cover->floor);
    PB_TRY(pb_cuda_enter(device));
    return list_candidates(device, cover, floor, count, &most);
}

/* ---- candidates ---- */

/* Queued. The order is that of the list: rising indices. */
pb_status pb_cuda_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows) {
    const size_t count = cover->candidate_count;
    PB_ASSERT(count == 0 || (candidates && rows));
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device,
                         pb_cuda_cover_gather(pb_cuda_state_of(device)->stream, cover->list, count, cover->state,
                                              cover->first_index, cover->rows, cover->dim, (uint32_t *)candidates, rows),
                         "cover_gather");
}

/* Candidates have met all centres there are now. Their order is that of pb_cuda_cover_candidates; indices are not looked at. */
pb_status pb_cuda_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count) {
    PB_ASSERT(count == cover->candidate_count);
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device,
                         pb_cuda_cover_restore(pb_cuda_state_of(device)->stream, cover->list, count, (const uint32_t *)candidates,
                                               (uint32_t)cover->centre_count, cover->state, cover->met),
                         "cover_restore");
}
