/* The candidates of a search's filter, measured: a thread for each place of a query's list. Queries whose list was too short are
 * listed themselves, for nearest.cu.
 *
 * Most places are empty. What was listed before a query's last bound was known could be left out by comparing once more; it is
 * measured, since lists are short: where a sample of an eighth gave the first bound, the mean is 7 and the tiles that improve
 * it. H100, 25,088 queries, 64 places, 10 candidates of 1,024 values each: 6 MB of lists, 1 GB of rows, 32 bytes at a time: 0.31
 * ms at 3.35 TB/s. A sum of 1,024 values in order takes about 10 us, and those of a query are made side by side. 256 threads, 30
 * registers: 8 blocks a multiprocessor, all 64 warps.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

/* All as in kernels.h; counts may be above what lists hold. */
typedef struct decide_arguments {
    const float *points;
    int dim;
    unsigned first_index;
    const float *queries;
    size_t count;
    const packed_pair *counts;
    const unsigned *lists;
    packed_pair *nearest;
    unsigned *beyond;
    packed_pair *beyond_count;
} decide_arguments;

enum { DECIDE_THREADS = 256 };

KERNEL(nearest_decide, decide_arguments, DECIDE_THREADS, 8) {
    const size_t at = (size_t)blockIdx.x * DECIDE_THREADS + threadIdx.x, query = at / PB_CUDA_FILTER_ROOM;
    const unsigned place = (unsigned)(at % PB_CUDA_FILTER_ROOM);
    if (query >= a.count || place >= a.counts[query])
        return;
    if (a.counts[query] > PB_CUDA_FILTER_ROOM) {
        if (place == 0)
            a.beyond[atomicAdd(a.beyond_count, 1)] = (unsigned)query;
        return;
    }
    const unsigned point = a.lists[at];
    const float *x = a.points + (size_t)point * (size_t)a.dim, *c = a.queries + query * (size_t)a.dim;
    float sum = 0.0f;
    for (int k = 0; k < a.dim; k++) {
        const float t = x[k] - c[k];
        sum = fmaf(t, t, sum);
    }
    atomicMin(a.nearest + query, pack_nearest(sum, a.first_index + point));
}

cudaError_t pb_cuda_nearest_decide(cudaStream_t stream, const float *points, int dim, uint32_t first_index, const float *queries,
                                   size_t count, pb_cuda_candidates candidates, uint64_t *nearest) {
    if (count == 0)
        return cudaSuccess;
    const decide_arguments arguments = {
        points, dim, first_index, queries, count, (const packed_pair *)candidates.counts, candidates.lists,
        (packed_pair *)nearest, candidates.beyond, (packed_pair *)candidates.beyond_count};
    LAUNCH(nearest_decide, (unsigned)((count * PB_CUDA_FILTER_ROOM + DECIDE_THREADS - 1) / DECIDE_THREADS), DECIDE_THREADS, 0,
           stream, arguments);
    return cudaGetLastError();
}
