#!/usr/bin/python3
"""check_maps.py ALL.h5 BANK.h5 RESULTS.h5: the maps of the training images against numpy's distances.

ALL.h5 is a bank of every training patch, so it has their features; BANK.h5 the bank that was scored with. float32 distances of
152 dimensions are within 1e-5 relative of the double ones; near 0 cancellation does not occur, since differences are taken
before squaring.
"""
import sys

import h5py
import numpy

with h5py.File(sys.argv[1], "r") as every, h5py.File(sys.argv[2], "r") as bank, h5py.File(sys.argv[3], "r") as results:
    rows = bank["features"][()].astype(float)
    maps, index = results["map"][()], list(results["archive_index"][()])
    assert len(every["features"]) == maps.size, (len(every["features"]), maps.shape)
    worst = numpy.zeros(len(maps))
    for feature, image, y, x in zip(every["features"][()], every["image"], every["patch_row"], every["patch_column"]):
        expected = numpy.sqrt(((rows - feature.astype(float)) ** 2).sum(axis=1).min())
        found = maps[index.index(image), y, x]
        assert abs(found - expected) <= 1e-5 * expected, (image, y, x, found, expected)
        worst[index.index(image)] = max(worst[index.index(image)], found)
    assert (worst == results["score"][()]).all()
    for image, y, x in zip(bank["image"], bank["patch_row"], bank["patch_column"]):
        assert maps[index.index(image), y, x] == 0
