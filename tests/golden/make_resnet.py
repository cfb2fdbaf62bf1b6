#!/usr/bin/python3
"""Make resnet.txt and resnet.safetensors in this folder with torchvision; needs python3-torchvision and python3-numpy.

Usage:  make_resnet.py [--output-folder DIR]

For each ResNet of patchbank, torchvision's model of that name with random weights, which tests/gpu/test_golden_resnet.c makes
again: element i of a tensor is computed in float32 from s, number i of the symmetric numbers (base/random.h) under seed 2, stream
3 (tests), substream FNV-1a of the tensor's name:
  convolution    sqrt(1.5 / fan-in) * s, the root in double, rounded to float32
  norm weight    1 + 0.3 * s        norm bias        0.2 * s
  running mean   0.2 * s            running variance 1.25 + 1.2 * s
These keep activations near 1 in all layers, so that every term of every layer is felt at the taps. The image: 64 x 64 RGB bytes,
byte i being the lowest of number i under seed 1, substream 1000.

Writes to DIR (default: this script's folder)
  resnet.txt           for each backbone the names and shapes of all tensors up to layer 4, as torchvision has them:
                       "backbone NAME", "conv NAME outputs inputs kernel", "norm PREFIX channels", "tap LAYER side channels"
  resnet.safetensors   BACKBONE.LAYER F32 [512]: values of that layer's output, [side, side, channels], sample k at position
                       k * 7919 modulo their number. Computed in float64, rounded once.
                       BACKBONE.patchcore F32 [512]: likewise of PatchCore's features of layers 2 and 3, [patches, 1024], with
                       patch size 3 and 1024 values a layer, by patchcore_reference.py.

Exit status: 0 done; 64 wrong usage; 73 cannot write.
"""

import argparse
import hashlib
import math
import os
import sys

import numpy
import torch
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "jobs"))
from convert_weights import Tensor, encode_safetensors, write_atomically  # noqa: E402
from patchcore_reference import patch_features  # noqa: E402
from philox_numbers import name_number, symmetric, words  # noqa: E402

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "wide_resnet101_2")
LAYERS = (1, 2, 3, 4)
SIDE = 64
SAMPLES, STEP = 512, 7919
WEIGHTS_SEED, IMAGE_SEED, IMAGE_SUBSTREAM = 2, 1, 1000
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def values_of(name, shape):
    """The float32 array of a tensor."""
    number = symmetric(WEIGHTS_SEED, name_number(name), math.prod(shape)).reshape(shape)
    if len(shape) == 4:
        return numpy.float32(math.sqrt(1.5 / math.prod(shape[1:]))) * number
    part = name.split(".")[-1]
    offset, scale = {"weight": (1, 0.3), "bias": (0, 0.2), "running_mean": (0, 0.2), "running_var": (1.25, 1.2)}[part]
    return numpy.float32(offset) + numpy.float32(scale) * number


def describe(name, shape):
    """The line of a tensor in resnet.txt, or None: a norm is told by its weight."""
    if len(shape) == 4:
        assert shape[2] == shape[3]
        return f"conv {name} {shape[0]} {shape[1]} {shape[2]}"
    return f"norm {name[:-len('weight')]} {shape[0]}" if name.endswith(".weight") else None


def model_of(backbone, lines):
    model = getattr(torchvision.models, backbone)(weights=None).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        line = describe(name, tuple(tensor.shape))
        lines.extend([line] if line else [])
        state[name] = torch.from_numpy(values_of(name, tuple(tensor.shape)))
    missing, surplus = model.load_state_dict(state, strict=False)
    assert not surplus and all(name.startswith("fc.") or name.endswith("num_batches_tracked") for name in missing)
    return model.double()


def image():
    data = (words(IMAGE_SEED, IMAGE_SUBSTREAM, SIDE * SIDE * 3) & numpy.uint32(255)).astype(numpy.float64)
    pixels = data.reshape(SIDE, SIDE, 3) / 255.0
    return torch.from_numpy((pixels - numpy.array(MEAN)) / numpy.array(DEVIATION)).permute(2, 0, 1)[None]


def samples_of(flat):
    picked = flat[numpy.arange(SAMPLES) * STEP % flat.size].astype("<f4")
    return Tensor("F32", picked.shape, picked.tobytes())


def run(backbone, lines):
    """BACKBONE.LAYER to its samples."""
    lines.append(f"backbone {backbone}")
    model, tensors, taps = model_of(backbone, lines), {}, []
    x = model.maxpool(model.relu(model.bn1(model.conv1(image()))))
    for layer in LAYERS:
        x = getattr(model, f"layer{layer}")(x)
        lines.append(f"tap {layer} {x.shape[2]} {x.shape[1]}")
        tensors[f"{backbone}.{layer}"] = samples_of(x[0].permute(1, 2, 0).reshape(-1).numpy())
        taps.append(x[0].numpy())
        print(f"{backbone} layer {layer}: root mean square {float((x * x).mean().sqrt()):.3g}, largest {float(x.max()):.3g}")
    tensors[f"{backbone}.patchcore"] = samples_of(patch_features(taps[1:3], 3, 1, 1024, 1024).reshape(-1))
    return tensors


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def main(argv=None):
    parser = Parser(prog="make_resnet.py", description="Make golden outputs of torchvision's ResNets.")
    parser.add_argument("--output-folder", metavar="DIR", default=HERE, help="where to write (default: beside this)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)        # one order of summation
    torch.set_grad_enabled(False)
    lines, tensors = [], {}
    for backbone in BACKBONES:
        tensors.update(run(backbone, lines))
    metadata = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    files = {"resnet.txt": ("\n".join(lines) + "\n").encode(), "resnet.safetensors": encode_safetensors(tensors, metadata)}
    try:
        for name, data in files.items():
            write_atomically(os.path.join(arguments.output_folder, name), data)
            print(name, len(data), hashlib.sha256(data).hexdigest(), sep="\t")
    except OSError as error:
        print(f"make_resnet.py: {arguments.output_folder}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
