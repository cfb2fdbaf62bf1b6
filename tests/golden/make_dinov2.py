#!/usr/bin/python3
"""Make dinov2.txt and dinov2.safetensors in this folder; needs python3-torch and python3-numpy.

Usage:  make_dinov2.py [--output-folder DIR]

The vision transformers of DINOv2 with patches of 14 pixels, written here once more in PyTorch from their definition
(facebookresearch/dinov2, dinov2/models/vision_transformer.py: names of tensors, layer scale, interpolation of the position
embeddings with an offset of 0.1, final norm at each tap), with random weights, which tests/gpu/test_golden_dinov2.c makes again:
element i of a tensor is computed in float32 from s, number i of the symmetric numbers (base/random.h) under seed 2, stream 3
(tests), substream FNV-1a of the tensor's name:
  linear layers and the patch embedding    sqrt(3 / fan-in) * s, the root in double, rounded to float32
  norm weight     1 + 0.3 * s              layer scale "gamma"   0.5 + 0.3 * s
  all others      0.5 * s                  (biases, class token, position embeddings)
These keep the scores of attention near 1 and let every term be felt. The image: RGB bytes, byte i being the lowest of number i
under seed 1, substream 1000.

Writes to DIR (default: this script's folder)
  dinov2.txt           for each backbone the names and shapes of all tensors and what was run:
                       "backbone NAME", "tensor NAME rank SIZES", "run WIDTH HEIGHT channels"
  dinov2.safetensors   BACKBONE.WIDTHxHEIGHT.BLOCK F32 [256]: values of the patch tokens after that block and the final norm,
                       [grid height, grid width, channels], sample k at position k * 7919 modulo their number. Computed in
                       float64, rounded once.
                       positions.WIDTHxHEIGHT F32 [height, width, 2]: position embeddings of a table of 37 x 37 places and 2
                       channels, number i of seed 1, substream 2000, for so many patches, by torch's interpolate in float64.

Exit status: 0 done; 64 wrong usage; 73 cannot write.
"""

import argparse
import hashlib
import math
import os
import sys

import numpy
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, os.pardir, os.pardir, "jobs"))
from convert_weights import Tensor, encode_safetensors, write_atomically  # noqa: E402
from philox_numbers import name_number, symmetric, words  # noqa: E402

# Width, blocks, heads; sizes of the images, width first.
BACKBONES = {
    "dinov2_vits14": (384, 12, 6, ((224, 224), (238, 126))),
    "dinov2_vitb14": (768, 12, 12, ((98, 70),)),
    "dinov2_vitl14": (1024, 24, 16, ((70, 42),)),
}
POSITIONS = ((16, 16), (17, 9), (45, 38), (37, 36))     # patches, width first
PATCH, SIDE, OFFSET = 14, 37, 0.1
SAMPLES, STEP = 256, 7919
WEIGHTS_SEED, IMAGE_SEED, IMAGE_SUBSTREAM, POSITION_SUBSTREAM = 2, 1, 1000, 2000
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def interpolate(table, width, height):
    """[1 + 37 * 37, C] position embeddings, the class token's first, for so many patches."""
    if width == SIDE and height == SIDE:
        return table
    grid = table[1:].reshape(1, SIDE, SIDE, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, scale_factor=((height + OFFSET) / SIDE, (width + OFFSET) / SIDE), mode="bicubic")
    assert grid.shape[2:] == (height, width)
    return torch.cat((table[:1], grid[0].permute(1, 2, 0).reshape(height * width, -1)))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        tokens, width = x.shape
        q, k, v = (part.reshape(tokens, self.heads, -1).transpose(0, 1) for part in self.qkv(x).split(width, dim=1))
        scores = q @ k.transpose(1, 2) / math.sqrt(width // self.heads)
        return self.proj((scores.softmax(dim=2) @ v).transpose(0, 1).reshape(tokens, width))


class Scale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.gamma


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.LayerNorm(width, eps=1e-6), Attention(width, heads), Scale(width)
        self.norm2, self.mlp, self.ls2 = nn.LayerNorm(width, eps=1e-6), Mlp(width), Scale(width)

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Transformer(nn.Module):
    """For one image [3, height, width]; gives the normed patch tokens [height / 14, width / 14, C] after each block."""

    def __init__(self, width, depth, heads):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE * SIDE, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, PATCH, PATCH)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, image):
        patches = self.patch_embed.proj(image[None])[0]
        width, height, columns = patches.shape
        x = torch.cat((self.cls_token[0], patches.reshape(width, -1).T)) + interpolate(self.pos_embed[0], columns, height)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(self.norm(x)[1:].reshape(height, columns, width))
        return outputs


