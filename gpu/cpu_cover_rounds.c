/* Rounds of a cover: which points are candidates, and what is asked about them.
 *
 * Threads share the work by blocks of points. What comes of a block depends on nothing outside of it, so the candidates and their
 * order are the same for any number of threads.
 *
 * A round. scan: all points whose bound reaches the floor become candidates, by one pass over the bounds (4 bytes a point).
 * refresh_blocks: each of them meets the centres that it has missed, in chunks of PB_COVER_CHUNK, and drops out after the chunk
 * that takes it below the floor. Then settle, key and raise are asked when there are too many of them to be gathered, candidates
 * and update when not (gpu/cover.h).
 *
 * The candidates are `candidates`, local indices; every step keeps them in the order in which it found them. No step waits for
 * another rank, allocates or fails: all memory is the cover's.
 */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <omp.h>
#include <string.h>

/* Candidates whose key is below the floor are candidates no longer; the others stay in order. */
static size_t drop(pb_cover *cover) {
    size_t left = 0;
    for (size_t i = 0; i < cover->candidate_count; i++)
        if (pb_cover_key_of(cover, cover->candidates[i]) >= cover->floor)
            cover->candidates[left++] = cover->candidates[i];
    return cover->candidate_count = left;
}

/* All points whose key is >= the floor, in rising order, become the candidates. Every thread looks through its share of them and
 * writes to its share of the room. */
static void scan(pb_cover *cover) {
    const int threads = pb_cover_threads(cover, cover->count);
    const size_t shares = (size_t)threads;
    const float least = pb_packed_distance2(cover->floor);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t s = 0; s < shares; s++) {
        size_t begin = cover->count * s / shares, end = cover->count * (s + 1) / shares;
        cover->left[s] = cover->kernels->cover->scan(cover, begin, end, least, cover->candidates + begin);
    }
    cover->candidate_count = 0;
    for (size_t s = 0; s < shares; s++) {
        memmove(cover->candidates + cover->candidate_count, cover->candidates + cover->count * s / shares,
                cover->left[s] * sizeof *cover->candidates);
        cover->candidate_count += cover->left[s];
    }
    drop(cover); /* bounds equal to the floor's distance, by index */
}

/* Chunks of centres there are, the last perhaps begun only. */
static size_t chunks_of(const pb_cover *cover) { return (cover->centre_count + PB_COVER_CHUNK - 1) / PB_COVER_CHUNK; }

/* The chunk of centres in which a point stopped; beyond the last one for those that are up to date. */
static size_t chunk_of(const pb_cover *cover, uint32_t point) {
    return cover->met[point] < cover->centre_count ? cover->met[point] / PB_COVER_CHUNK : chunks_of(cover);
}

/* Orders points by chunk: those of chunk q are order[heads[q - 1]] to order[heads[q] - 1], from 0 for q = 0. A counting sort in
 * two passes: the first counts chunk q at heads[q + 1] and adds up, so that heads[q] is where it begins; the second lays the
 * points down and moves heads[q] to where it ends. Points of one chunk keep their order. */
static void sort_by_chunk(const pb_cover *cover, pb_cover_work *work, const uint32_t *points, size_t count) {
    const size_t chunks = chunks_of(cover);
    uint32_t *heads = work->heads;
    memset(heads, 0, (chunks + 2) * sizeof *heads);
    for (size_t i = 0; i < count; i++)
        heads[chunk_of(cover, points[i]) + 1]++;
    for (size_t q = 0; q < chunks; q++)
        heads[q + 1] += heads[q];
    for (size_t i = 0; i < count; i++)
        work->order[heads[chunk_of(cover, points[i])]++] = points[i];
}

/* Either way for points to meet the centres of one chunk: pb_cover_kernels.advance or pb_cover_exact_advance. */
typedef size_t advance(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count, size_t begin, size_t end,
                       uint64_t floor);

/* Brings a block of points up to date as far as they stay >= floor; points becomes those that do, in a fixed order. A point
 * enters at the chunk of centres where it had stopped and leaves after the one that takes it below the floor. Points of all
 * chunks so far go through a chunk together, so that what is read of its centres serves many. The loop's last turn, q == chunks,
 * only adds the points that were up to date already. */
static size_t refresh_block(pb_cover *cover, pb_cover_work *work, uint32_t *points, size_t count) {
    advance *meet = cover->filtered ? cover->kernels->cover->advance : pb_cover_exact_advance;
    const size_t centres = cover->centre_count, chunks = chunks_of(cover);
    size_t active = 0, taken = 0;
    sort_by_chunk(cover, work, points, count);
    for (size_t q = 0; q <= chunks; q++) {
        const size_t fresh = work->heads[q] - taken, begin = q * PB_COVER_CHUNK, end = begin + PB_COVER_CHUNK;
        memcpy(work->active + active, work->order + taken, fresh * sizeof *work->order);
        taken += fresh;
        active += fresh;
        if (q < chunks)
            active = meet(cover, work, work->active, active, begin, end < centres ? end : centres, cover->floor);
    }
    memcpy(points, work->active, active * sizeof *points);
    return active;
}

