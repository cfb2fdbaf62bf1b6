#!/usr/bin/python3
"""check_ablation.py FOLDER BASE LAYERS/PATCH...: FOLDER/ablation.csv has a row for each of these settings and no other, and each
row has the figures of that setting's eval.json, the rows of its bank as h5py counts them, seconds that passed, and, if BASE is
done, the difference from its AUROC; the bank says that it was made with that setting; each AUROC is written in the plot, which is
XML."""
import csv
import json
import sys
import xml.etree.ElementTree

import h5py

folder, base, settings = sys.argv[1], sys.argv[2], sys.argv[3:]
with open(f"{folder}/ablation.csv", newline="") as lines:
    rows = list(csv.DictReader(lines))
assert [f"{row['layers']}/{row['patch_size']}" for row in rows] == settings, rows
svg = xml.etree.ElementTree.parse(f"{folder}/ablation.svg")
written = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
for row in rows:
    name = f"{folder}/layers-{row['layers']}-patch-{row['patch_size']}"
    assert folder + "/" + row["setting"] == name
    with open(f"{name}/eval.json") as text:
        figures = json.load(text)
    for key in ("auroc", "auroc_brightness", "near_pair_auroc", "near_pair_auroc_brightness", "defective", "normal"):
        assert row[key] == ("" if figures.get(key) is None else str(figures[key])), (key, row, figures)
    with h5py.File(f"{name}/bank.h5", "r") as bank:
        assert int(row["bank_rows"]) == len(bank["features"]), row
        said = {key: value.decode() if isinstance(value, bytes) else str(value) for key, value in bank.attrs.items()}
        assert [said[f"option.{key}"] for key in ("taps", "patch-size", "features")] == [row["layers"], row["patch_size"],
                                                                                       "patchcore"], said
    expected = str(float(row["auroc"]) - float(rows[settings.index(base)]["auroc"])) if base in settings else ""
    assert row["difference_from_base"] == expected and bool(row["difference_standard_error"]) == (base in settings), row
    assert float(row["auroc_standard_error"]) > 0, row
    assert float(row["train_seconds"]) > 0 and float(row["score_seconds"]) > 0, row
    assert f"{float(row['auroc']):.3f}" in written, (row, written)
print(f"checked: {len(rows)} settings")
