/* The filter of a search: of most points tensor cores can tell that they are not the nearest of a query. What they cannot tell,
 * nearest_decide.cu measures canonically, so that the answer has the bits of nearest.cu.
 *
 * Why nothing is lost. Let x and c be a query and a point, x' and c' what nearest_halves.cu made of them, r their radii
 * together, N = |x'|^2 + |c'|^2, e = (dim + 32) 2^-22. The tensor cores multiply exactly; of the 17 addends of a product of 16
 * each may lose 2^-23 of the largest, and the sum as much, twice for hardware that takes 8 at a time: 20 x 2^-23 of the sum of
 * magnitudes, which is at most |x'||c'| <= N / 2 over all dimensions; dim / 16 + 2 times at most, and doubled as 2 x'c' is:
 * (dim + 32) 1.25 x 2^-23 N. Norms have (dim / 32 + 6) 2^-24 N, and the three sums of numbers below 4 N that follow 2^-22 N
 * each: together below e N. So for the computed distance^2 D, and the true d^2 between x and c:
 *   sqrt(D - e N) - r  <=  d  <=  sqrt(D + e N) + r                     by the triangle inequality
 * The canonical distance^2 is d^2 but for dim + 4 roundings of 2^-24, s = (dim + 32) 2^-23 with the roundings of these lines
 * themselves, and 2^-100 for what underflows. `most`: an upper bound, so found, of the least canonical distance^2 that a query
 * has; what is above it cannot be the nearest, what equals it can: its index decides. Radii and norms of points are the largest
 * of the tile's, so that a tile has one bound for each query, and a pair costs a product, a multiply-add and a comparison.
 *
 * A block has 128 queries and every so many tiles of 128 points, four warps of 64 x 64 sums, 128 of a thread's registers; slabs
 * of 32 dimensions in two buffers: the next one is on its way from the second cache while one is multiplied. A query's bound is
 * exchanged among the blocks by atomic minima. The first launch looks at every eighth tile only to find bounds: without them,
 * each of many blocks would begin by listing what it sees first. More than PB_CUDA_FILTER_ROOM candidates: the query is counted
 * beyond, and searched as if there were no filter.
 *
 * H100, 25,088 queries of 1,024 values against 100,000 points: 2.57 T multiply-adds, an eighth more for the bounds. mma.sync,
 * which is what all architectures have, reaches about 0.62 of the 989 TFLOP/s of wgmma: 9.4 ms. Shared memory: 16 KB read and 8
 * KB written for 16 dimensions of a tile, 192 cycles beside 206 of the tensor cores. Second cache: 512 bytes for 128 x 128
 * multiply-adds: 90 GB, 16 ms at 5.5 TB/s, the bound; with tiles of 256 queries it would be 12 ms. From memory 0.2 GB a few
 * times. A100: 312 TFLOP/s, 18.5 ms; 20 ms at 4.5 TB/s. wgmma with tensor memory copies to clusters would approach 5.9 ms on an
 * H100; it has no counterpart on other architectures, nor on the emulator, and what cannot be tested is not here (decision
 * 0027). 41 KiB of shared memory and at most 255 registers: 2 blocks, 8 of 64 warps.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

enum {
    FILTER_THREADS = 128,
    FILTER_SIDE = PB_CUDA_FILTER_SIDE,
    FILTER_WARP_SIDE = FILTER_SIDE / 2,
    FILTER_LEFT = FILTER_WARP_SIDE / 16, /* products of a warp along the points, and along the queries */
    FILTER_RIGHT = FILTER_WARP_SIDE / 8,
    FILTER_DEPTH = PB_CUDA_FILTER_DEPTH,     /* halves of a row in a slab */
    FILTER_PIECES = FILTER_DEPTH / 8,        /* of 16 bytes, that is */
    FILTER_EACH = FILTER_SIDE * FILTER_PIECES / FILTER_THREADS, /* of them, for a thread, of either side */
    FILTER_PITCH = FILTER_DEPTH / 2 + 4,     /* words from row to row: 8 rows x 4 words lie at 32 different banks */
    FILTER_SLAB = FILTER_SIDE * FILTER_PITCH /* words of one side */
};

/* One launch. With lists NULL only `most` is lowered. */
typedef struct filter_arguments {
    pb_cuda_halves points, queries;
    size_t n, count;
    unsigned pieces, slices, step; /* 16 bytes a row; blocks for the same queries; every so many tiles only */
    unsigned first;                /* place of the first point */
    float margin, slack;           /* e and s */
    const packed_pair *nearest;
    packed_pair *most, *counts;
    unsigned *lists; /* NULL: bounds only */
} filter_arguments;

