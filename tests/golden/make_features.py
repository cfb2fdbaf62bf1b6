#!/usr/bin/python3
"""Make the golden images and features in this folder; needs python3-torch, python3-pil and python3-numpy.

Usage:  make_features.py WEIGHTS.safetensors [--output-folder DIR]

WEIGHTS is what jobs/convert_weights.py makes of the EfficientNet-Lite0 checkpoint. Only whoever changes the golden
data runs this: tests read the committed files. README.md in this folder has the whole command.

Writes to DIR (default: this script's folder)
  image_grey.png   grey, 301 wide, 257 high        image_rgb.png   RGB, 240 wide, 275 high
  efficientnet_lite0.safetensors, where X is `grey` or `rgb`:
    X.input_crc32     I64 []          zlib CRC-32 of the network's input, 224*224*3 bytes: rows of RGB pixels
    X.block4          F32 [112, 40]   output of block 4, [40, 28, 28]: all channels at every 7th position
    X.block10         F32 [28, 112]   output of block 10, [112, 14, 14]: all channels at every 7th position
    X.patches         F32 [112, 152]  patch features, [784, 152]: every 7th patch
    X.patches_right   F32 [28, 152]   the patches of the last column, 27, 55, .. 783
  Positions and patches are numbered row by row, y*width + x; every 7th is 0, 7, 14, ... As 7 divides 28 and 14, those
  lie in 4 and 2 columns only and never in the last one, where "SAME" padding is easiest to get wrong; hence
  patches_right. `__metadata__`: `weights_sha256` (of the file WEIGHTS) and `torch`, `pillow` (versions used).

Input: RGB (grey is repeated), shorter side to 224 and the other to int(224*long/short), Pillow's BILINEAR, centre crop
of 224 at int(round((side-224)/2)) as torchvision has it; then (value-127)/128.
Network: batch norm applied as it stands (eps 1e-3), not folded into the convolution; "SAME" padding with the odd
pixel at the end. Patch features: per tap a 3x3 mean, stride 1, zeros outside counted; bilinear
(align_corners=False) to 28x28; block 4's 40 channels, then block 10's 112. All in float64, rounded to float32 once.

Exit status: 0 done; 64 wrong usage; 65 WEIGHTS unusable; 73 cannot write. Failures are one line on standard error.
"""

import argparse
import hashlib
import io
import json
import os
import struct
import sys
import zlib

import numpy
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "jobs"))
from convert_weights import BadInput, Tensor, encode_safetensors, write_atomically  # noqa: E402

INPUT_SIDE = 224
GRID_SIDE = 28          # block 4's output; block 10's is brought to it
KEEP_EVERY = 7
BATCH_NORM_EPS = 1e-3
TAPS = (4, 10)
# (expansion, kernel, stride, output channels)
BLOCKS = ((1, 3, 1, 16), (6, 3, 2, 24), (6, 3, 1, 24), (6, 5, 2, 40), (6, 5, 1, 40), (6, 3, 2, 80), (6, 3, 1, 80),
          (6, 3, 1, 80), (6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112))


# ---------------------------------------------------------------------------------------- images

def coordinates(width, height):
    return numpy.arange(width, dtype=numpy.int64)[None, :], numpy.arange(height, dtype=numpy.int64)[:, None]


def grain(x, y, levels):
    """A few levels of repeatable noise; integer arithmetic only, so that every numpy makes the same image."""
    v = (x * 2654435761 + y * 2246822519 + 374761393) & 0xFFFFFFFF
    v = ((v ^ (v >> 15)) * 2246822519) & 0xFFFFFFFF
    return (v >> 24) * levels >> 8


def grey_image():
    """Like a cell under electroluminescence: uneven light, fingers and bus bars, a crack, a dark region."""
    x, y = coordinates(301, 257)
    value = 150 - ((x - 170) ** 2 + (y - 110) ** 2) // 500
    value = value + 12 * (y % 6 < 2) - 70 * (x % 75 < 5)
    value = value - 60 * (abs(3 * x - 4 * y + 90) < 9) * (y > 60)
    value = value - 45 * ((x - 60) ** 2 + (y - 190) ** 2 < 900)
    return Image.fromarray(numpy.clip(value + grain(x, y, 12), 0, 255).astype(numpy.uint8), "L")


