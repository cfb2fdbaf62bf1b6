#!/usr/bin/env python3
"""Make an ONNX file of EfficientNet-Lite0, stem to block 10, for onnxruntime to run beside patchbank.

Usage:  make_onnx.py WEIGHTS.safetensors OUT.onnx [--side 224]

Input  `image`   float32 [n, 3, side, side], already (value - 127) / 128: normalising is left out of onnxruntime's time
Output `block4`, `block10`   float32 [n, channels, height, width], the taps of PatchCore

The most favourable graph that onnxruntime can be given: batch norm folded into the convolutions here, in double; ReLU6 as
Clip; the odd pixel of "SAME" padding as explicit pads. Needs PyPI's onnx and numpy. Written from the layout of the
weights file and the published description of the network, not from patchbank's tables, so it is also a second opinion on them.
"""

import argparse
import json
import struct
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

# (expansion, kernel, stride, output channels) of block 0, 1, ...
BLOCKS = ((1, 3, 1, 16), (6, 3, 2, 24), (6, 3, 1, 24), (6, 5, 2, 40), (6, 5, 1, 40), (6, 3, 2, 80), (6, 3, 1, 80),
          (6, 3, 1, 80), (6, 5, 1, 112), (6, 5, 1, 112), (6, 5, 1, 112))
TAPS = (4, 10)
EPSILON = 1e-3


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).astype(float)
            for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F32"}


class Graph:
    def __init__(self, tensors, side):
        self.tensors, self.side = tensors, side
        self.nodes, self.constants = [], []
        self.constant("zero", 0.0)
        self.constant("six", 6.0)

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(numpy.asarray(values, numpy.float32), name))
        return name

    def convolve(self, x, conv, norm, stride=1, depthwise=False, clip=True):
        weight = self.tensors[conv + ".weight"]
        mean, variance, gamma, beta = (self.tensors[f"{norm}.{part}"]
                                       for part in ("running_mean", "running_var", "weight", "bias"))
        scale = gamma / numpy.sqrt(variance + EPSILON)
        kernel, out = weight.shape[2], -(-self.side // stride)
        total = max((out - 1) * stride + kernel - self.side, 0)
        before, after = total // 2, total - total // 2
        y = conv if not clip else conv + ".raw"
        self.nodes.append(helper.make_node(
            "Conv", [x, self.constant(conv + ".w", weight * scale[:, None, None, None]),
                     self.constant(conv + ".b", beta - mean * scale)], [y],
            kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[before, before, after, after],
            group=weight.shape[0] if depthwise else 1))
        if clip:
            self.nodes.append(helper.make_node("Clip", [y, "zero", "six"], [conv]))
        self.side = out
        return conv

    def block(self, x, inputs, index):
        expansion, _, stride, outputs = BLOCKS[index]
        prefix, y = f"_blocks.{index}.", x
        if expansion != 1:
            y = self.convolve(y, prefix + "_expand_conv", prefix + "_bn0")
        y = self.convolve(y, prefix + "_depthwise_conv", prefix + "_bn1", stride, depthwise=True)
        y = self.convolve(y, prefix + "_project_conv", prefix + "_bn2", clip=False)
        if stride == 1 and inputs == outputs:
            self.nodes.append(helper.make_node("Add", [y, x], [prefix + "sum"]))
            y = prefix + "sum"
        if index in TAPS:
            self.nodes.append(helper.make_node("Identity", [y], [f"block{index}"]))
        return y, outputs

    def build(self):
        side = self.side
        x, channels = self.convolve("image", "_conv_stem", "_bn0", 2), self.tensors["_conv_stem.weight"].shape[0]
        for index in range(len(BLOCKS)):
            x, channels = self.block(x, channels, index)
        outputs = [helper.make_tensor_value_info(f"block{tap}", TensorProto.FLOAT, ["n", None, None, None]) for tap in TAPS]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])
        return helper.make_graph(self.nodes, "efficientnet_lite0", [image], outputs, self.constants)


def main():
    parser = argparse.ArgumentParser(prog="make_onnx.py", description="EfficientNet-Lite0 to block 10 as ONNX.")
    parser.add_argument("weights", metavar="WEIGHTS.safetensors")
    parser.add_argument("out", metavar="OUT.onnx")
    parser.add_argument("--side", type=int, default=224, help="pixels, a multiple of 32 (default: 224)")
    arguments = parser.parse_args()
    graph = Graph(read_safetensors(arguments.weights), arguments.side).build()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