/* Shared memory, divided; bound is what a pair's sum must not be above. */
typedef struct filter_memory {
    unsigned *slabs;                              /* [2 buffers][2 sides][FILTER_SLAB] */
    float *least, *bound, *scale, *norm2, *radius; /* least: [2][FILTER_SIDE], the others [FILTER_SIDE], of queries */
} filter_memory;

#define FILTER_SHARED (4 * FILTER_SLAB * sizeof(unsigned) + 6 * FILTER_SIDE * sizeof(float))

DEVICE filter_memory filter_memory_of(unsigned *shared) {
    filter_memory memory;
    memory.slabs = shared;
    memory.least = (float *)(shared + 4 * FILTER_SLAB);
    memory.bound = memory.least + 2 * FILTER_SIDE;
    memory.scale = memory.bound + FILTER_SIDE;
    memory.norm2 = memory.scale + FILTER_SIDE;
    memory.radius = memory.norm2 + FILTER_SIDE;
    return memory;
}

/* Which of the tile's points and queries a thread has sums of: those of fragment i or j, in place `part` of it. */
DEVICE unsigned filter_left(int i, int part) {
    return threadIdx.x / WARP / 2 * FILTER_WARP_SIDE + (unsigned)i * 16 + threadIdx.x % WARP / 4 + (unsigned)part / 2 * 8;
}
DEVICE unsigned filter_right(int j, int part) {
    return threadIdx.x / WARP % 2 * FILTER_WARP_SIDE + (unsigned)j * 8 + threadIdx.x % 4 * 2 + (unsigned)part % 2;
}

/* Brings this thread's pieces of slab number `slab` of `count` rows to registers; rows beyond are 0. Into registers, so that the
 * reads are on their way while the slab before is multiplied. */
DEVICE void fetch(uint4 pieces[FILTER_EACH], const unsigned short *rows, unsigned count, unsigned row_pieces, unsigned slab) {
    UNROLL for (int i = 0; i < FILTER_EACH; i++) {
        const unsigned at = threadIdx.x + (unsigned)i * FILTER_THREADS, row = at / FILTER_PIECES;
        const uint4 nothing = {0, 0, 0, 0};
        pieces[i] = nothing;
        if (row < count)
            pieces[i] = ((const uint4 *)rows)[(size_t)row * row_pieces + slab * FILTER_PIECES + at % FILTER_PIECES];
    }
}

/* From registers to a slab. */
DEVICE void lay(unsigned *slab, const uint4 pieces[FILTER_EACH]) {
    UNROLL for (int i = 0; i < FILTER_EACH; i++) {
        const unsigned at = threadIdx.x + (unsigned)i * FILTER_THREADS;
        *(uint4 *)(slab + at / FILTER_PIECES * FILTER_PITCH + at % FILTER_PIECES * 4) = pieces[i];
    }
}

/* Adds the products of a slab. Fragments in the order that warp_multiply wants: word w of a row has columns 2 w and 2 w + 1. */
DEVICE void multiply(const unsigned *left, const unsigned *right, float sums[FILTER_LEFT][FILTER_RIGHT][4]) {
    const unsigned in_row = threadIdx.x % 4, in_column = threadIdx.x % WARP / 4;
    UNROLL for (unsigned word = in_row; word < FILTER_DEPTH / 2; word += 8) {
        unsigned rows[FILTER_LEFT][4];
        UNROLL for (int i = 0; i < FILTER_LEFT; i++) {
            const unsigned *row = left + filter_left(i, 0) * FILTER_PITCH + word;
            rows[i][0] = row[0];
            rows[i][1] = row[8 * FILTER_PITCH];
            rows[i][2] = row[4];
            rows[i][3] = row[8 * FILTER_PITCH + 4];
        }
        UNROLL for (int j = 0; j < FILTER_RIGHT; j++) {
            const unsigned *column = right + (filter_right(j, 0) - in_row * 2 + in_column) * FILTER_PITCH + word;
            const unsigned columns[2] = {column[0], column[4]};
            UNROLL for (int i = 0; i < FILTER_LEFT; i++)
                warp_multiply(sums[i][j], rows[i], columns);
        }
    }
}

/* Products of `points` points and `queries` queries over all dimensions. Two buffers and one barrier a slab: a thread that lays
 * slab s + 2 into the buffer of slab s has passed the barrier of slab s + 1, which all reach only after they have multiplied slab
 * s. Between two tiles the barriers of the caller do the same. */
