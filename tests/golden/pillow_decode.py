#!/usr/bin/python3
"""Pillow's decoding of image files as an oracle for patchbank's own; needs python3-pil.

Usage:  pillow_decode.py FILE...

For each FILE, in order, one line "W H C CRC" on standard output: width, height, channels, and the CRC-32 of zlib
(8 lower-case hexadecimal digits) over the W*H*C bytes, rows of pixels of interleaved channels. C is 1 where the file
is grey and 3 where it is colour; alpha is dropped, not blended. Orientation tags are not applied.

Exit status: 0 done; 64 no FILE; 65 a FILE cannot be decoded or has more than 8 bits per channel, with one line
on standard error. Lines of the files before it have been printed.
"""

import argparse
import os
import struct
import sys
import zlib

from PIL import Image

TARGET_MODES = {"1": "L", "L": "L", "LA": "L",
                "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
# What Pillow raises for damaged files; UnidentifiedImageError is an OSError.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error,
                 Image.DecompressionBombError)


class BadInput(Exception):
    """The text is the one line that the user sees."""


def describe(path):
    """The output line for one file."""
    try:
        with Image.open(path) as image:
            if image.mode not in TARGET_MODES:
                raise BadInput(f"{path}: mode {image.mode} is not supported")
            pixels = image.convert(TARGET_MODES[image.mode])
    except DECODE_ERRORS as error:
        raise BadInput(f"{path}: cannot be decoded: {error}") from error
    channels = len(pixels.getbands())
    return f"{pixels.width} {pixels.height} {channels} {zlib.crc32(pixels.tobytes()):08x}"


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def main(argv=None):
    parser = Parser(prog="pillow_decode.py", description='Print "W H C CRC32" of each image file as Pillow decodes it.')
    parser.add_argument("files", metavar="FILE", nargs="+", help="image file, grey or colour, 8 bits per channel")
    try:
        for path in parser.parse_args(argv).files:
            print(describe(path), flush=True)
    except BadInput as error:
        print("pillow_decode.py:", "".join(c if c.isprintable() else "?" for c in str(error)), file=sys.stderr)
        return os.EX_DATAERR
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
