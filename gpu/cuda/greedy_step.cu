/* One step of textbook greedy selection: canonical distance^2 to the new centre, minimum, packed maximum (step.h).
 *
 * Bound by memory: H100, 1 M points of 128 values: 512 MB read, distances 4 MB read and written: 156 us at 3.35 TB/s. Arithmetic:
 * 1 M x 128 x 2 operations / 29.7 T/s = 9 us. The maximum costs one atomic operation a block of 256 points.
 *
 * A distance falls only where the new one is less, so ties keep what there was; the packed maximum has the smallest index of the
 * farthest, in whatever order blocks finish.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/step.h"

/* best: one place, which takes the maximum of all blocks. */
typedef struct greedy_step_arguments {
    const float *points;
    size_t n;
    int dim;
    unsigned first_index;
    const float *centre;
    float *distance2;
    packed_pair *best;
} greedy_step_arguments;

KERNEL(greedy_step, greedy_step_arguments, STEP_THREADS, 6) {
    SHARED(packed_pair, shared);
    const step_memory memory = step_memory_of(shared);
    const size_t first = (size_t)blockIdx.x * STEP_THREADS, point = first + threadIdx.x;
    const unsigned count = a.n - first < STEP_THREADS ? (unsigned)(a.n - first) : STEP_THREADS;
    const float fresh = step_distance2(memory, a.points + first * (size_t)a.dim, count, a.dim, a.centre);
    packed_pair packed = 0;
    if (threadIdx.x < count) {
        const float before = a.distance2[point], after = fresh < before ? fresh : before;
        a.distance2[point] = after;
        packed = pack_farthest(after, a.first_index + (unsigned)point);
    }
    block_most(packed, memory.slots, a.best);
}

cudaError_t pb_cuda_greedy_step(cudaStream_t stream, const float *points, size_t n, int dim, uint32_t first_index,
                                const float *centre, float *distance2, uint64_t *best) {
    if (n == 0)
        return cudaSuccess;
    const greedy_step_arguments arguments = {points, n, dim, first_index, centre, distance2, (packed_pair *)best};
    LAUNCH(greedy_step, (unsigned)((n + STEP_THREADS - 1) / STEP_THREADS), STEP_THREADS, STEP_SHARED, stream, arguments);
    return cudaGetLastError();
}
