#!/usr/bin/python3
"""Pillow's decoding of image files as an oracle for patchbank's own; needs python3-pil and python3-numpy.

Usage:  pillow_decode.py [--draft SIDE] FILE...

For each FILE, in order, one line "W H C CRC" on standard output: width, height, channels, and the CRC-32 of zlib
(8 lower-case hexadecimal digits) over the W*H*C bytes, rows of pixels of interleaved channels. C is 1 where the file
is grey and 3 where it is colour; alpha is dropped, not blended. EXIF orientation is applied (ImageOps.exif_transpose). Of 16 bits
a value the upper 8 are taken: Pillow itself does that where there is colour or alpha; grey of 16 bits is read as integers and
shifted by numpy.

--draft SIDE: after draft(None, (SIDE, SIDE)), by which a JPEG is decoded to 1/2, 1/4 or 1/8 when its shorter side stays >= SIDE.

Exit status: 0 done; 64 no FILE; 65 a FILE cannot be decoded or has another kind of pixels, with one line
on standard error. Lines of the files before it have been printed.
"""

import argparse
import os
import struct
import sys
import zlib

import numpy
from PIL import Image, ImageOps

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
# What Pillow raises for damaged files; UnidentifiedImageError is an OSError.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error,
                 Image.DecompressionBombError)


class BadInput(Exception):
    """The text is the one line that the user sees."""


def upper_bytes(image):
    """Grey of 16 bits as grey of 8."""
    return Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))


def is_grey_alpha(path):
    """Whether a PNG is grey with alpha; Pillow opens one of 16 bits as RGBA."""
    with open(path, "rb") as file:
        start = file.read(26)
    return start.startswith(b"\x89PNG") and start[25] == 4


def describe(path, draft):
    """The output line for one file."""
    try:
        with Image.open(path) as image:
            if draft:
                image.draft(None, (draft, draft))
            if image.mode not in MODES and image.mode != "I":
                raise BadInput(f"{path}: mode {image.mode} is not supported")
            grey = image.mode in ("1", "L", "LA", "I") or is_grey_alpha(path)
            upright = ImageOps.exif_transpose(image)
            pixels = upper_bytes(upright) if image.mode == "I" else upright.convert("RGB")
            pixels = pixels.getchannel(0) if grey else pixels
    except DECODE_ERRORS as error:
        raise BadInput(f"{path}: cannot be decoded: {error}") from error
    channels = len(pixels.getbands())
    return f"{pixels.width} {pixels.height} {channels} {zlib.crc32(pixels.tobytes()):08x}"


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def main(argv=None):
    parser = Parser(prog="pillow_decode.py", description='Print "W H C CRC32" of each image file as Pillow decodes it.')
    parser.add_argument("--draft", metavar="SIDE", type=int, default=0,
                        help="decode a JPEG smaller, to a shorter side of at least this")
    parser.add_argument("files", metavar="FILE", nargs="+", help="image file, grey or colour")
    try:
        arguments = parser.parse_args(argv)
        for path in arguments.files:
            print(describe(path, arguments.draft), flush=True)
    except BadInput as error:
        print("pillow_decode.py:", "".join(c if c.isprintable() else "?" for c in str(error)), file=sys.stderr)
        return os.EX_DATAERR
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
