"""The numbers of base/random.h as numpy arrays, from the paper's definition: what lets Python and C make the same weights without
a file that holds them. Philox itself is compared with tests/base/philox.py, which has it in Python's own integers.
"""

import os
import sys

import numpy

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "base"))
from philox import philox  # noqa: E402

STREAM_TEST = 3
LOW = numpy.uint64(0xFFFFFFFF)
CHUNK = 1 << 20     # blocks at a time


def blocks(seed, substream, first, count):
    """[count, 4] words of blocks first .. first + count - 1 of STREAM_TEST."""
    counter = numpy.arange(first, first + count, dtype=numpy.uint64)
    c = [counter & LOW, counter >> numpy.uint64(32), numpy.full(count, substream, numpy.uint64),
         numpy.full(count, STREAM_TEST, numpy.uint64)]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for turn in range(10):
        key = [numpy.uint64((keys[0] + turn * 0x9E3779B9) & 0xFFFFFFFF), numpy.uint64((keys[1] + turn * 0xBB67AE85) & 0xFFFFFFFF)]
        left, right = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        c = [(right >> numpy.uint64(32)) ^ c[1] ^ key[0], right & LOW, (left >> numpy.uint64(32)) ^ c[3] ^ key[1], left & LOW]
    return numpy.stack(c, axis=1)


def words(seed, substream, count):
    """Numbers 0 .. count - 1 as pb_random_u32 gives them."""
    parts = [blocks(seed, substream, first, min(CHUNK, (count + 3) // 4 - first)) for first in range(0, (count + 3) // 4, CHUNK)]
    return numpy.concatenate(parts).reshape(-1)[:count].astype(numpy.uint32)


def symmetric(seed, substream, count):
    """Numbers 0 .. count - 1 as pb_random_symmetric gives them, float32."""
    top = (words(seed, substream, count) >> numpy.uint32(8)).astype(numpy.int32)
    return (2 * top + 1 - (1 << 24)).astype(numpy.float32) * numpy.float32(2.0 ** -24)


def name_number(name):
    """FNV-1a, 32 bits: the substream of a tensor."""
    number = 2166136261
    for byte in name.encode():
        number = (number ^ byte) * 16777619 % (1 << 32)
    return number


def check():
    seed, substream, number = 0x123456789ABCDEF0, 0xDEADBEEF, (1 << 33) + 5
    expected = philox((number % (1 << 32), number >> 32, substream, STREAM_TEST), (seed % (1 << 32), seed >> 32))
    assert tuple(int(word) for word in blocks(seed, substream, number, 1)[0]) == tuple(expected)


check()
