#!/usr/bin/python3
"""check_census.py CENSUS.json LIST.csv...: `info --json` says of an archive what Python counts in its lists and image files,
which are all in it."""
import collections
import csv
import json
import os
import statistics
import sys

from PIL import Image

with open(sys.argv[1], encoding="utf-8") as file:
    answer = json.load(file)
rows, sizes = [], []
for name in sys.argv[2:]:
    with open(name, encoding="utf-8", newline="") as file:
        rows += list(csv.DictReader(file))
images = [Image.open(row["path"]) for row in rows]
lengths = [os.path.getsize(row["path"]) for row in rows]
WORD = {"": "unlabelled", "0": "normal", "1": "defective"}


def tally(chosen):
    found = {"images": len(chosen), "bytes": sum(lengths[i] for i in chosen)}
    for split in ("train", "test"):
        labels = collections.Counter(WORD[rows[i]["label"]] for i in chosen if rows[i]["split"] == split)
        found[split] = {word: labels[word] for word in WORD.values()}
    return found


def spread(values):
    values = list(values)
    return {"least": min(values), "median": statistics.median_low(values), "most": max(values)}


every = range(len(rows))
groups = collections.Counter(row["group"] for row in rows if row["group"])
expected = {
    "all": tally(every),
    "classes": {name: tally([i for i in every if rows[i]["class"] == name]) for name in {row["class"] for row in rows}},
    "groups": len(groups), "group_images": spread(groups.values()),
    "jpeg": sum(i.format == "JPEG" for i in images), "png": sum(i.format == "PNG" for i in images),
    "grey": sum(i.mode == "L" for i in images), "rgb": sum(i.mode == "RGB" for i in images),
    "masks": 0, "mask_bytes": 0,
    "width": spread(i.width for i in images), "height": spread(i.height for i in images), "image_bytes": spread(lengths),
}
assert answer["census"] == expected, f"{answer['census']}\n{expected}"
assert answer["images"] == len(rows) and len(answer["editions"]) == len(sys.argv) - 2
assert answer["editions"][-1]["sha256"] == answer["sha256"] and answer["editions"][-1]["shards"] == answer["shards"]
