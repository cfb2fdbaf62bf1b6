#!/usr/bin/python3
"""break_weights.py IN.safetensors OUT.safetensors VALUE TENSOR...: sets every float of the named tensors to VALUE: weights
that are finite, but whose features or distances overflow."""
import json
import struct
import sys

with open(sys.argv[1], "rb") as file:
    data = bytearray(file.read())
(length,) = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
for name in sys.argv[4:]:
    begin, end = header[name]["data_offsets"]
    count = (end - begin) // 4
    data[8 + length + begin:8 + length + end] = struct.pack("<%df" % count, *[float(sys.argv[3])] * count)
with open(sys.argv[2], "wb") as file:
    file.write(data)
