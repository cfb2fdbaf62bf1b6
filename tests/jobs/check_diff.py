#!/usr/bin/python3
"""check_diff.py FROM TO DIFF.json: what `bank diff` counts is what h5py finds in the two bank files."""
import json
import sys

import h5py


def read(path):
    with h5py.File(path, "r") as file:
        data, offset = file["path/bytes"][()].tobytes(), file["path/offset"][()]
        paths = [data[begin:end].decode() for begin, end in zip(offset, offset[1:])]
        places = zip(paths, file["patch_row"][()].tolist(), file["patch_column"][()].tolist())
        rows = {place: feature.tobytes() for place, feature in zip(places, file["features"][()])}
        assert len(rows) == len(paths)
        return rows, {name: value.decode() for name, value in file.attrs.items()}


(rows_a, named_a), (rows_b, named_b) = read(sys.argv[1]), read(sys.argv[2])
with open(sys.argv[3], encoding="utf-8") as answer_file:
    answer = json.load(answer_file)
kept = rows_a.keys() & rows_b.keys()
assert answer["rows"] == {"kept": len(kept), "changed": sum(rows_a[place] != rows_b[place] for place in kept),
                          "added": len(rows_b) - len(kept), "removed": len(rows_a) - len(kept)}, answer["rows"]
assert (answer["from"]["rows"], answer["to"]["rows"]) == (len(rows_a), len(rows_b))
differ = {name: (named_a.get(name), named_b.get(name)) for name in named_a.keys() | named_b.keys()
          if named_a.get(name) != named_b.get(name)}
assert {x["name"]: (x["from"], x["to"]) for x in answer["attributes"]} == differ and differ, differ
assert answer["to"]["covering_radius"] == named_b["covering_radius"]
