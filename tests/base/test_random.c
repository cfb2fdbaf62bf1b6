#include "base/random.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Known answers of philox4x32 with 10 rounds published with Random123 (tests/kat_vectors): counter, key, result. */
static const uint32_t KNOWN[][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};

Test(random, known_answers_of_random123) {
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        const uint32_t *c = KNOWN[i], *key = c + 4, *expected = c + 6;
        uint32_t block[4];
        pb_random_block((uint64_t)key[1] << 32 | key[0], (pb_random_stream)c[3], c[2], (uint64_t)c[1] << 32 | c[0], block);
        cr_assert_arr_eq(block, expected, sizeof block, "vector %zu: %08x %08x %08x %08x", i, block[0], block[1], block[2],
                         block[3]);
    }
}

Test(random, agrees_with_an_independent_implementation) {
    FILE *oracle = popen(PB_PYTHON " " PB_SOURCE_DIR "/tests/base/philox.py 500", "r");
    cr_assert_not_null(oracle);
    int lines = 0;
    uint64_t seed, counter;
    uint32_t stream, substream, expected[4], block[4];
    while (fscanf(oracle, "%" SCNu64 "%" SCNu32 "%" SCNu32 "%" SCNu64 "%" SCNu32 "%" SCNu32 "%" SCNu32 "%" SCNu32, &seed, &stream,
                  &substream, &counter, &expected[0], &expected[1], &expected[2], &expected[3]) == 8) {
        pb_random_block(seed, (pb_random_stream)stream, substream, counter, block);
        cr_assert_arr_eq(block, expected, sizeof block, "line %d", lines);
        lines++;
    }
    cr_assert_eq(pclose(oracle), 0);
    cr_assert_eq(lines, 500);
}

Test(random, number_is_a_word_of_its_block) {
    for (uint64_t index = 0; index < 40; index++) {
        uint64_t far = index + ((uint64_t)1 << 35);
        uint32_t block[4];
        pb_random_block(7, PB_STREAM_TEST, 3, index / 4, block);
        cr_assert_eq(pb_random_u32(7, PB_STREAM_TEST, 3, index), block[index % 4]);
        pb_random_block(7, PB_STREAM_TEST, 3, far / 4, block);
        cr_assert_eq(pb_random_u32(7, PB_STREAM_TEST, 3, far), block[index % 4]);
    }
}

Test(random, every_input_matters) {
    uint32_t base[4], other[5][4];
    pb_random_block(1, PB_STREAM_TEST, 0, 0, base);
    pb_random_block(2, PB_STREAM_TEST, 0, 0, other[0]);
    pb_random_block(1 | (uint64_t)1 << 32, PB_STREAM_TEST, 0, 0, other[1]);
    pb_random_block(1, PB_STREAM_WEIGHTS, 0, 0, other[2]);
    pb_random_block(1, PB_STREAM_TEST, 1, 0, other[3]);
    pb_random_block(1, PB_STREAM_TEST, 0, (uint64_t)1 << 32, other[4]);
    for (int i = 0; i < 5; i++)
        cr_assert_neq(memcmp(base, other[i], sizeof base), 0, "variant %d", i);
}

/* The promise of the header: an odd multiple of 2^-24 in (-1, 1), from the upper 24 bits. */
Test(random, symmetric_is_an_odd_multiple) {
    for (uint64_t index = 0; index < 10000; index++) {
        double multiple = (double)pb_random_symmetric(11, PB_STREAM_TEST, 0, index) * 0x1p24;
        double top = pb_random_u32(11, PB_STREAM_TEST, 0, index) / 256;
        cr_assert(fabs(multiple) < 0x1p24);
        cr_assert_eq(fabs(fmod(multiple, 2)), 1);
        cr_assert_eq(multiple, 2 * top + 1 - 0x1p24);
    }
}

/* 10^5 numbers: mean 0 with standard error 0.0018, variance 1/3 with standard error 0.0009; six of them are allowed. */
Test(random, symmetric_has_mean_0_and_variance_a_third) {
    const int n = 100000;
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        double value = pb_random_symmetric(5, PB_STREAM_TEST, 9, (uint64_t)i);
        sum += value;
        squares += value * value;
    }
    cr_assert(fabs(sum / n) < 0.011);
    cr_assert(fabs(squares / n - 1.0 / 3) < 0.0057);
}
