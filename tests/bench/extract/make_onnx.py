#!/usr/bin/env python3
"""Make an ONNX file of a network that `bench_extract export` wrote, for onnxruntime to run beside patchbank.

Usage:  make_onnx.py NETWORK.net OUT.onnx

Input  `image`           float32 [n, 3, height, width], already (value - mean) * scale: onnxruntime need not normalise
Output `tap0`, `tap1`... float32 [n, channels, height, width]

The most favourable graph that onnxruntime can be given: batch norms are folded into the convolutions already, activations are
Relu and Clip, paddings explicit. Needs PyPI's onnx and numpy.
"""

import json
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    def __init__(self, network, values):
        self.network, self.values = network, values
        self.nodes, self.constants = [], []
        self.outputs = ["image"]                # of layer -1, 0, 1, ...
        if any(layer["activation"] == "relu6" for layer in network["layers"]):
            self.constant("zero", numpy.float32(0))
            self.constant("six", numpy.float32(6))

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(numpy.asarray(values), name))
        return name

    def take(self, *shape):
        count = int(numpy.prod(shape))
        taken, self.values = self.values[:count].reshape(shape), self.values[count:]
        return taken

    def node(self, operation, inputs, **attributes):
        name = f"{operation}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def layer(self, number, layer):
        kernel, down, across = layer["kernel"], layer["pads_down"], layer["pads_across"]
        window = {"kernel_shape": [kernel, kernel], "strides": [layer["stride"]] * 2,
                  "pads": [down[0], across[0], down[1], across[1]]}
        x = self.outputs[layer["source"] + 1]
        if layer["pool"]:
            return self.node("MaxPool", [x], **window)
        weights = self.take(layer["outputs"], layer["inputs"] // layer["groups"], kernel, kernel)
        parameters = [self.constant(f"weights{number}", weights), self.constant(f"bias{number}", self.take(layer["outputs"]))]
        y = self.node("Conv", [x, *parameters], group=layer["groups"], **window)
        if layer["residual"] >= 0:
            y = self.node("Add", [y, self.outputs[layer["residual"] + 1]])
        if layer["activation"] == "relu":
            y = self.node("Relu", [y])
        if layer["activation"] == "relu6":
            y = self.node("Clip", [y, "zero", "six"])
        return y

    def build(self):
        for number, layer in enumerate(self.network["layers"]):
            self.outputs.append(self.layer(number, layer))
        if self.values.size:
            sys.exit(f"{self.values.size} values are left over")
        outputs = []
        for number, tap in enumerate(self.network["taps"]):
            name = f"tap{number}"
            self.nodes.append(helper.make_node("Identity", [self.outputs[tap["layer"] + 1]], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None, None, None]))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, *self.network["size"]])
        return helper.make_graph(self.nodes, self.network["backbone"], [image], outputs, self.constants)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        network = json.loads(file.readline())
        graph = Graph(network, numpy.frombuffer(file.read(), "<f4")).build()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
