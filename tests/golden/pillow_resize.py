#!/usr/bin/python3
"""Pillow's resize as an oracle for patchbank's own; needs python3-pil and python3-numpy.

Usage:  pillow_resize.py [--filter NAME] IN.raw W H C OUT_W OUT_H > OUT.raw
        pillow_resize.py [--filter NAME] --serve < REQUESTS > CHECKSUMS

NAME is bilinear (the default), bicubic or lanczos.

First form: IN.raw (or - for standard input) holds W*H*C bytes: rows of pixels of C interleaved channels, C = 1 (grey)
or 3 (RGB). Standard output gets OUT_W*OUT_H*C bytes in the same layout.

--serve: each input line is "W H C OUT_W OUT_H SEED" in decimal, 0 <= SEED < 2^32. The image is made by this formula,
the answer is one line: the CRC-32 of zlib over the resized bytes, 8 lower-case hexadecimal digits. Answers are
flushed line by line, so a caller may also hold a conversation.

    for i in 0 .. W*H*C-1:                                    i is the flat index over rows, pixels, channels
        v = (uint32_t)(i + 1) * 2654435761u + (uint32_t)SEED * 40503u          modulo 2^32
        byte[i] = (uint8_t)((v >> 24) ^ (v >> 8))

So SEED 0 begins with 0x9e^0x79, 0x3c^0xf3, 0xda^0x6d: bytes e7 cf b7.

Exit status: 0 done; 64 wrong usage; 65 bad sizes, request or input, with one line on standard error.
"""

import argparse
import os
import sys
import zlib

import numpy
from PIL import Image

MODES = {1: "L", 3: "RGB"}
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
MAX_SIDE = 1 << 14          # keeps a mistyped request from taking all memory


class BadInput(Exception):
    """The text is the one line that the user sees."""


def check_sizes(width, height, channels, out_width, out_height):
    if channels not in MODES:
        raise BadInput(f"{channels} channels; 1 and 3 are supported")
    if not all(1 <= side <= MAX_SIDE for side in (width, height, out_width, out_height)):
        raise BadInput(f"a side is not within 1 to {MAX_SIDE}")


def formula_image(width, height, channels, seed):
    """The bytes that the module docstring defines for a seed."""
    i = numpy.arange(1, width * height * channels + 1, dtype=numpy.uint64)
    v = ((i * 2654435761 + seed * 40503) & 0xFFFFFFFF).astype(numpy.uint32)
    return ((v >> 24) ^ (v >> 8)).astype(numpy.uint8).tobytes()


def resize(how, raw, width, height, channels, out_width, out_height):
    image = Image.frombytes(MODES[channels], (width, height), raw)
    return image.resize((out_width, out_height), FILTERS[how]).tobytes()


def serve(how, requests, answers):
    for number, line in enumerate(requests, start=1):
        try:
            *sizes, seed = map(int, line.split())
            if len(sizes) != 5 or not 0 <= seed < 1 << 32:
                raise ValueError
        except ValueError:
            raise BadInput(f"request {number}: expected W H C OUT_W OUT_H SEED") from None
        check_sizes(*sizes)
        width, height, channels = sizes[:3]
        resized = resize(how, formula_image(width, height, channels, seed), *sizes)
        print(f"{zlib.crc32(resized):08x}", file=answers, flush=True)


def read_raw(path, size_bytes):
    try:
        if path == "-":
            raw = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                raw = file.read()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    if len(raw) != size_bytes:
        raise BadInput(f"{path}: {len(raw)} bytes, the sizes need {size_bytes}")
    return raw


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def parse_arguments(argv=None):
    parser = Parser(prog="pillow_resize.py", description="Resize by Pillow, as an oracle for tests.",
                    usage="%(prog)s [--filter NAME] IN.raw W H C OUT_W OUT_H | %(prog)s [--filter NAME] --serve")
    parser.add_argument("--filter", choices=sorted(FILTERS), default="bilinear")
    parser.add_argument("--serve", action="store_true",
                        help='answer lines "W H C OUT_W OUT_H SEED" with the CRC-32 of the resized formula image')
    parser.add_argument("input", metavar="IN.raw", nargs="?", help="W*H*C bytes, interleaved; - is standard input")
    parser.add_argument("sizes", metavar="SIZE", nargs="*", type=int, help="W H C OUT_W OUT_H")
    arguments = parser.parse_args(argv)
    if arguments.serve != (arguments.input is None) or (not arguments.serve and len(arguments.sizes) != 5):
        parser.error("expected IN.raw and five sizes, or --serve alone")
    return arguments


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        if arguments.serve:
            serve(arguments.filter, sys.stdin, sys.stdout)
        else:
            check_sizes(*arguments.sizes)
            width, height, channels = arguments.sizes[:3]
            raw = read_raw(arguments.input, width * height * channels)
            sys.stdout.buffer.write(resize(arguments.filter, raw, *arguments.sizes))
    except BadInput as error:
        print(f"pillow_resize.py: {error}", file=sys.stderr)
        return os.EX_DATAERR
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
