#!/usr/bin/python3
"""same_rows.py ONE.h5 OTHER.h5: exit status 0 when two banks have the same rows, provenance and radii, 1 when not."""
import sys

import h5py

NAMES = ["features", "image", "patch_row", "patch_column", "covering_radius"]

with h5py.File(sys.argv[1], "r") as one, h5py.File(sys.argv[2], "r") as other:
    same = all(one[name].shape == other[name].shape and (one[name][()] == other[name][()]).all() for name in NAMES)
sys.exit(0 if same else 1)
