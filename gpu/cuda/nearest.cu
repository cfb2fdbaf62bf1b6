/* Nearest points, canonical and complete: every distance of a query to a point (pairs.h), the points on the left. For searches
 * too small for a filter (search.c), and for the queries that a filter left with too many candidates.
 *
 * A block has 128 queries and every so many tiles of 128 points; a thread keeps the packed minimum of its 8 queries over its
 * points in registers, and at the end gives them to all by atomic minima, whose order changes nothing.
 *
 * H100, 32 images of 784 patches against 100,000 rows of 1,024 values: 25,088 x 100,000 x 1,024 x 2 = 5.1 T operations: 173 ms
 * at 29.7 T/s. Bytes: a slab of 16 KiB for 128 x 128 x 16 x 2 operations, 4 bytes a cycle and multiprocessor, from the second
 * cache; from memory the 410 MB of the rows a few times at most. Occupancy as in pairs.h, with 16 registers more for the minima.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/pairs.h"

/* list and listed: queries to search for, by number; only the device knows how many. */
typedef struct nearest_arguments {
    const float *points;
    size_t n;
    int dim;
    uint32_t first_index;
    const float *queries;
    size_t count;
    const unsigned *list; /* NULL: all queries */
    const packed_pair *listed;
    size_t tiles; /* of points */
    packed_pair *nearest;
} nearest_arguments;

/* Searches for up to 128 queries, which are queries `query` and on or of the list, among every `slices`-th tile. */
DEVICE void search_tiles(const nearest_arguments *a, float *slabs, size_t query, unsigned queries, size_t slice, size_t slices) {
    float sums[PAIRS_EACH][PAIRS_EACH];
    packed_pair least[PAIRS_EACH];
    const pairs_rows right = {a->queries + (a->list ? 0 : query * (size_t)a->dim), a->list ? a->list + query : NULL, queries};
    UNROLL for (int j = 0; j < PAIRS_EACH; j++)
        least[j] = ~(packed_pair)0;
    for (size_t point = slice * PAIRS_SIDE; point < a->n; point += slices * PAIRS_SIDE) {
        const unsigned points = a->n - point < PAIRS_SIDE ? (unsigned)(a->n - point) : PAIRS_SIDE;
        const pairs_rows left = {a->points + point * (size_t)a->dim, NULL, points};
        pairs_distances(slabs, left, right, a->dim, sums);
        UNROLL for (int i = 0; i < PAIRS_EACH; i++)
            UNROLL for (int j = 0; j < PAIRS_EACH; j++) {
                const packed_pair packed = pack_nearest(sums[i][j], a->first_index + (uint32_t)point + pairs_left(i));
                least[j] = pairs_left(i) < points && packed < least[j] ? packed : least[j];
            }
    }
    UNROLL for (int j = 0; j < PAIRS_EACH; j++)
        if (pairs_right(j) < queries)
            atomicMin(a->nearest + (right.which ? right.which[pairs_right(j)] : query + pairs_right(j)), least[j]);
}

/* How many blocks share the points for the same queries is decided here: how many queries are listed only the device knows. */
KERNEL(nearest, nearest_arguments, PAIRS_THREADS, 2) {
    SHARED(float, slabs);
    const size_t count = a.list ? (size_t)*a.listed : a.count, groups = (count + PAIRS_SIDE - 1) / PAIRS_SIDE;
    if (groups == 0)
        return;
    const size_t wanted = (gridDim.x + groups - 1) / groups, slices = wanted < a.tiles ? wanted : a.tiles;
    for (size_t piece = blockIdx.x; piece < groups * slices; piece += gridDim.x) {
        const size_t query = piece / slices * PAIRS_SIDE;
        const unsigned queries = count - query < PAIRS_SIDE ? (unsigned)(count - query) : PAIRS_SIDE;
        search_tiles(&a, slabs, query, queries, piece % slices, slices);
    }
}

cudaError_t pb_cuda_nearest(cudaStream_t stream, int blocks, const float *points, size_t n, int dim, uint32_t first_index,
                            const float *queries, size_t count, const uint32_t *list, const uint64_t *listed,
                            uint64_t *nearest_inout) {
    if (n == 0 || count == 0)
        return cudaSuccess;
    const size_t groups = (count + PAIRS_SIDE - 1) / PAIRS_SIDE, tiles = (n + PAIRS_SIDE - 1) / PAIRS_SIDE;
    const size_t wanted = ((size_t)blocks + groups - 1) / groups, slices = wanted < tiles ? wanted : tiles;
    const nearest_arguments arguments = {points, n, dim, first_index, queries, count, list, (const packed_pair *)listed, tiles,
                                         (packed_pair *)nearest_inout};
    LAUNCH(nearest, (unsigned)(groups * slices), PAIRS_THREADS, PAIRS_SHARED, stream, arguments);
    return cudaGetLastError();
}
