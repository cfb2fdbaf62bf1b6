"""check_bench.py FILE RANKS IMAGES: the JSON of `patchbank bench extract` is complete and its figures agree among themselves."""

import json
import sys

path, ranks, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, encoding="utf-8") as file:
    answer = json.load(file)
assert answer["bench"] == "extract" and answer["backbone"] == "efficientnet_lite0" and answer["taps"] == "4,10", answer
assert answer["device"].startswith("cpu: ") and answer["decoders"] >= 1 and answer["batch"] >= 1 and answer["repeat"] >= 1
assert len(answer["ranks"]) == ranks and answer["all"]["images"] == images
RATES = ("read_bytes_per_s", "decode_images_per_s", "network_images_per_s", "end_to_end_images_per_s")
STAGES = [f"{stage}_{what}_s" for stage in ("read", "decode", "device") for what in ("busy", "wait")]
for row in answer["ranks"] + [answer["all"]]:
    decode, network, whole = (row[name] for name in RATES[1:])
    assert all(0 < row[name] < float("inf") for name in RATES), row
    assert abs(row["share_of_slower"] * min(decode, network) / whole - 1) < 1e-9, row
    assert abs(row["share_of_shared"] / (1 / decode + 1 / network) / whole - 1) < 1e-9, row
    assert all(row["stages"][name] >= 0 for name in STAGES) and row["stages"]["bottleneck"] in ("read", "decode", "device"), row
for name in RATES:
    assert abs(sum(row[name] for row in answer["ranks"]) / answer["all"][name] - 1) < 1e-9, name
