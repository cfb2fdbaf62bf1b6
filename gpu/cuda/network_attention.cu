/* Attention with a softmax that goes along (M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax", 2018;
 * T. Dao et al., "FlashAttention", NeurIPS 2022): scores never reach device memory. For fp32, and where cuDNN has no plan
 * (network_graph.h): products are fused multiply-adds of floats, never cut and never on tensor cores.
 *
 * A block of 64 threads, as 8 by 8, has 64 queries of one head of an image and goes through the keys 64 at a time. A thread makes
 * 8 x 8 scores (queries y, y + 8, ..., keys x, x + 8, ...), then the largest score of each of its queries so far, over the 8
 * lanes that share them, then the exponentials of what is left, and adds their products with the values to its 8 x 8 sums (the
 * same queries, channels x, x + 8, ...), which are scaled down whenever the largest score grows. Each lane adds up its own
 * exponentials; they meet at the end. The order of every sum is fixed and depends on the number of tokens alone. Queries stay in
 * shared memory, channel by channel; keys come by 16 channels, exponentials and values by 16 keys.
 *
 * Cost: of a channel (or a key) a thread reads 16 words of shared memory for 64 multiply-adds: a warp takes 16 cycles of each, as
 * pairs.h says of products: at most 29.7 T multiply-adds/s on an H100, of which 60 % would be good. ViT-B, 64 images of 224 x 224
 * pixels (257 tokens, so 5 tiles of keys, the last with one, whose other 63 scores are made in vain): 64 x 12 x 5 = 3,840 blocks,
 * 5.0 G multiply-adds of scores and 4.1 G of values: 0.31 ms a layer at that rate, 0.5 ms at 60 % of it. Device memory: queries
 * once, keys and values once a tile of queries, mostly from the second cache: 202 MB in float at least, 60 us: bound by
 * arithmetic. 25.5 KiB of shared memory and 168 registers (64 of sums, 64 of scores, 16 of what goes along; nvcc 13.0 keeps 64
 * bytes a thread in memory): 6 blocks a multiprocessor, 12 of 64 warps, which have 64 independent multiply-adds each to wait
 * with.
 */
#include "gpu/cuda/elements.h"
#include "gpu/cuda/network_kernels.h"

enum {
    ATTENTION_SIDE = 64,   /* queries of a block, keys of a tile, and channels of a head at most */
    ATTENTION_EACH = 8,    /* of a side, for a thread */
    ATTENTION_STEP = ATTENTION_SIDE / ATTENTION_EACH, /* from one of a thread's to its next, and threads along a side */
    ATTENTION_THREADS = ATTENTION_STEP * ATTENTION_STEP,
    ATTENTION_DEPTH = 16,  /* channels of a slab of keys, keys of one of exponentials and values */
    ATTENTION_COLUMNS = ATTENTION_DEPTH / ATTENTION_STEP, /* of a thread's keys, in a slab of exponentials */
    ATTENTION_PITCH = 68   /* words from one line to the next: 4 x + y, for x < 8 and y < 4, are all banks */
};

#define ATTENTION_SHARED ((ATTENTION_SIDE + 2 * ATTENTION_DEPTH) * ATTENTION_PITCH * sizeof(float))
#define MINUS_INFINITY __uint_as_float(0xFF800000u)

/* in: queries, keys and values of a token one behind the other; out: the heads' sums side by side. */
typedef struct attention_arguments {
    elements_in in;
    elements_out out;
    unsigned tokens, channels, heads, depth, tiles; /* depth: channels of a head; tiles: of queries, in an image */
    size_t stride;                                  /* from a token's first value to the next one's */
} attention_arguments;

/* What a thread carries from tile to tile, for its queries. */
typedef struct attention_state {
    float most[ATTENTION_EACH], shares[ATTENTION_EACH]; /* the largest score; this lane's exponentials, added up */
    float sums[ATTENTION_EACH][ATTENTION_EACH];
} attention_state;

/* A thread's query number i and key or channel number j, of the tile. */
DEVICE unsigned attention_row(int i) { return threadIdx.x / ATTENTION_STEP + (unsigned)i * ATTENTION_STEP; }
DEVICE unsigned attention_column(int j) { return threadIdx.x % ATTENTION_STEP + (unsigned)j * ATTENTION_STEP; }

