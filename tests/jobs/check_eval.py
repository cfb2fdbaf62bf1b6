#!/usr/bin/python3
"""check_eval.py SCORES.csv EVAL.json WITHIN: eval's figures against the definition of AUROC, pair by pair, from the CSV file."""
import csv
import json
import sys


def share(rows, within=None):
    wins = pairs = 0
    for defect in rows:
        for normal in rows:
            if defect["label"] != "1" or normal["label"] != "0":
                continue
            if within is not None and abs(int(defect["group"]) - int(normal["group"])) > within:
                continue
            a, b = float(defect["score"]), float(normal["score"])
            wins += 1 if a > b else 0.5 if a == b else 0
            pairs += 1
    return wins / pairs, pairs


with open(sys.argv[1], newline="") as lines:
    rows = list(csv.DictReader(lines))
with open(sys.argv[2]) as text:
    figures = json.load(text)
within = int(sys.argv[3])
assert abs(figures["auroc"] - share(rows)[0]) < 1e-9, figures
near, pairs = share(rows, within)
assert abs(figures["near_pair_auroc"] - near) < 1e-9 and figures["near_pairs"] == pairs, figures
assert 0 <= figures["auroc_brightness"] <= 1
assert figures["unlabelled"] == sum(row["label"] == "" for row in rows)
assert {row["class"] for row in figures["classes"]} == {row["class"] for row in rows}
for entry in figures["classes"]:
    assert abs(entry["auroc"] - share([row for row in rows if row["class"] == entry["class"]])[0]) < 1e-9, entry