def values_of(name, shape):
    """The float32 array of a tensor."""
    number = symmetric(WEIGHTS_SEED, name_number(name), math.prod(shape)).reshape(shape)
    if name.endswith(".weight") and len(shape) > 1:
        return numpy.float32(math.sqrt(3 / math.prod(shape[1:]))) * number
    offset, scale = (1, 0.3) if name.endswith(".weight") else (0.5, 0.3) if name.endswith(".gamma") else (0, 0.5)
    return numpy.float32(offset) + numpy.float32(scale) * number


def model_of(backbone, lines):
    width, depth, heads, _ = BACKBONES[backbone]
    model = Transformer(width, depth, heads).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        lines.append(" ".join(["tensor", name, str(len(shape))] + [str(size) for size in shape]))
        state[name] = torch.from_numpy(values_of(name, shape))
    model.load_state_dict(state)
    return model.double()


def image(width, height):
    data = (words(IMAGE_SEED, IMAGE_SUBSTREAM, width * height * 3) & numpy.uint32(255)).astype(numpy.float64)
    pixels = data.reshape(height, width, 3) / 255.0
    return torch.from_numpy((pixels - numpy.array(MEAN)) / numpy.array(DEVIATION)).permute(2, 0, 1)


def samples_of(flat):
    picked = flat[numpy.arange(SAMPLES) * STEP % flat.size].astype("<f4")
    return Tensor("F32", picked.shape, picked.tobytes())


def run(backbone, lines):
    """BACKBONE.WIDTHxHEIGHT.BLOCK to its samples."""
    lines.append(f"backbone {backbone}")
    model, tensors = model_of(backbone, lines), {}
    for width, height in BACKBONES[backbone][3]:
        lines.append(f"run {width} {height} {BACKBONES[backbone][0]}")
        for block, x in enumerate(model(image(width, height))):
            tensors[f"{backbone}.{width}x{height}.{block}"] = samples_of(x.reshape(-1).numpy())
            print(f"{backbone} {width}x{height} block {block}: root mean square {float((x * x).mean().sqrt()):.3g}")
    return tensors


def positions():
    numbers = symmetric(1, POSITION_SUBSTREAM, 2 * (1 + SIDE * SIDE)).astype(numpy.float64)
    table, tensors = torch.from_numpy(numbers.reshape(-1, 2)), {}
    for width, height in POSITIONS:
        values = interpolate(table, width, height)[1:].numpy().astype("<f4")
        tensors[f"positions.{width}x{height}"] = Tensor("F32", (height, width, 2), values.tobytes())
    return tensors


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def main(argv=None):
    parser = Parser(prog="make_dinov2.py", description="Make golden outputs of DINOv2's vision transformers.")
    parser.add_argument("--output-folder", metavar="DIR", default=HERE, help="where to write (default: beside this)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)        # one order of summation
    torch.set_grad_enabled(False)
    lines, tensors = [], positions()
    for backbone in BACKBONES:
        tensors.update(run(backbone, lines))
    files = {"dinov2.txt": ("\n".join(lines) + "\n").encode(),
             "dinov2.safetensors": encode_safetensors(tensors, {"torch": torch.__version__})}
    try:
        for name, data in files.items():
            write_atomically(os.path.join(arguments.output_folder, name), data)
            print(name, len(data), hashlib.sha256(data).hexdigest(), sep="\t")
    except OSError as error:
        print(f"make_dinov2.py: {arguments.output_folder}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
