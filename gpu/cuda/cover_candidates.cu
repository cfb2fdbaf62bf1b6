/* What is asked about the points of a list, and what comes back.
 *
 * H100, 8,192 candidates of 128 values: gather moves 8.4 MB, 3 us at 3.35 TB/s; keys 98 KB and restore 197 KB: the launches,
 * about 3 us each, are all. 256 threads, about 20 registers: 8 blocks a multiprocessor, all 64 warps.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum { CANDIDATES_THREADS = 256, CANDIDATES_BLOCKS = 4096, WORDS = 3 };

/* words: [count][WORDS], a pb_candidate each. */
typedef struct gather_arguments {
    const unsigned *list;
    size_t count;
    const packed_pair *state;
    unsigned first_index;
    const float *rows;
    int dim;
    unsigned *words;
    float *gathered;
} gather_arguments;

/* A thread moves every so many values, neighbours along a row; whoever has a row's first value also writes the three words. */
KERNEL(cover_gather, gather_arguments, CANDIDATES_THREADS, 8) {
    const size_t dim = (size_t)a.dim, values = a.count * dim, stride = (size_t)gridDim.x * CANDIDATES_THREADS;
    for (size_t at = (size_t)blockIdx.x * CANDIDATES_THREADS + threadIdx.x; at < values; at += stride) {
        const size_t i = at / dim, k = at % dim;
        const unsigned point = a.list[i];
        a.gathered[at] = a.rows[(size_t)point * dim + k];
        if (k > 0)
            continue;
        a.words[i * WORDS] = a.first_index + point;
        a.words[i * WORDS + 1] = (unsigned)a.state[point];
        a.words[i * WORDS + 2] = (unsigned)(a.state[point] >> 32);
    }
}

typedef struct keys_arguments {
    const unsigned *list;
    size_t count;
    const packed_pair *state;
    unsigned first_index;
    packed_pair least, *above;
} keys_arguments;

/* Votes of a warp are one atomic addition; threads beyond the list vote no, so that warps are whole. */
KERNEL(cover_keys, keys_arguments, CANDIDATES_THREADS, 8) {
    const size_t i = (size_t)blockIdx.x * CANDIDATES_THREADS + threadIdx.x;
    bool above = false;
    if (i < a.count) {
        const unsigned point = a.list[i];
        above = pack_farthest(distance2_of(a.state[point]), a.first_index + point) >= a.least;
    }
    const unsigned votes = __ballot_sync(ALL_LANES, above);
    if (threadIdx.x % WARP == 0 && votes)
        atomicAdd(a.above, (packed_pair)__popc(votes));
}

typedef struct restore_arguments {
    const unsigned *list;
    size_t count;
    const unsigned *words;
    unsigned met_now;
    packed_pair *state;
    unsigned *met;
} restore_arguments;

/* A thread takes a point; no point is on the list twice. */
KERNEL(cover_restore, restore_arguments, CANDIDATES_THREADS, 8) {
    const size_t i = (size_t)blockIdx.x * CANDIDATES_THREADS + threadIdx.x;
    if (i >= a.count)
        return;
    const unsigned point = a.list[i];
    a.state[point] = (packed_pair)a.words[i * WORDS + 2] << 32 | a.words[i * WORDS + 1];
    a.met[point] = a.met_now;
}

static unsigned blocks_for(size_t items) { return (unsigned)((items + CANDIDATES_THREADS - 1) / CANDIDATES_THREADS); }

cudaError_t pb_cuda_cover_gather(cudaStream_t stream, const uint32_t *list, size_t count, const uint64_t *state,
                                 uint32_t first_index, const float *rows, int dim, uint32_t *words, float *gathered) {
    const size_t wanted = (count * (size_t)dim + CANDIDATES_THREADS - 1) / CANDIDATES_THREADS, most = CANDIDATES_BLOCKS;
    if (count == 0)
        return cudaSuccess;
    const gather_arguments arguments = {list, count, (const packed_pair *)state, first_index, rows, dim, words, gathered};
    LAUNCH(cover_gather, (unsigned)(wanted < most ? wanted : most), CANDIDATES_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}

cudaError_t pb_cuda_cover_keys(cudaStream_t stream, const uint32_t *list, size_t count, const uint64_t *state,
                               uint32_t first_index, uint64_t least, uint64_t *above) {
    if (count == 0)
        return cudaSuccess;
    const keys_arguments arguments = {list, count, (const packed_pair *)state, first_index, least, (packed_pair *)above};
    LAUNCH(cover_keys, blocks_for(count), CANDIDATES_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}

cudaError_t pb_cuda_cover_restore(cudaStream_t stream, const uint32_t *list, size_t count, const uint32_t *words,
                                 uint32_t met_now, uint64_t *state, uint32_t *met) {
    if (count == 0)
        return cudaSuccess;
    const restore_arguments arguments = {list, count, words, met_now, (packed_pair *)state, met};
    LAUNCH(cover_restore, blocks_for(count), CANDIDATES_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
