/* Selection among the candidates of a round, kept on the device: a launch a pick, and the host looks only after many. A launch
 * takes who leads from the packed maximum that the one before has left, and leaves the next; after the last pick launches find
 * nothing to do.
 *
 * H100, 8,192 candidates of 128 values: 4.2 MB, which stay in the second cache: about 1 us of reading at 5 TB/s, less than the
 * launch itself, 3 us: 300,000 picks a second. Occupancy as in step.h; 32 blocks on 132 multiprocessors.
 *
 * best[0] is only read and best[1] only written by a launch, so its blocks need not wait for each other; the stream's order does.
 * Ties go to the smallest place, which is the smallest index (cover_select.c).
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/step.h"

/* As pb_cuda_contest_begin. */
typedef struct begin_arguments {
    pb_cuda_contest c;
    packed_pair *state, *best; /* the contest's, in the type of atomic operations */
    const unsigned *nearest;
    const float *centres;
} begin_arguments;

/* Each candidate has a centre of its own, so there is no slab of one centre to share: a thread reads both rows by itself, once a
 * selection. */
KERNEL(contest_begin, begin_arguments, STEP_THREADS, 6) {
    SHARED(packed_pair, slots);
    const size_t i = (size_t)blockIdx.x * STEP_THREADS + threadIdx.x, dim = (size_t)a.c.dim;
    packed_pair packed = 0;
    if (i < a.c.count) {
        const unsigned nearest = a.nearest[i];
        const float *row = a.c.rows + i * dim, *centre = a.centres + (size_t)nearest * dim;
        float sum = 0.0f;
        for (size_t k = 0; k < dim; k++) {
            const float t = row[k] - centre[k];
            sum = fmaf(t, t, sum);
        }
        a.state[i] = pack_nearest(sum, nearest);
        packed = pack_farthest(sum, (unsigned)i);
    }
    block_most(packed, slots, a.best);
}

/* As pb_cuda_contest_step. */
typedef struct step_arguments {
    pb_cuda_contest c;
    packed_pair *state, *best;
    unsigned number;
    float *centres;
} step_arguments;

/* The leader is the same for all threads of all blocks, so all return, or none: no barrier is left waiting. The pick meets itself
 * too and falls to 0, whence its key is last. Block 0 also copies it to the centres; the others have read it from the rows. */
KERNEL(contest_step, step_arguments, STEP_THREADS, 6) {
    SHARED(packed_pair, shared);
    const packed_pair leader = a.best[0];
    const unsigned place = 0xFFFFFFFFu - (unsigned)leader;
    if (leader == 0 || pack_farthest(distance2_of(leader), a.c.index[place]) < a.c.floor)
        return;
    const step_memory memory = step_memory_of(shared);
    const size_t dim = (size_t)a.c.dim, first = (size_t)blockIdx.x * STEP_THREADS, i = first + threadIdx.x;
    const unsigned count = a.c.count - first < STEP_THREADS ? (unsigned)(a.c.count - first) : STEP_THREADS;
    const float *pick = a.c.rows + (size_t)place * dim;
    const float fresh = step_distance2(memory, a.c.rows + first * dim, count, a.c.dim, pick);
    packed_pair packed = 0;
    if (threadIdx.x < count) {
        packed_pair after = a.state[i];
        if (fresh < distance2_of(after))
            a.state[i] = after = pack_nearest(fresh, a.number);
        packed = pack_farthest(distance2_of(after), (unsigned)i);
    }
    if (blockIdx.x == 0)
        for (size_t k = threadIdx.x; k < dim; k += STEP_THREADS)
            a.centres[(size_t)a.number * dim + k] = pick[k];
    block_most(packed, memory.slots, a.best + 1);
}

static unsigned contest_blocks(size_t count) { return (unsigned)((count + STEP_THREADS - 1) / STEP_THREADS); }

cudaError_t pb_cuda_contest_begin(cudaStream_t stream, pb_cuda_contest contest, const uint32_t *nearest, const float *centres,
                                  uint64_t *best) {
    if (contest.count == 0)
        return cudaSuccess;
    const begin_arguments arguments = {contest, (packed_pair *)contest.state, (packed_pair *)best, nearest, centres};
    LAUNCH(contest_begin, contest_blocks(contest.count), STEP_THREADS, STEP_SHARED, stream, arguments);
    return cudaGetLastError();
}

cudaError_t pb_cuda_contest_step(cudaStream_t stream, pb_cuda_contest contest, uint32_t number, float *centres, uint64_t *best) {
    if (contest.count == 0)
        return cudaSuccess;
    const step_arguments arguments = {contest, (packed_pair *)contest.state, (packed_pair *)best, number, centres};
    LAUNCH(contest_step, contest_blocks(contest.count), STEP_THREADS, STEP_SHARED, stream, arguments);
    return cudaGetLastError();
}