DEVICE void products(unsigned *slabs, const unsigned short *left, unsigned points, const unsigned short *right, unsigned queries,
                     unsigned row_pieces, float sums[FILTER_LEFT][FILTER_RIGHT][4]) {
    uint4 left_pieces[FILTER_EACH], right_pieces[FILTER_EACH];
    UNROLL for (int i = 0; i < FILTER_LEFT; i++)
        UNROLL for (int j = 0; j < FILTER_RIGHT; j++)
            UNROLL for (int part = 0; part < 4; part++)
                sums[i][j][part] = 0.0f;
    const unsigned slab_count = row_pieces / FILTER_PIECES;
    fetch(left_pieces, left, points, row_pieces, 0);
    fetch(right_pieces, right, queries, row_pieces, 0);
    for (unsigned s = 0; s < slab_count; s++) {
        unsigned *slab = slabs + s % 2 * 2 * FILTER_SLAB;
        lay(slab, left_pieces); /* whoever still reads it is a barrier behind */
        lay(slab + FILTER_SLAB, right_pieces);
        if (s + 1 < slab_count) {
            fetch(left_pieces, left, points, row_pieces, s + 1);
            fetch(right_pieces, right, queries, row_pieces, s + 1);
        }
        __syncthreads();
        multiply(slab, slab + FILTER_SLAB, sums);
    }
}

/* Makes of the sums distances^2 less the query's norm, and of those of each query the least in the half of the tile that the
 * warp has. |c'|^2 - 2 x'c' of the point c and the query x, scales multiplied in. Lanes that differ by 4, 8 and 16 have the same
 * queries and other points. */
DEVICE void compare(filter_memory memory, const pb_cuda_about *about, unsigned points,
                    float sums[FILTER_LEFT][FILTER_RIGHT][4]) {
    float least[FILTER_RIGHT][2];
    UNROLL for (int j = 0; j < FILTER_RIGHT; j++)
        least[j][0] = least[j][1] = __uint_as_float(0x7F800000u);
    UNROLL for (int i = 0; i < FILTER_LEFT; i++)
        UNROLL for (int part = 0; part < 4; part++) {
            const unsigned point = filter_left(i, part);
            if (point >= points)
                continue;
            const float twice = -2.0f * about[point].scale, norm2 = about[point].norm2;
            UNROLL for (int j = 0; j < FILTER_RIGHT; j++) {
                const float less = fmaf(twice * memory.scale[filter_right(j, part)], sums[i][j][part], norm2);
                sums[i][j][part] = less;
                least[j][part % 2] = less < least[j][part % 2] ? less : least[j][part % 2];
            }
        }
    UNROLL for (int j = 0; j < FILTER_RIGHT; j++)
        UNROLL for (int part = 0; part < 2; part++) {
            float all = least[j][part];
            for (int lanes = 4; lanes < WARP; lanes *= 2) {
                const packed_pair bits = __shfl_xor_sync(ALL_LANES, (packed_pair)__float_as_uint(all), lanes);
                const float other = __uint_as_float((unsigned)bits);
                all = other < all ? other : all;
            }
            if (threadIdx.x % WARP < 4)
                memory.least[threadIdx.x / WARP / 2 * FILTER_SIDE + filter_right(j, part)] = all;
        }
}

/* What the tile says about query threadIdx.x of the block: its bound on all that it has met, and which `less` of this tile is
 * still to be decided by that. First the upper bound of the tile's least, which joins the query's bound so far (nearest, most);
 * then the most that a sum of this tile may be for its canonical distance^2 to be within that bound. All bits are of floats >= 0,
 * so integers order them. Another block may lower `most` at any time: an older value lists more, never less. */
DEVICE void bound_query(const filter_arguments *a, filter_memory memory, size_t query, const packed_pair *tile) {
    const unsigned q = threadIdx.x;
    /* The tile's least D, less |x'|^2: that of its two halves' lesser. */
    const float one = memory.least[q], other = memory.least[FILTER_SIDE + q], less = one < other ? one : other;
    const float norm2 = memory.norm2[q], reach = memory.radius[q] + __uint_as_float((unsigned)tile[0]);
    /* N and r with the largest norm and radius of the tile; near: d of the tile's nearest is at most this. */
    const float margin = a->margin * (norm2 + __uint_as_float((unsigned)tile[1])), near2 = less + norm2 + margin;
    const float near = sqrtf(near2 > 0.0f ? near2 : 0.0f) + reach;
    /* Its canonical distance^2, rounded up; then the least of that, of what the query has already, and of what other tiles
     * found. */
    packed_pair bits = __float_as_uint(fmaf(near * near, 1.0f + 2.0f * a->slack, 0x1p-100f));
    const packed_pair before = a->nearest[query] >> 32;
    bits = before < bits ? before : bits;
    const packed_pair others = atomicMin(a->most + query, bits);
    bits = others < bits ? others : bits;
    /* A point whose canonical distance^2 is within the bound has d <= root - r, so D <= root^2 + e N; in terms of the sums, less
     * |x'|^2. */
    const float root = sqrtf(fmaf(__uint_as_float((unsigned)bits), 1.0f + 4.0f * a->slack, 0x1p-98f)) + reach;
    memory.bound[q] = root * root * (1.0f + 0x1p-20f) + margin - norm2;
}

