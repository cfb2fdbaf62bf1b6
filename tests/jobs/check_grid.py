#!/usr/bin/python3
"""check_grid.py RESULTS HEIGHT WIDTH: maps of HEIGHT x WIDTH, and a table whose places are those of their largest values.

RESULTS is a folder with results.h5 and scores.csv. Of equal values the first counts, row by row.
"""
import csv
import sys

import h5py
import numpy

height, width = int(sys.argv[2]), int(sys.argv[3])
with h5py.File(f"{sys.argv[1]}/results.h5", "r") as results:
    maps, patch = results["map"][()], results["patch"][()]
with open(f"{sys.argv[1]}/scores.csv", newline="", encoding="utf-8") as table:
    rows = list(csv.DictReader(table))
assert maps.shape == (len(rows), height, width), maps.shape
for i, row in enumerate(rows):
    y, x = numpy.unravel_index(maps[i].argmax(), maps[i].shape)
    assert (int(row["patch_row"]), int(row["patch_column"])) == (y, x), (row, y, x)
    assert numpy.float32(row["score"]) == maps[i, y, x] and patch[i] == y * width + x, (row, patch[i])
