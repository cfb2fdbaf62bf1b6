/* Greedy selection among gathered candidates on the device. They are laid in rising order of their global indices, so that a
 * place stands for an index wherever a tie is decided. */
#include "gpu/cuda/cover.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 256 }; /* picks that are queued before the host looks */

/* One selection. Device pointers lie in the cover's scratch. */
typedef struct contest {
    pb_cover *cover;
    pb_cuda_contest on_device;
    uint32_t *nearest;
    float *rows;
    uint32_t *index;
    uint64_t *best;           /* [BATCH + 1] */
    uint64_t leaders[BATCH + 1]; /* what has come of them */
    pb_candidate *candidates; /* host: as they are given */
    size_t *order;            /* host: candidate of each place */
    uint32_t *host_words;     /* host: [2][count] indices and nearest centres by place */
    float *host_rows;         /* host: [count][dim] by place */
} contest;

static int by_index(const void *a, const void *b, void *candidates) {
    uint32_t x = ((const pb_candidate *)candidates)[*(const size_t *)a].index;
    uint32_t y = ((const pb_candidate *)candidates)[*(const size_t *)b].index;
    return (x > y) - (x < y);
}

/* Words and rows by place. */
static pb_status lay_rows(pb_device *device, contest *c, const float *rows, size_t count) {
    const size_t dim = (size_t)c->cover->dim;
    float *as_given;
    PB_TRY(pb_allocate(&as_given, count, dim * sizeof *as_given, "candidates"));
    pb_status status = pb_cuda_download(device, as_given, rows, count * dim * sizeof *rows);
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        const pb_candidate *candidate = &c->candidates[c->order[i]];
        PB_ASSERT(candidate->nearest < c->cover->centre_count);
        c->host_words[i] = candidate->index;
        c->host_words[count + i] = candidate->nearest;
        memcpy(c->host_rows + i * dim, as_given + c->order[i] * dim, dim * sizeof *rows);
    }
    pb_release(&as_given);
    return status;
}

/* Brings the candidates to the host and lays them in order there. Not more than a few megabytes: the caller limits them. */
static pb_status lay_out(pb_device *device, contest *c, const pb_candidate *candidates, const float *rows, size_t count) {
    const size_t dim = (size_t)c->cover->dim;
    PB_TRY(pb_allocate(&c->candidates, count, sizeof *c->candidates, "candidates"));
    PB_TRY(pb_allocate(&c->order, count, sizeof *c->order, "candidates"));
    PB_TRY(pb_allocate(&c->host_words, count, 2 * sizeof *c->host_words, "candidates"));
    PB_TRY(pb_allocate(&c->host_rows, count, dim * sizeof *c->host_rows, "candidates"));
    PB_TRY(pb_cuda_download(device, c->candidates, candidates, count * sizeof *candidates));
    for (size_t i = 0; i < count; i++)
        c->order[i] = i;
    qsort_r(c->order, count, sizeof *c->order, by_index, c->candidates);
    return lay_rows(device, c, rows, count);
}

/* Device memory, what is in it, and who leads. 8-byte values come first. */
static pb_status begin(pb_device *device, contest *c, size_t count, uint64_t floor) {
    const size_t values = count * (size_t)c->cover->dim, words = 2 * count * sizeof(uint32_t);
    const size_t bytes = (count + BATCH + 1) * sizeof(uint64_t) + values * sizeof(float) + words;
    PB_TRY(pb_cuda_room_for(device, &c->cover->scratch, bytes, "candidates"));
    uint64_t *state = c->cover->scratch.memory;
    c->best = state + count;
    c->rows = (float *)(void *)(c->best + BATCH + 1);
    c->index = (uint32_t *)(void *)(c->rows + values);
    c->nearest = c->index + count;
    c->on_device = (pb_cuda_contest){c->rows, c->index, state, count, c->cover->dim, floor};
    PB_TRY(pb_cuda_upload(device, c->rows, c->host_rows, values * sizeof(float)));
    PB_TRY(pb_cuda_upload(device, c->index, c->host_words, words));
    PB_TRY(pb_cuda_set(device, c->best, 0, sizeof *c->best));
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_contest_begin(pb_cuda_state_of(device)->stream, c->on_device, c->nearest, c->cover->centres,
                                               c->best),
                         "contest_begin"));
    return pb_cuda_download(device, c->leaders, c->best, sizeof *c->best);
}

/* The key of who leads at `step`, 0 when it is below the floor. */
static uint64_t key_at(const contest *c, size_t step) {
    const uint64_t leader = c->leaders[step];
    if (leader == 0)
        return 0;
    const uint64_t key = pb_pack_farthest(pb_packed_distance2(leader), c->host_words[pb_farthest_index(leader)]);
    return key >= c->on_device.floor ? key : 0;
}

/* Queues `steps` picks and reads who led before each and leads after the last. */
static pb_status run_batch(pb_device *device, contest *c, size_t steps) {
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    PB_TRY(pb_cuda_cover_reserve(device, c->cover, c->cover->centre_count + steps));
    PB_TRY(pb_cuda_upload(device, c->best, c->leaders, sizeof *c->best));
    PB_TRY(pb_cuda_set(device, c->best + 1, 0, steps * sizeof *c->best));
    for (size_t s = 0; s < steps; s++)
        PB_TRY(pb_cuda_check(device,
                             pb_cuda_contest_step(stream, c->on_device, (uint32_t)(c->cover->centre_count + s),
                                                  c->cover->centres, c->best + s),
                             "contest_step"));
    return pb_cuda_download(device, c->leaders, c->best, (steps + 1) * sizeof *c->best);
}

static pb_status run(pb_device *device, contest *c, size_t most, uint64_t *picked, float *distance2, size_t *made) {
    while (*made < most && key_at(c, 0) > 0) {
        const size_t steps = most - *made < BATCH ? most - *made : BATCH;
        size_t taken = 0;
        PB_TRY(run_batch(device, c, steps));
        for (uint64_t key; taken < steps && (key = key_at(c, taken)) > 0; taken++) {
            picked[*made] = pb_farthest_index(key);
            distance2[*made] = pb_packed_distance2(key);
            ++*made;
        }
        c->cover->centre_count += taken;
        c->leaders[0] = c->leaders[taken];
    }
    return pb_ok();
}

/* Bounds and nearest centres as they are now. */
static pb_status give_back(pb_device *device, const contest *c, pb_candidate *candidates, size_t count) {
    uint64_t *state;
    PB_TRY(pb_allocate(&state, count, sizeof *state, "candidates"));
    pb_status status = pb_cuda_download(device, state, c->on_device.state, count * sizeof *state);
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        c->candidates[c->order[i]].bound = pb_packed_distance2(state[i]);
        c->candidates[c->order[i]].nearest = pb_nearest_index(state[i]);
    }
    pb_release(&state);
    return pb_failed(&status) ? status : pb_cuda_upload(device, candidates, c->candidates, count * sizeof *candidates);
}

pb_status pb_cuda_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                               uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    contest c = {.cover = cover};
    *made = 0;
    *next = 0;
    PB_TRY(pb_cuda_enter(device));
    pb_status status = lay_out(device, &c, candidates, rows, count);
    if (!pb_failed(&status))
        status = begin(device, &c, count, floor);
    if (!pb_failed(&status))
        status = run(device, &c, most, picked, distance2, made);
    if (!pb_failed(&status))
        status = give_back(device, &c, candidates, count);
    if (!pb_failed(&status))
        *next = key_at(&c, 0);
    pb_release(&c.candidates);
    pb_release(&c.order);
    pb_release(&c.host_words);
    pb_release(&c.host_rows);
    return status;
}
