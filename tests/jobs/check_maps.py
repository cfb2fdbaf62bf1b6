#!/usr/bin/python3
"""check_maps.py ALL.h5 BANK.h5 RESULTS.h5 [cosine]: the maps of the training images against numpy's distances.

ALL.h5 is a bank of every training patch, so it has their features; BANK.h5 the bank that was scored with. float32 distances of
152 dimensions are within 1e-5 relative of the double ones; near 0 cancellation does not occur, since differences are taken
before squaring.

With "cosine" ALL.h5 is one of Euclidean distance, whose features have the lengths that they come with, and distances are
1 - cosine, computed from those. They agree within 1e-5, some 150 roundings of numbers up to 1.
"""
import sys

import h5py
import numpy



def places(bank):
    return zip(bank["image"][()], bank["patch_row"][()], bank["patch_column"][()])


def unit(features):
    return features / numpy.sqrt((features ** 2).sum(axis=-1, keepdims=True))


cosine = sys.argv[4:] == ["cosine"]
with h5py.File(sys.argv[1], "r") as every, h5py.File(sys.argv[2], "r") as bank, h5py.File(sys.argv[3], "r") as results:
    rows, features = bank["features"][()].astype(float), every["features"][()].astype(float)
    if cosine:
        features = unit(features)
        at = {place: i for i, place in enumerate(places(every))}
        own = features[[at[place] for place in places(bank)]]
        assert abs(rows - own).max() <= 1e-6, "bank rows are not the features scaled to length 1"
        rows = own
    maps, index = results["map"][()], list(results["archive_index"][()])
    assert len(every["features"]) == maps.size, (len(every["features"]), maps.shape)
    worst = numpy.zeros(len(maps))
    for feature, (image, y, x) in zip(features, places(every)):
        expected = 1 - (rows @ feature).max() if cosine else numpy.sqrt(((rows - feature) ** 2).sum(axis=1).min())
        found = maps[index.index(image), y, x]
        assert abs(found - expected) <= 1e-5 * (1 if cosine else expected), (image, y, x, found, expected)
        worst[index.index(image)] = max(worst[index.index(image)], found)
    assert (worst == results["score"][()]).all()
    for image, y, x in places(bank):
        assert maps[index.index(image), y, x] == 0