def rgb_image():
    """Rings, tiles and a bright stripe, with colours that differ enough to notice swapped channels."""
    x, y = coordinates(240, 275)
    rings = ((x - 90) ** 2 + (y - 140) ** 2) // 190 % 64
    tiles = ((x // 23 + y // 17) % 2) * 60
    stripe = 80 * (abs(x + y - 300) < 11)
    noise = grain(x, y, 4) * ((x + y) % 3 == 0)
    channels = (60 + 2 * rings + stripe + noise, 200 - tiles - y // 3 + noise, 40 + tiles + rings + x // 4 + noise)
    return Image.fromarray(numpy.clip(numpy.stack(channels, axis=-1), 0, 255).astype(numpy.uint8), "RGB")


def network_input(image):
    """The uint8 array [224, 224, 3] that the network is given, before (value-127)/128."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(INPUT_SIDE * long / short)
    width, height = (INPUT_SIDE, other) if width <= height else (other, INPUT_SIDE)
    resized = image.convert("RGB").resize((width, height), Image.BILINEAR)
    left, top = int(round((width - INPUT_SIDE) / 2.0)), int(round((height - INPUT_SIDE) / 2.0))
    return numpy.asarray(resized.crop((left, top, left + INPUT_SIDE, top + INPUT_SIDE)))


# ---------------------------------------------------------------------------------------- network

def load_weights(data):
    """Name to float64 tensor, for the float32 tensors of a safetensors file."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + length])
        weights = {}
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] == "F32":
                begin, end = entry["data_offsets"]
                values = numpy.frombuffer(data[8 + length + begin:8 + length + end], "<f4")
                weights[name] = torch.from_numpy(values.reshape(entry["shape"]).astype(numpy.float64))
        return weights
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"no safetensors file: {error}") from error


class Network:
    """EfficientNet-Lite0 up to the last tap, in the most literal form."""

    def __init__(self, weights):
        self.weights = weights

    def convolve(self, x, name, stride=1, groups=1):
        weight = self.weights[name + ".weight"]
        kernel, pads = weight.shape[2], []
        for side in (x.shape[3], x.shape[2]):       # F.pad wants the last dimension first
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, None, stride, 0, 1, groups)

    def normalize(self, x, name):
        mean, variance, scale, shift = (self.weights[f"{name}.{part}"][None, :, None, None]
                                        for part in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean) / torch.sqrt(variance + BATCH_NORM_EPS) * scale + shift

    def block(self, x, index):
        expansion, kernel, stride, channels = BLOCKS[index]
        prefix, entry = f"_blocks.{index}.", x
        if expansion != 1:
            x = F.relu6(self.normalize(self.convolve(x, prefix + "_expand_conv"), prefix + "_bn0"))
        x = self.convolve(x, prefix + "_depthwise_conv", stride, groups=x.shape[1])
        x = F.relu6(self.normalize(x, prefix + "_bn1"))
        x = self.normalize(self.convolve(x, prefix + "_project_conv"), prefix + "_bn2")
        assert x.shape[1] == channels and self.weights[prefix + "_depthwise_conv.weight"].shape[2] == kernel
        return x + entry if stride == 1 and entry.shape[1] == channels else x

    def taps(self, pixels):
        """[channels, side, side] of each tap, for a uint8 array [224, 224, 3]."""
        x = (torch.from_numpy(pixels.astype(numpy.float64)).permute(2, 0, 1)[None] - 127.0) / 128.0
        x = F.relu6(self.normalize(self.convolve(x, "_conv_stem", 2), "_bn0"))
        outputs = {}
        for index in range(len(BLOCKS)):
            x = self.block(x, index)
            if index in TAPS:
                outputs[index] = x[0]
        return outputs


def by_position(tap):
    """[channels, height, width] to [height*width, channels]."""
    return tap.flatten(1).T


def patch_features(taps):
    grids = []
    for index in TAPS:
        pooled = F.avg_pool2d(taps[index][None], 3, 1, 1, count_include_pad=True)
        grids.append(F.interpolate(pooled, size=(GRID_SIDE, GRID_SIDE), mode="bilinear", align_corners=False)[0])
    return by_position(torch.cat(grids))


# ---------------------------------------------------------------------------------------- output

def float_tensor(values):
    array = values.numpy().astype("<f4")
    return Tensor("F32", array.shape, array.tobytes())


def golden_tensors(name, image, network):
    pixels = network_input(image)
    taps = network.taps(pixels)
    patches = patch_features(taps)
    checksum = struct.pack("<q", zlib.crc32(pixels.tobytes()))
    return {f"{name}.input_crc32": Tensor("I64", (), checksum),
            f"{name}.block4": float_tensor(by_position(taps[4])[::KEEP_EVERY]),
            f"{name}.block10": float_tensor(by_position(taps[10])[::KEEP_EVERY]),
            f"{name}.patches": float_tensor(patches[::KEEP_EVERY]),
            f"{name}.patches_right": float_tensor(patches[GRID_SIDE - 1::GRID_SIDE])}


def png_bytes(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def make_files(weights_path):
    """File name to bytes, for everything that this script writes."""
    try:
        with open(weights_path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise BadInput(error.strerror) from error
    network = Network(load_weights(data))
    images = {"grey": grey_image(), "rgb": rgb_image()}
    tensors = {}
    try:
        for name, image in images.items():
            tensors.update(golden_tensors(name, image, network))
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"not the weights of EfficientNet-Lite0: {error}") from error
    metadata = {"weights_sha256": hashlib.sha256(data).hexdigest(), "torch": torch.__version__,
                "pillow": PIL.__version__}
    files = {f"image_{name}.png": png_bytes(image) for name, image in images.items()}
    files["efficientnet_lite0.safetensors"] = encode_safetensors(tensors, metadata)
    return files


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def fail(path, reason, status):
    print(f"make_features.py: {path}: {reason}".replace("\n", " "), file=sys.stderr)
    return status


def main(argv=None):
    parser = Parser(prog="make_features.py", description="Make patchbank's golden images and backbone features.")
    parser.add_argument("weights", metavar="WEIGHTS.safetensors", help="EfficientNet-Lite0, by jobs/convert_weights.py")
    parser.add_argument("--output-folder", metavar="DIR", default=HERE, help="where to write (default: beside this)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)        # one order of summation
    torch.set_grad_enabled(False)
    try:
        files = make_files(arguments.weights)
        for name, data in files.items():
            write_atomically(os.path.join(arguments.output_folder, name), data)
            print(name, len(data), hashlib.sha256(data).hexdigest(), sep="\t")
    except BadInput as error:
        return fail(arguments.weights, error, os.EX_DATAERR)
    except OSError as error:
        return fail(arguments.output_folder, error.strerror or error, os.EX_CANTCREAT)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
