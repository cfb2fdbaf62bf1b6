#!/usr/bin/python3
"""check_eval.py RESULTS EVAL.json [WITHIN]: eval's figures against their definition, pair by pair: scores and labels from
RESULTS/scores.csv, grey statistics from RESULTS/results.h5. Over all images and for each class: AUROC, floor, counts, and with
WITHIN the same over near pairs; what has no such pairs must be left out, and nothing else."""
import csv
import json
import sys

import h5py

folder, answer = sys.argv[1:3]
within = int(sys.argv[3]) if len(sys.argv) > 3 else None
with open(f"{folder}/scores.csv", newline="") as lines:
    images = list(csv.DictReader(lines))
with h5py.File(f"{folder}/results.h5", "r") as file:
    for image, brightness in zip(images, file["brightness"][()], strict=True):
        image["values"] = [float(image["score"] or "nan"), *brightness]
with open(answer) as text:
    figures = json.load(text)


def share(pairs, value):
    """How often the defect has more of value number `value` than the normal image, a tie counting one half."""
    wins = [(a["values"][value] > b["values"][value]) + 0.5 * (a["values"][value] == b["values"][value]) for a, b in pairs]
    return sum(wins) / len(wins)


def floor(pairs):
    shares = [share(pairs, value) for value in range(1, 5)]
    return max(shares + [1 - one for one in shares])


def expected(chosen):
    scored = [image for image in chosen if image["score"] and image["label"]]
    defects = [image for image in scored if image["label"] == "1"]
    normals = [image for image in scored if image["label"] == "0"]
    pairs = [(defect, normal) for defect in defects for normal in normals]
    if not pairs:
        return None
    row = {"defective": len(defects), "normal": len(normals), "unlabelled": sum(not image["label"] for image in chosen),
           "unscored": sum(bool(image["label"] and not image["score"]) for image in chosen),
           "auroc": share(pairs, 0), "auroc_brightness": floor(pairs)}
    near = [(a, b) for a, b in pairs if within is not None and abs(int(a["group"]) - int(b["group"])) <= within]
    if near:
        row |= {"near_pairs_within": within, "near_pairs": len(near), "near_pair_auroc": share(near, 0),
                "near_pair_auroc_brightness": floor(near)}
    return row


def compare(found, wanted):
    assert wanted and found.keys() == wanted.keys(), f"{found} is not {wanted}"
    for key, value in wanted.items():
        assert abs(found[key] - value) < 1e-12, f"{key}: {found} is not {wanted}"


classes = figures.pop("classes")
assert figures.pop("class") is None
compare(figures, expected(images))
by_class = {name: expected([image for image in images if image["class"] == name])
            for name in dict.fromkeys(image["class"] for image in images)}
assert [row["class"] for row in classes] == [name for name in by_class if by_class[name]], classes
for row in classes:
    compare({key: value for key, value in row.items() if key != "class"}, by_class[row["class"]])
print(f"checked: all images and {len(classes)} classes, near pairs in {sum('near_pairs' in row for row in classes)} of them, "
      f"{figures['unscored']} unscored, {figures['unlabelled']} unlabelled")
