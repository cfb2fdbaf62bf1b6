#!/usr/bin/python3
"""check_denoise.py ALL.h5 BANK.h5 KIND SHARE: a bank of `train --denoise KIND --denoise-share SHARE` against numpy.

ALL.h5 is a bank of every training patch (--ratios 100%); both are of --projection 0, so that features are what is compared.
"""
import sys

import h5py
import numpy

NEIGHBOURS = {"nearest": 1, "lof": 6}
COLUMNS = ("image", "patch_row", "patch_column")


def read(path):
    with h5py.File(path, "r") as file:
        return {name: file[name][()] for name in ("features", "covering_radius") + COLUMNS}, dict(file.attrs)


def outlier_scores(rows, kind):
    distance = numpy.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    numpy.fill_diagonal(distance, numpy.inf)
    nearest = numpy.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS[kind]]
    near = numpy.take_along_axis(distance, nearest, axis=1)
    if kind == "nearest":
        return near[:, 0]
    density = 1 / numpy.maximum(near[:, -1][nearest], near).mean(axis=1)
    return density[nearest].mean(axis=1) / density


every, _ = read(sys.argv[1])
bank, attributes = read(sys.argv[2])
kind, share = sys.argv[3], float(sys.argv[4])

order = numpy.lexsort([every[name] for name in reversed(COLUMNS)])
rows = every["features"][order].astype("f8")
place = numpy.stack([every[name][order] for name in COLUMNS], axis=1)
images, grid = len(set(every["image"])), every["patch_row"].max() + 1
assert len(rows) == images * grid * grid, "patches are equal: ALL.h5 has not all of them"
by_place = rows.reshape(images, grid * grid, -1)
scores = numpy.stack([outlier_scores(by_place[:, p], kind) for p in range(grid * grid)], axis=1).reshape(-1)

most = int(share * len(rows))
left = scores <= numpy.sort(scores)[len(rows) - 1 - most]
assert int(attributes["left_out_patches"]) == (~left).sum()
assert most - 1 <= (~left).sum() <= most  # two patches may be each other's nearest, and on the same side

picks, distance = [], numpy.where(left, numpy.inf, -1)
pick = int(numpy.argmax(left))
while len(picks) < len(bank["image"]):
    picks.append(pick)
    distance = numpy.minimum(distance, numpy.where(left, numpy.sqrt(((rows - rows[pick]) ** 2).sum(axis=1)), -1))
    pick = int(distance.argmax())
assert (place[picks] == numpy.stack([bank[name] for name in COLUMNS], axis=1)).all()
assert numpy.isclose(distance.max(), bank["covering_radius"][-1], rtol=1e-5)
print("ok", most)
