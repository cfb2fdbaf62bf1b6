/* Which points are still to be looked at: three launches, which leave a list in rising order on the device, so that whatever
 * works on it needs no word from the host.
 *
 * H100, 10 M points: 120 MB of states and counts of met centres read twice, 4 bytes written for each point listed: 72 us at
 * 3.35 TB/s; the scan of 39,063 counts by one block about 10 us more. 256 threads, about 24 registers: 8 blocks, all 64 warps.
 *
 * Count: how many of each block's points are wanted. Scan: where each block's part of the list begins. List: each point goes to
 * its block's beginning plus how many wanted ones are before it in the block, counted by votes of warps. So the list is in order
 * whatever the order of blocks. Both outer launches ask the same question (is_wanted), whose answer nothing changes between them.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum { LIST_THREADS = 256, SCAN_THREADS = 256 };

typedef struct list_arguments {
    pb_cuda_cover_points points;
    packed_pair floor;
    unsigned limit;
    unsigned *block_counts; /* how many of each block's points; after the scan, of all blocks before it */
    unsigned *list;
    packed_pair *most, *not_met;
} list_arguments;

/* The key of a point's bound, canonical here. */
DEVICE packed_pair key_of(const list_arguments *a, size_t point) {
    return pack_farthest(distance2_of(a->points.state[point]), a->points.first_index + (unsigned)point);
}

DEVICE bool is_wanted(const list_arguments *a, size_t point) {
    return point < a->points.n && a->points.met[point] < a->limit && key_of(a, point) >= a->floor;
}

/* The largest key is of all points, wanted or not. Threads beyond the points take part in votes and maxima with nothing. */
KERNEL(cover_count, list_arguments, LIST_THREADS, 8) {
    SHARED(packed_pair, slots);
    const size_t point = (size_t)blockIdx.x * LIST_THREADS + threadIdx.x;
    const bool wanted = is_wanted(&a, point);
    const unsigned votes = __ballot_sync(ALL_LANES, wanted);
    unsigned *totals = (unsigned *)(slots + WARP);
    block_most(point < a.points.n ? key_of(&a, point) : 0, slots, a.most);
    __syncthreads(); /* the slots have been read */
    block_most(wanted ? 0xFFFFFFFFu - a.points.met[point] : 0, slots, a.not_met);
    if (threadIdx.x % WARP == 0)
        totals[threadIdx.x / WARP] = (unsigned)__popc(votes);
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    unsigned total = 0;
    for (unsigned warp = 0; warp < LIST_THREADS / WARP; warp++)
        total += totals[warp];
    a.block_counts[blockIdx.x] = total;
}

typedef struct scan_arguments {
    unsigned *counts;
    size_t blocks;
    packed_pair *total;
} scan_arguments;

/* Each thread adds up a stretch of counts; then the sums of the stretches before it are added up in eight steps. (W. D. Hillis,
 * G. L. Steele, "Data parallel algorithms", CACM 29, 1986.) Two barriers a step: all have read before anybody writes. */
KERNEL(cover_scan, scan_arguments, SCAN_THREADS, 1) {
    SHARED(unsigned, sums);
    const size_t stretch = (a.blocks + SCAN_THREADS - 1) / SCAN_THREADS, first = threadIdx.x * stretch;
    const size_t end = first + stretch < a.blocks ? first + stretch : a.blocks;
    unsigned own = 0;
    for (size_t b = first; b < end; b++)
        own += a.counts[b];
    unsigned sum = own;
    sums[threadIdx.x] = sum;
    for (unsigned reach = 1; reach < SCAN_THREADS; reach *= 2) {
        __syncthreads();
        const unsigned before = threadIdx.x >= reach ? sums[threadIdx.x - reach] : 0;
        __syncthreads(); /* all have read */
        sum += before;
        sums[threadIdx.x] = sum;
    }
    unsigned place = sum - own;
    for (size_t b = first; b < end; b++) {
        const unsigned count = a.counts[b];
        a.counts[b] = place;
        place += count;
    }
    if (threadIdx.x == SCAN_THREADS - 1)
        *a.total = sum;
}

/* Wanted points before this one: those of earlier blocks, of earlier warps of the block, of earlier lanes. */
KERNEL(cover_list, list_arguments, LIST_THREADS, 8) {
    SHARED(unsigned, totals);
    const size_t point = (size_t)blockIdx.x * LIST_THREADS + threadIdx.x;
    const unsigned lane = threadIdx.x % WARP, own_warp = threadIdx.x / WARP;
    const bool wanted = is_wanted(&a, point);
    const unsigned votes = __ballot_sync(ALL_LANES, wanted);
    if (lane == 0)
        totals[own_warp] = (unsigned)__popc(votes);
    __syncthreads();
    if (!wanted)
        return;
    unsigned place = a.block_counts[blockIdx.x] + (unsigned)__popc(votes & ((1u << lane) - 1));
    for (unsigned warp = 0; warp < own_warp; warp++)
        place += totals[warp];
    a.list[place] = (unsigned)point;
}

size_t pb_cuda_cover_blocks(size_t n) { return (n + LIST_THREADS - 1) / LIST_THREADS; }

cudaError_t pb_cuda_cover_list(cudaStream_t stream, pb_cuda_cover_points points, uint64_t floor, uint32_t limit,
                               uint32_t *block_counts, uint32_t *list, pb_cuda_cover_counts *counts) {
    const unsigned blocks = (unsigned)pb_cuda_cover_blocks(points.n);
    cudaError_t error = cudaMemsetAsync(counts, 0, sizeof *counts, stream);
    if (error != cudaSuccess || points.n == 0)
        return error;
    const list_arguments listed = {points, floor, limit, block_counts, list,
                                   (packed_pair *)&counts->most, (packed_pair *)&counts->not_met};
    const scan_arguments scanned = {block_counts, blocks, (packed_pair *)&counts->count};
    LAUNCH(cover_count, blocks, LIST_THREADS, WARP * (sizeof(packed_pair) + sizeof(unsigned)), stream, listed);
    LAUNCH(cover_scan, 1, SCAN_THREADS, SCAN_THREADS * sizeof(unsigned), stream, scanned);
    LAUNCH(cover_list, blocks, LIST_THREADS, WARP * sizeof(unsigned), stream, listed);
    return cudaGetLastError();
}
