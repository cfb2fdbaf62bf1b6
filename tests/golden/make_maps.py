#!/usr/bin/python3
"""Make maps.safetensors in this folder: maps of pixels from maps of patches; needs python3-torch, python3-scipy, python3-numpy.

Usage:  make_maps.py [--output-folder DIR]

Each case's tensor is called GRID_WIDTHxGRID_HEIGHT.WIDTHxHEIGHT.SIGMA, F32 [values]: the map of one image, [height, width]; when
it has more than 2048 values, sample k at position k * 7919 modulo their number. Value i of the map of patches, [grid height, grid
width], is symmetric number i (base/random.h) under seed 3, stream 3 (tests), substream 0. Computed in float64 as PatchCore's
authors do it: torch.nn.functional.interpolate, bilinear, align_corners=False, then scipy.ndimage.gaussian_filter with its
defaults (reflect, truncate 4).

Exit status: 0 done; 73 cannot write.
"""

import hashlib
import os
import sys

import numpy
import scipy.ndimage
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "jobs"))
from convert_weights import Tensor, encode_safetensors, write_atomically  # noqa: E402
from philox_numbers import symmetric  # noqa: E402

SAMPLES, STEP, SEED = 2048, 7919, 3
# grid, pixels (both width, height), sigma
CASES = (
    ((28, 28), (224, 224), 4.0),    # the published setting
    ((40, 30), (320, 240), 5.5),
    ((7, 5), (53, 41), 1.0),
    ((3, 2), (10, 7), 4.0),         # mirrored several times
    ((1, 4), (9, 30), 2.0),
    ((12, 9), (5, 7), 0.3),         # a coarser map
    ((6, 6), (6, 6), 0.0),          # nothing to do
)


def tensor_of(grid, size, sigma):
    patches = symmetric(SEED, 0, grid[0] * grid[1]).reshape(grid[1], grid[0]).astype(numpy.float64)
    raised = torch.nn.functional.interpolate(torch.from_numpy(patches)[None, None], size=(size[1], size[0]), mode="bilinear",
                                             align_corners=False)[0, 0].numpy()
    flat = (scipy.ndimage.gaussian_filter(raised, sigma=sigma) if sigma > 0 else raised).reshape(-1)
    if flat.size > SAMPLES:
        flat = flat[numpy.arange(SAMPLES) * STEP % flat.size]
    return f"{grid[0]}x{grid[1]}.{size[0]}x{size[1]}.{sigma:g}", Tensor("F32", flat.shape, flat.astype("<f4").tobytes())


def main():
    path = os.path.join(sys.argv[2] if sys.argv[1:2] == ["--output-folder"] else HERE, "maps.safetensors")
    data = encode_safetensors(dict(tensor_of(*case) for case in CASES), {})
    try:
        write_atomically(path, data)
    except OSError as error:
        print(f"make_maps.py: {path}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    print(path, len(data), hashlib.sha256(data).hexdigest(), sep="\t")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