/* Lays `depth` channels of `count` tokens down channel by channel; tokens beyond are 0. */
DEVICE void attention_lay_turned(float *slab, elements_in in, size_t first, size_t stride, unsigned count, unsigned depth) {
    for (unsigned at = threadIdx.x; at < ATTENTION_SIDE * depth; at += ATTENTION_THREADS) {
        const unsigned token = at / depth, c = at % depth;
        slab[c * ATTENTION_PITCH + token] = token < count ? element_get(in, first + token * stride + c) : 0.0f;
    }
}

/* Lays the channels of `count` values down value by value; channels from `depth` on are 0. */
DEVICE void attention_lay_values(float *slab, elements_in in, size_t first, size_t stride, unsigned count, unsigned depth) {
    for (unsigned at = threadIdx.x; at < count * ATTENTION_SIDE; at += ATTENTION_THREADS) {
        const unsigned token = at / ATTENTION_SIDE, c = at % ATTENTION_SIDE;
        slab[token * ATTENTION_PITCH + c] = c < depth ? element_get(in, first + token * stride + c) : 0.0f;
    }
}

/* Adds the products of `count` lines of two slabs: a line has a value of each row, or of each column. */
DEVICE void attention_add(const float *rows, const float *columns, unsigned count, float sums[ATTENTION_EACH][ATTENTION_EACH]) {
    for (unsigned k = 0; k < count; k++) {
        float row[ATTENTION_EACH];
        UNROLL for (int i = 0; i < ATTENTION_EACH; i++)
            row[i] = rows[k * ATTENTION_PITCH + attention_row(i)];
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++) {
            const float column = columns[k * ATTENTION_PITCH + attention_column(j)];
            UNROLL for (int i = 0; i < ATTENTION_EACH; i++)
                sums[i][j] = fmaf(row[i], column, sums[i][j]);
        }
    }
}

/* head: place of the first token's queries. Scores of the queries with `count` keys from `key` on; those beyond are -infinity. */
DEVICE void attention_scores(attention_arguments a, size_t head, const float *queries, float *slab, unsigned key,
                             unsigned count, float scores[ATTENTION_EACH][ATTENTION_EACH]) {
    UNROLL for (int i = 0; i < ATTENTION_EACH; i++)
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++)
            scores[i][j] = 0.0f;
    for (unsigned c = 0; c < a.depth; c += ATTENTION_DEPTH) {
        const unsigned depth = a.depth - c < ATTENTION_DEPTH ? a.depth - c : ATTENTION_DEPTH;
        __syncthreads(); /* the slab has been read */
        attention_lay_turned(slab, a.in, head + a.channels + key * a.stride + c, a.stride, count, depth);
        __syncthreads();
        attention_add(queries + c * ATTENTION_PITCH, slab, depth, scores);
    }
    UNROLL for (int i = 0; i < ATTENTION_EACH; i++)
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++)
            scores[i][j] = attention_column(j) < count ? scores[i][j] : MINUS_INFINITY;
}

/* Scores become exponentials of what they have less than the largest so far; what was added up before is scaled to that. Before
 * the first tile `most` is -infinity, so the scale is exp(-infinity) = 0, of sums of 0. Every tile has a key, so `most` is then
 * finite where scores are; a NaN among them makes the query's sums NaN. */
DEVICE void attention_soften(attention_state *state, float scores[ATTENTION_EACH][ATTENTION_EACH]) {
    UNROLL for (int i = 0; i < ATTENTION_EACH; i++) {
        float most = state->most[i];
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++)
            most = fmaxf(most, scores[i][j]);
        for (int lanes = ATTENTION_STEP / 2; lanes > 0; lanes /= 2)
            most = fmaxf(most, lane_value(most, lanes));
        const float scale = expf(state->most[i] - most);
        state->most[i] = most;
        state->shares[i] *= scale;
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++) {
            state->sums[i][j] *= scale;
            scores[i][j] = expf(scores[i][j] - most);
            state->shares[i] += scores[i][j];
        }
    }
}

