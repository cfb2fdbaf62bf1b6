#!/usr/bin/python3
"""check_readers.py STORE READERS REFERENCE...: every folder of results in READERS, made while banks were published, is of one
version of STORE: the SHA-256 that it names is that version's, and its scores and maps are those of the REFERENCE results of that
bank. More than one version was read."""
import json
import os
import sys

import h5py
import numpy

store, readers, references = sys.argv[1], sys.argv[2], sys.argv[3:]


def read(folder):
    with h5py.File(os.path.join(folder, "results.h5"), "r") as file:
        attributes = {name: value.decode() for name, value in file.attrs.items()}
        return attributes, file["score"][()], file["map"][()], file["nearest"][()]


by_bank = {read(folder)[0]["bank_sha256"]: read(folder) for folder in references}
published = {}
for name in os.listdir(os.path.join(store, "versions")):
    with open(os.path.join(store, "versions", name, "meta.json"), encoding="utf-8") as file:
        published[name] = json.load(file)["bank_sha256"]

seen, count = set(), 0
for name in os.listdir(readers):
    attributes, score, maps, nearest = read(os.path.join(readers, name))
    _, wanted_score, wanted_maps, wanted_nearest = by_bank[attributes["bank_sha256"]]
    assert attributes["bank_sha256"] == published[attributes["bank_version"]], name
    assert numpy.array_equal(score, wanted_score) and numpy.array_equal(maps, wanted_maps), name
    assert numpy.array_equal(nearest, wanted_nearest), name
    seen.add(attributes["bank_version"])
    count += 1
assert count >= 20 and len(seen) >= 2, f"{count} results of {len(seen)} versions"
print(f"{count} results of {len(seen)} versions")