/* Lists what the bounds leave. A sum that is a NaN is not above, and is listed. Places in a list are given by an atomic counter,
 * so their order is of chance; what comes of the list is a minimum. */
DEVICE void list(const filter_arguments *a, filter_memory memory, size_t query, unsigned queries, unsigned first, unsigned points,
                 float sums[FILTER_LEFT][FILTER_RIGHT][4]) {
    UNROLL for (int i = 0; i < FILTER_LEFT; i++)
        UNROLL for (int j = 0; j < FILTER_RIGHT; j++)
            UNROLL for (int part = 0; part < 4; part++) {
                const unsigned point = filter_left(i, part), q = filter_right(j, part);
                if (point >= points || q >= queries || sums[i][j][part] > memory.bound[q])
                    continue;
                const packed_pair place = atomicAdd(a->counts + query + q, 1);
                if (place < PB_CUDA_FILTER_ROOM)
                    a->lists[(query + q) * PB_CUDA_FILTER_ROOM + (size_t)place] = first + point;
            }
}

KERNEL(nearest_filter, filter_arguments, FILTER_THREADS, 2) {
    SHARED(unsigned, shared);
    const filter_memory memory = filter_memory_of(shared);
    float sums[FILTER_LEFT][FILTER_RIGHT][4];
    const size_t query = (size_t)(blockIdx.x / a.slices) * FILTER_SIDE, stride = (size_t)a.slices * a.step * FILTER_SIDE;
    const unsigned queries = a.count - query < FILTER_SIDE ? (unsigned)(a.count - query) : FILTER_SIDE;
    const size_t pitch = (size_t)a.pieces * 8;
    if (threadIdx.x < FILTER_SIDE) {
        const bool mine = threadIdx.x < queries;
        memory.scale[threadIdx.x] = mine ? a.queries.about[query + threadIdx.x].scale : 0.0f;
        memory.norm2[threadIdx.x] = mine ? a.queries.about[query + threadIdx.x].norm2 : 0.0f;
        memory.radius[threadIdx.x] = mine ? a.queries.about[query + threadIdx.x].radius : 0.0f;
    }
    for (size_t point = (size_t)(blockIdx.x % a.slices) * a.step * FILTER_SIDE; point < a.n; point += stride) {
        const unsigned points = a.n - point < FILTER_SIDE ? (unsigned)(a.n - point) : FILTER_SIDE;
        const packed_pair *tile = (const packed_pair *)a.points.tiles + point / FILTER_SIDE * 2;
        products(memory.slabs, a.points.halves + point * pitch, points, a.queries.halves + query * pitch, queries, a.pieces,
                 sums);
        compare(memory, a.points.about + point, points, sums);
        __syncthreads();
        if (threadIdx.x < queries)
            bound_query(&a, memory, query + threadIdx.x, tile);
        __syncthreads();
        if (a.lists)
            list(&a, memory, query, queries, a.first + (unsigned)point, points, sums);
    }
}

cudaError_t pb_cuda_nearest_filter(cudaStream_t stream, int blocks, pb_cuda_halves points, size_t n, uint32_t first, int dim,
                                   pb_cuda_halves queries, size_t count, const uint64_t *nearest, pb_cuda_candidates candidates,
                                   bool bounds_only) {
    if (n == 0 || count == 0)
        return cudaSuccess;
    const unsigned step = bounds_only ? PB_CUDA_FILTER_SAMPLE : 1;
    const size_t groups = (count + FILTER_SIDE - 1) / FILTER_SIDE, tile = (size_t)step * FILTER_SIDE;
    const size_t tiles = (n + tile - 1) / tile;
    const size_t wanted = ((size_t)blocks + groups - 1) / groups, slices = wanted < tiles ? wanted : tiles;
    const filter_arguments arguments = {
        points, queries, n, count, (unsigned)pb_cuda_halves_pitch(dim) / 8, (unsigned)slices, step, first,
        (float)(dim + 32) * 0x1p-22f, (float)(dim + 32) * 0x1p-23f, (const packed_pair *)nearest,
        (packed_pair *)candidates.most, (packed_pair *)candidates.counts,
        bounds_only ? NULL : candidates.lists};
    LAUNCH(nearest_filter, (unsigned)(groups * slices), FILTER_THREADS, FILTER_SHARED, stream, arguments);
    return cudaGetLastError();
}