/* Adds `count` values from `key` on, each times its exponential. */
DEVICE void attention_gather(attention_arguments a, size_t head, float *slab, float *exponentials, unsigned key,
                             unsigned count, float scores[ATTENTION_EACH][ATTENTION_EACH], attention_state *state) {
    UNROLL for (int s = 0; s < ATTENTION_SIDE / ATTENTION_DEPTH; s++) {
        const unsigned first = (unsigned)s * ATTENTION_DEPTH;
        if (first >= count)
            break;
        const unsigned depth = count - first < ATTENTION_DEPTH ? count - first : ATTENTION_DEPTH;
        __syncthreads(); /* the slabs have been read */
        UNROLL for (int i = 0; i < ATTENTION_EACH; i++)
            UNROLL for (int j = 0; j < ATTENTION_COLUMNS; j++)
                exponentials[attention_column(j) * ATTENTION_PITCH + attention_row(i)] = scores[i][s * ATTENTION_COLUMNS + j];
        attention_lay_values(slab, a.in, head + 2 * a.channels + (key + first) * a.stride, a.stride, depth, a.depth);
        __syncthreads();
        attention_add(exponentials, slab, depth, state->sums);
    }
}

KERNEL(network_attention, attention_arguments, ATTENTION_THREADS, 6) {
    SHARED(float, queries);
    float *slab = queries + ATTENTION_SIDE * ATTENTION_PITCH, *exponentials = slab + ATTENTION_DEPTH * ATTENTION_PITCH;
    const unsigned tile = blockIdx.x % a.tiles, which = blockIdx.x / a.tiles % a.heads, query = tile * ATTENTION_SIDE;
    const unsigned rows = a.tokens - query < ATTENTION_SIDE ? a.tokens - query : ATTENTION_SIDE;
    const size_t image = blockIdx.x / a.tiles / a.heads, head = image * a.tokens * a.stride + which * a.depth;
    attention_state state;
    UNROLL for (int i = 0; i < ATTENTION_EACH; i++) {
        state.most[i] = MINUS_INFINITY;
        state.shares[i] = 0.0f;
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++)
            state.sums[i][j] = 0.0f;
    }
    attention_lay_turned(queries, a.in, head + query * a.stride, a.stride, rows, a.depth);
    for (unsigned key = 0; key < a.tokens; key += ATTENTION_SIDE) {
        const unsigned count = a.tokens - key < ATTENTION_SIDE ? a.tokens - key : ATTENTION_SIDE;
        float scores[ATTENTION_EACH][ATTENTION_EACH];
        attention_scores(a, head, queries, slab, key, count, scores);
        attention_soften(&state, scores);
        attention_gather(a, head, slab, exponentials, key, count, scores, &state);
    }
    UNROLL for (int i = 0; i < ATTENTION_EACH; i++) {
        float share = state.shares[i];
        for (int lanes = ATTENTION_STEP / 2; lanes > 0; lanes /= 2)
            share += lane_value(share, lanes);
        const size_t out = (image * a.tokens + query + attention_row(i)) * a.channels + which * a.depth;
        UNROLL for (int j = 0; j < ATTENTION_EACH; j++)
            if (attention_row(i) < rows && attention_column(j) < a.depth)
                element_put(a.out, out + attention_column(j), state.sums[i][j] / share);
    }
}

cudaError_t pb_cuda_network_attention(cudaStream_t stream, pb_cuda_tokens shape, int heads, const void *in, void *out) {
    const size_t tiles = ((size_t)shape.tokens + ATTENTION_SIDE - 1) / ATTENTION_SIDE;
    if (shape.images * tiles == 0)
        return cudaSuccess;
    const attention_arguments arguments = {elements_from(in, shape.element), elements_to(out, shape.element),
                                           (unsigned)shape.tokens, (unsigned)shape.channels, (unsigned)heads,
                                           (unsigned)(shape.channels / heads), (unsigned)tiles, 3 * (size_t)shape.channels};
    LAUNCH(network_attention, (unsigned)(shape.images * (size_t)heads * tiles), ATTENTION_THREADS, ATTENTION_SHARED, stream,
           arguments);
    return cudaGetLastError();
}
