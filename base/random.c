/* random.c: Philox4x32-10: ten rounds of two multiplications that mix a counter of four words under a key of two. The counter is
 * (number of the block, substream, stream), the key is the seed; so streams under one seed never meet, and any block can be made
 * alone. tests/base has an independent implementation. */
#include "base/random.h"

/* Multipliers and key increments of the paper, table 2 and section 3.3. */
enum { PHILOX_ROUNDS = 10 };
static const uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u;
static const uint32_t KEY_STEP_0 = 0x9E3779B9u, KEY_STEP_1 = 0xBB67AE85u;

/* One round is the paper's: the high halves of two products are mixed with the other two words and the key, the low halves move
 * on. The key grows by a constant each round (a Weyl sequence). */
static void philox(uint32_t c[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t product0 = (uint64_t)MULTIPLIER_0 * c[0];
        uint64_t product1 = (uint64_t)MULTIPLIER_1 * c[2];
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ c[1] ^ key0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ c[3] ^ key1;
        c[1] = (uint32_t)product1;
        c[3] = (uint32_t)product0;
        c[0] = next0;
        c[2] = next2;
        key0 += KEY_STEP_0;
        key1 += KEY_STEP_1;
    }
}

/* The counter of four words is built here: which is which is part of the contract, since banks depend on the numbers. */
void pb_random_block(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t counter, uint32_t block[4]) {
    block[0] = (uint32_t)counter;
    block[1] = (uint32_t)(counter >> 32);
    block[2] = substream;
    block[3] = (uint32_t)stream;
    philox(block, (uint32_t)seed, (uint32_t)(seed >> 32));
}

uint32_t pb_random_u32(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t index) {
    uint32_t block[4];
    pb_random_block(seed, stream, substream, index / 4, block);
    return block[index % 4];
}

/* The upper 24 bits, as an odd number from -(2^24 - 1) to 2^24 - 1: a float holds it exactly, and the scaling is exact too. */
float pb_random_symmetric(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t index) {
    int32_t top = (int32_t)(pb_random_u32(seed, stream, substream, index) >> 8); /* 24 bits: 0 .. 2^24 - 1 */
    return (float)(2 * top + 1 - (1 << 24)) * 0x1p-24f;
}
