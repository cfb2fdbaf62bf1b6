/* Greedy selection among gathered candidates on the device. They are laid in rising order of their global indices, so that a
 * place stands for an index wherever a tie is decided.
 *
 * The device makes the picks, BATCH launches at a time (cover_select.cu); the host only learns who led before each and stops
 * where nobody did. Launch number s of a batch writes its pick as centre centre_count + s, for which there is room; centre_count
 * follows when the host has seen the picks.
 */
#include "gpu/cuda/cover.h"

#include "base/memory.h"

#include <stdlib.h>

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
    uint32_t *order, *words;  /* words: of no use, as pb_cuda_cover_gather gives them */
    pb_candidate *candidates; /* host: as they came, at the end as they go */
    uint32_t *host_words;     /* host: [3][count] by place: indices, nearest centres, candidates */
} contest;

/* For qsort_r: order of two places by the global indices of their candidates, which differ. */
static int by_index(const void *a, const void *b, void *candidates) {
    uint32_t x = ((const pb_candidate *)candidates)[*(const uint32_t *)a].index;
    uint32_t y = ((const pb_candidate *)candidates)[*(const uint32_t *)b].index;
    return (x > y) - (x < y);
}

/* Finds the candidates' order, in host memory: their rows stay where they are. host_words: indices and nearest centres by place,
 * then the order; as they go up. */
static pb_status find_order(pb_device *device, contest *c, const pb_candidate *candidates, size_t count) {
    PB_TRY(pb_allocate(&c->candidates, count, sizeof *c->candidates, "candidates"));
    PB_TRY(pb_allocate(&c->host_words, count, 3 * sizeof *c->host_words, "candidates"));
    PB_TRY(pb_cuda_download(device, c->candidates, candidates, count * sizeof *candidates));
    uint32_t *order = c->host_words + 2 * count;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof *order, by_index, c->candidates);
    for (size_t i = 0; i < count; i++) {
        const pb_candidate *candidate = &c->candidates[order[i]];
        PB_ASSERT(candidate->nearest < c->cover->centre_count);
        c->host_words[i] = candidate->index;
        c->host_words[count + i] = candidate->nearest;
    }
    return pb_ok();
}

/* Device memory, what is in it, and who leads. 8-byte values come first. The rows are gathered into their order by the kernel
 * that gathers candidates, with `order` as its list; what it says of state means nothing here (it reads what was there before),
 * and contest_begin writes state anew. */
static pb_status begin(pb_device *device, contest *c, const float *rows, size_t count, uint64_t floor) {
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    const size_t values = count * (size_t)c->cover->dim, words = 6 * count * sizeof(uint32_t);
    const size_t bytes = (count + BATCH + 1) * sizeof(uint64_t) + values * sizeof(float) + words;
    PB_TRY(pb_cuda_room_for(device, &c->cover->scratch, bytes, "candidates"));
    uint64_t *state = c->cover->scratch.memory;
    c->best = state + count;
    c->rows = (float *)(void *)(c->best + BATCH + 1);
    c->index = (uint32_t *)(void *)(c->rows + values);
    c->nearest = c->index + count;
    c->order = c->nearest + count;
    c->words = c->order + count;
    c->on_device = (pb_cuda_contest){c->rows, c->index, state, count, c->cover->dim, floor};
    PB_TRY(pb_cuda_upload(device, c->index, c->host_words, 3 * count * sizeof(uint32_t)));
    /* The leader, and states: they are gathered too, though nobody looks at what comes of them. */
    PB_TRY(pb_cuda_set(device, state, 0, (count + 1) * sizeof *state));
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_cover_gather(stream, c->order, count, state, 0, rows, c->cover->dim, c->words, c->rows),
                         "cover_gather"));
    PB_TRY(pb_cuda_check(device, pb_cuda_contest_begin(stream, c->on_device, c->nearest, c->cover->centres, c->best),
                         "contest_begin"));
    return pb_cuda_download(device, c->leaders, c->best, sizeof *c->best);
}

/* The key of who leads at `step`, 0 when it is below the floor. On the device leaders are packed with their place; the key has
 * the global index. Both order alike, as places rise with indices. */
static uint64_t key_at(const contest *c, size_t step) {
    const uint64_t leader = c->leaders[step];
    if (leader == 0)
        return 0;
    const uint64_t key = pb_pack_farthest(pb_packed_distance2(leader), c->host_words[pb_farthest_index(leader)]);
    return key >= c->on_device.floor ? key : 0;
}

/* Queues `steps` picks and reads who led before each and leads after the last. best[0] is who leads now; best[1 ..] must be 0
 * before, since launches take maxima into them. */
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

/* A batch is taken as far as there was a leader at or above the floor; launches after that have done nothing. The last leader
 * begins the next batch. */
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
    const uint32_t *order = c->host_words + 2 * count;
    uint64_t *state;
    PB_TRY(pb_allocate(&state, count, sizeof *state, "candidates"));
    pb_status status = pb_cuda_download(device, state, c->on_device.state, count * sizeof *state);
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        c->candidates[order[i]].bound = pb_packed_distance2(state[i]);
        c->candidates[order[i]].nearest = pb_nearest_index(state[i]);
    }
    pb_release(&state);
    return pb_failed(&status) ? status : pb_cuda_upload(device, candidates, c->candidates, count * sizeof *candidates);
}

/* Contract: gpu/cover.h. After an error *made may be less than what the device has picked; the cover is then given up. */
pb_status pb_cuda_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                               uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    contest c = {.cover = cover};
    *made = 0;
    *next = 0;
    PB_TRY(pb_cuda_enter(device));
    pb_status status = find_order(device, &c, candidates, count);
    if (!pb_failed(&status))
        status = begin(device, &c, rows, count, floor);
    if (!pb_failed(&status))
        status = run(device, &c, most, picked, distance2, made);
    if (!pb_failed(&status))
        status = give_back(device, &c, candidates, count);
    if (!pb_failed(&status))
        *next = key_at(&c, 0);
    pb_release(&c.candidates);
    pb_release(&c.host_words);
    return status;
}
