#!/usr/bin/python3
"""check_update.py OLD.h5 ALL.h5 NEW.h5 [FORGET.txt]: an updated bank against greedy selection gone on with in numpy.

ALL.h5 is a bank of every patch of the new images (--ratios 100%), all banks are of --projection 0, so that features are what
selection sees. Distances here are float64, so picks agree unless two patches are as far as float32 can tell.
"""
import sys

import h5py
import numpy


def read(path):
    with h5py.File(path, "r") as file:
        bank = {name: file[name][()] for name in ("features", "image", "patch_row", "patch_column", "covering_radius")}
        offset, text = file["path/offset"][()], file["path/bytes"][()].tobytes()
        bank["path"] = numpy.array([text[a:b].decode() for a, b in zip(offset, offset[1:])])
        bank["archive"] = file["archive"][()] if "archive" in file else numpy.zeros(len(bank["image"]), "u4")
        bank["attributes"] = {name: value.decode() for name, value in file.attrs.items()}
    return bank


def distances(rows, centre):
    return numpy.sqrt(((rows.astype("f8") - centre.astype("f8")) ** 2).sum(axis=1))


def covered(rows, centres):
    return numpy.min([distances(rows, centre) for centre in centres], axis=0)


old, every, new = map(read, sys.argv[1:4])
listed = set(open(sys.argv[4], encoding="utf-8-sig").read().split()) if len(sys.argv) > 4 else set()
aim = float(old["attributes"].get("update_radius", old["covering_radius"][-1]))

stays = numpy.array([path not in listed for path in old["path"]])
kept = int(stays.sum())
for name in ("features", "image", "patch_row", "patch_column", "path", "archive"):
    assert (new[name][:kept] == old[name][stays]).all(), name
assert (new["covering_radius"][:kept - 1] == -1).all()

held = float(old["covering_radius"][-1])
if not stays.all():
    held += covered(old["features"][~stays], old["features"][stays]).max()

order = numpy.lexsort((every["patch_column"], every["patch_row"], every["image"]))
order = numpy.array([i for i in order if every["path"][i] not in listed])
rows = every["features"][order]
distance, radii, picks = covered(rows, old["features"][stays]), [], []
while distance.max() > aim:
    radii.append(max(held, distance.max()))
    picks.append(order[distance.argmax()])
    distance = numpy.minimum(distance, distances(rows, rows[distance.argmax()]))
radii.append(max(held, distance.max()))
assert len(picks) > 0 and kept + len(picks) == len(new["image"]), (kept, len(picks), len(new["image"]))
for name in ("features", "image", "patch_row", "patch_column", "path"):
    assert (new[name][kept:] == every[name][picks]).all(), name
assert (new["archive"][kept:] == old["archive"].max() + 1).all()
assert numpy.allclose(new["covering_radius"][kept - 1:], radii, rtol=1e-3 if listed else 1e-5, atol=0)
if listed:  # rounded up
    assert (new["covering_radius"][kept - 1:] >= held).all()
assert new["attributes"]["covering_radius_kind"] == "bound"
assert float(new["attributes"]["update_radius"]) == aim
print("ok", kept, len(picks))
