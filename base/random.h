/* random.h: counter-based random numbers (Philox4x32-10).
 *
 * Number i of stream s under a seed is a pure function of (seed, s, i): any rank, thread or device can make any number
 * without the others, which is what makes results independent of how work is divided.
 * Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 * Only integers and exact scalings of them are offered: nothing here calls a transcendental function, whose last bit
 * differs between C libraries. Not collective; thread safe.
 */
#ifndef PB_BASE_RANDOM_H
#define PB_BASE_RANDOM_H

#include <stdint.h>

/* Every use of randomness has its own stream, so that no two ever share numbers. Only extended. */
typedef enum pb_random_stream {
    PB_STREAM_PROJECTION = 1, /* signs of the random projection before the coreset */
    PB_STREAM_WEIGHTS = 2,    /* random network weights, the floor that real weights must beat */
    PB_STREAM_CORESET = 4,   /* order of a random coreset */
    PB_STREAM_TEST = 3        /* generated data of tests and benchmarks */
} pb_random_stream;

/* Four 32-bit numbers, uniform: block `counter` of `stream` under `seed`. substream separates independent users of one
 * stream (a layer's number, say). */
void pb_random_block(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t counter, uint32_t block[4]);

/* Number `index` of the stream: word index % 4 of block index / 4. */
uint32_t pb_random_u32(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t index);

/* Uniform in (-1, 1): odd multiples of 2^-24, so exact in float, symmetric about 0 and never 0. Variance 1/3. */
float pb_random_symmetric(uint64_t seed, pb_random_stream stream, uint32_t substream, uint64_t index);

#endif
