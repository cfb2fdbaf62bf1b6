#!/usr/bin/python3
"""An independent Philox4x32-10, written from the paper in Python's unbounded integers; the oracle of test_random.c.

Usage:  philox.py COUNT

Prints COUNT lines "seed stream substream counter word0 word1 word2 word3" of numbers, inputs included, so that the test has
nothing to agree on but the meaning of the four inputs: key = seed (low word first), counter words = low and high word of
counter, substream, stream. Inputs come from a multiplicative congruence, not from the generator under test.

numpy cannot serve: its Philox is the 4x64 variant. The published known answers (Random123, tests/kat_vectors) are in the test.
"""

import sys

WORD = 1 << 32


def philox(counter, key):
    left, right = [counter[0], counter[2]], [counter[1], counter[3]]
    for turn in range(10):
        low = 0xD2511F53 * left[0]
        high = 0xCD9E8D57 * left[1]
        keys = [(key[0] + turn * 0x9E3779B9) % WORD, (key[1] + turn * 0xBB67AE85) % WORD]
        left = [high // WORD ^ right[0] ^ keys[0], low // WORD ^ right[1] ^ keys[1]]
        right = [high % WORD, low % WORD]
    return left[0], right[0], left[1], right[1]


def main():
    state = 1
    for _ in range(int(sys.argv[1])):
        drawn = []
        for bits in (64, 32, 32, 64):
            state = state * 6364136223846793005 % (1 << 127) + 1442695040888963407
            drawn.append(state >> (127 - bits))
        seed, stream, substream, counter = drawn
        words = philox((counter % WORD, counter // WORD, substream, stream), (seed % WORD, seed // WORD))
        print(seed, stream, substream, counter, *words)


if __name__ == "__main__":
    main()