/* A block is one piece of work. Blocks differ in what they cost, by how early their points drop out: hence dynamic. The pieces
 * are put together in the blocks' order. */
static void refresh_blocks(pb_cover *cover) {
    const size_t count = cover->candidate_count, blocks = pb_cover_blocks(count);
#pragma omp parallel for num_threads(pb_cover_threads(cover, count)) schedule(dynamic, 1)
    for (size_t b = 0; b < blocks; b++) {
        size_t begin = b * PB_COVER_BLOCK, size = count - begin < PB_COVER_BLOCK ? count - begin : PB_COVER_BLOCK;
        cover->left[b] = refresh_block(cover, cover->work + omp_get_thread_num(), cover->candidates + begin, size);
    }
    cover->candidate_count = 0;
    for (size_t b = 0; b < blocks; b++) {
        memmove(cover->candidates + cover->candidate_count, cover->candidates + b * PB_COVER_BLOCK,
                cover->left[b] * sizeof *cover->candidates);
        cover->candidate_count += cover->left[b];
    }
}

/* With candidates left the largest key is one of theirs, since only theirs are >= floor. Otherwise all points are looked at:
 * their keys are below the floor, and the largest of them is what the next floor is set by. */
static uint64_t largest_key(const pb_cover *cover) {
    uint64_t most = 0;
    for (size_t i = 0; i < cover->candidate_count; i++) {
        uint64_t key = pb_cover_key_of(cover, cover->candidates[i]);
        most = key > most ? key : most;
    }
    for (size_t i = 0; cover->candidate_count == 0 && i < cover->count; i++) {
        uint64_t key = pb_cover_key_of(cover, (uint32_t)i);
        most = key > most ? key : most;
    }
    return most;
}

pb_status pb_cpu_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most) {
    (void)device;
    PB_ASSERT(cover->centre_count > 0);
    cover->floor = floor;
    scan(cover);
    refresh_blocks(cover);
    *count = cover->candidate_count;
    *most = largest_key(cover);
    return pb_ok();
}

/* Afterwards bounds are m itself (cpu_cover_body.h), so keys of candidates are those of picking. */
pb_status pb_cpu_cover_settle(pb_device *device, pb_cover *cover, size_t *count) {
    (void)device;
#pragma omp parallel for num_threads(pb_cover_threads(cover, cover->candidate_count)) schedule(static)
    for (size_t i = 0; i < cover->candidate_count; i++) {
        const uint32_t point = cover->candidates[i];
        cover->bounds[point] = cover->kernels->distance2(cover->rows + point * cover->stride,
                                                         cover->centres + cover->nearest[point] * cover->stride, cover->dim);
    }
    *count = drop(cover);
    return pb_ok();
}

/* Radix selection, a byte at a time from the top: needs no memory, and ties or order cost nothing. `prefix` is what is known of
 * the key's upper bytes; a pass counts the next byte of those keys that begin so, and goes down from the largest until `position`
 * keys lie above. Eight passes over the candidates. */
pb_status pb_cpu_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key) {
    (void)device;
    uint64_t prefix = 0;
    *key = 0;
    if (position >= cover->candidate_count)
        return pb_ok();
    for (int shift = 56; shift >= 0; shift -= 8) {
        size_t histogram[256] = {0};
        for (size_t i = 0; i < cover->candidate_count; i++) {
            uint64_t each = pb_cover_key_of(cover, cover->candidates[i]);
            if (shift == 56 || each >> (shift + 8) == prefix)
                histogram[each >> shift & 255]++;
        }
        uint64_t byte = 255;
        while (histogram[byte] <= position)
            position -= histogram[byte--];
        prefix = prefix << 8 | byte;
    }
    *key = prefix;
    return pb_ok();
}

/* Bounds do not change, so nobody meets anything: candidates below the new floor drop out. */
pb_status pb_cpu_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count) {
    (void)device;
    PB_ASSERT(floor >= cover->floor);
    cover->floor = floor;
    *count = drop(cover);
    return pb_ok();
}

pb_status pb_cpu_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows) {
    (void)device;
    PB_ASSERT(cover->candidate_count == 0 || (candidates && rows));
    for (size_t i = 0; i < cover->candidate_count; i++) {
        uint32_t point = cover->candidates[i];
        candidates[i] = (pb_candidate){.index = cover->first_index + point, .nearest = cover->nearest[point],
                                       .bound = cover->bounds[point]};
        memcpy(rows + i * (size_t)cover->dim, cover->rows + point * cover->stride, (size_t)cover->dim * sizeof *rows);
    }
    return pb_ok();
}

/* Candidates have met everything that select picked, and before that everything of this cover: they are up to date. That they
 * come back in their order is asserted by their indices. */
pb_status pb_cpu_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count) {
    (void)device;
    PB_ASSERT(count == cover->candidate_count);
    for (size_t i = 0; i < count; i++) {
        uint32_t point = cover->candidates[i];
        PB_ASSERT(candidates[i].index == cover->first_index + point && candidates[i].nearest < cover->centre_count);
        cover->bounds[point] = candidates[i].bound;
        cover->nearest[point] = candidates[i].nearest;
        cover->met[point] = (uint32_t)cover->centre_count;
    }
    return pb_ok();
}
