#!/usr/bin/python3
"""Make patchcore.safetensors in this folder: PatchCore's patch features of random taps; needs python3-torch and python3-numpy.

Usage:  make_patchcore.py [--output-folder DIR]

Each case's tensor is called PATCH.STRIDE.LAYER_DIM.FEATURE_DIM.SIDExCHANNELS[.SIDExCHANNELS...], F32 [values]: the features of
one image, [patches, feature_dim]; when they are more than 2048, sample k at position k * 7919 modulo their number. Value i of
tap t, [side, side, channels], is symmetric number i (base/random.h) under seed 3, stream 3 (tests), substream t. Computed in
float64 by patchcore_reference.py, both ways, and rounded once.

Exit status: 0 done; 73 cannot write.
"""

import hashlib
import os
import sys

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "jobs"))
from convert_weights import Tensor, encode_safetensors, write_atomically  # noqa: E402
from patchcore_reference import patch_features  # noqa: E402
from philox_numbers import symmetric  # noqa: E402

SAMPLES, STEP, SEED = 2048, 7919, 3
# (patch, stride, layer_dim, feature_dim), ((side, channels) of each tap)
CASES = (
    ((3, 1, 1024, 1024), ((8, 512), (4, 1024))),        # wide_resnet50_2, layers 2 and 3, at 64 pixels
    ((3, 1, 1024, 1024), ((16, 64), (8, 128), (4, 256))),     # resnet18, layers 1 to 3: fewer values than 1024 in the first
    ((1, 1, 24, 16), ((6, 32), (3, 40))),
    ((5, 2, 24, 16), ((7, 8), (5, 6))),
    ((13, 1, 20, 30), ((6, 3), (3, 2))),
    ((3, 3, 7, 5), ((8, 4), (11, 3))),                  # a tap with more patches than the grid
    ((5, 1, 64, 64), ((5, 8),)),
)


def tensor_of(how, shapes):
    taps = [symmetric(SEED, t, side * side * channels).reshape(side, side, channels).transpose(2, 0, 1).astype(numpy.float64)
            for t, (side, channels) in enumerate(shapes)]
    flat = patch_features(taps, *how).reshape(-1)
    if flat.size > SAMPLES:
        flat = flat[numpy.arange(SAMPLES) * STEP % flat.size]
    name = ".".join([str(number) for number in how] + [f"{side}x{channels}" for side, channels in shapes])
    return name, Tensor("F32", flat.shape, flat.astype("<f4").tobytes())


def main():
    path = os.path.join(sys.argv[2] if sys.argv[1:2] == ["--output-folder"] else HERE, "patchcore.safetensors")
    data = encode_safetensors(dict(tensor_of(how, shapes) for how, shapes in CASES), {})
    try:
        write_atomically(path, data)
    except OSError as error:
        print(f"make_patchcore.py: {path}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    print(path, len(data), hashlib.sha256(data).hexdigest(), sep="\t")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
