/* Listed points meet a chunk of centres: every canonical distance of 128 points to up to 128 centres a block (pairs.h), the
 * points on the left; what is kept of a point is the packed minimum. That a point meets a centre twice changes nothing.
 *
 * H100, 1 M points of 128 values, a whole chunk: 1 M x 128 x 128 x 2 operations / 29.7 T/s = 1.1 ms; 512 MB of rows, read once:
 * 0.15 ms. With few centres in the chunk the sums of the missing ones are made for nothing; it is then bound by neither.
 * Occupancy as in pairs.h. A block takes every so many tiles, since how many there are is only known on the device.
 *
 * A point is on the list once, so only one block writes its state, by one lane of the 16 that share it.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/pairs.h"

/* count: how many points are listed, on the device. */
typedef struct meet_arguments {
    const float *rows;
    int dim;
    const unsigned *list;
    const packed_pair *count;
    const float *centres; /* the chunk's */
    unsigned begin, centre_count;
    packed_pair *state;
    unsigned *met;
} meet_arguments;

/* A thread's sums of point number i become the packed minimum of all centres, in each of the 16 lanes that share the point. */
DEVICE packed_pair least_of(const float sums[PAIRS_EACH], unsigned begin, unsigned centre_count) {
    packed_pair least = ~(packed_pair)0;
    UNROLL for (int j = 0; j < PAIRS_EACH; j++) {
        const packed_pair packed = pack_nearest(sums[j], begin + pairs_right(j));
        least = pairs_right(j) < centre_count && packed < least ? packed : least;
    }
    for (int lanes = PAIRS_STEP / 2; lanes > 0; lanes /= 2) {
        const packed_pair other = __shfl_xor_sync(ALL_LANES, least, lanes);
        least = other < least ? other : least;
    }
    return least;
}

/* `first` is the same for all threads of a block, which therefore meet at every barrier of pairs_distances. The state that is
 * read is the one that this lane writes. */
KERNEL(cover_meet, meet_arguments, PAIRS_THREADS, 2) {
    SHARED(float, slabs);
    float sums[PAIRS_EACH][PAIRS_EACH];
    const unsigned end = a.begin + a.centre_count;
    const packed_pair count = *a.count;
    for (packed_pair first = (packed_pair)blockIdx.x * PAIRS_SIDE; first < count; first += (packed_pair)gridDim.x * PAIRS_SIDE) {
        const unsigned points = count - first < PAIRS_SIDE ? (unsigned)(count - first) : PAIRS_SIDE;
        const pairs_rows left = {a.rows, a.list + first, points}, right = {a.centres, NULL, a.centre_count};
        pairs_distances(slabs, left, right, a.dim, sums);
        for (int i = 0; i < PAIRS_EACH; i++) {
            const packed_pair least = least_of(sums[i], a.begin, a.centre_count);
            if (threadIdx.x % PAIRS_STEP == 0 && pairs_left(i) < points) {
                const unsigned point = a.list[first + pairs_left(i)];
                a.state[point] = least < a.state[point] ? least : a.state[point];
                a.met[point] = a.met[point] < end ? end : a.met[point];
            }
        }
    }
}

cudaError_t pb_cuda_cover_meet(cudaStream_t stream, int blocks, const float *rows, int dim, const uint32_t *list,
                               const pb_cuda_cover_counts *counts, size_t most, const float *centres, uint32_t begin,
                               uint32_t centre_count, uint64_t *state, uint32_t *met) {
    const size_t tiles = (most + PAIRS_SIDE - 1) / PAIRS_SIDE;
    if (most == 0 || centre_count == 0)
        return cudaSuccess;
    const meet_arguments arguments = {rows, dim, list, (const packed_pair *)&counts->count, centres + (size_t)begin * (size_t)dim,
                                      begin, centre_count, (packed_pair *)state, met};
    LAUNCH(cover_meet, tiles < (size_t)blocks ? (unsigned)tiles : (unsigned)blocks, PAIRS_THREADS, PAIRS_SHARED, stream,
           arguments);
    return cudaGetLastError();
}
