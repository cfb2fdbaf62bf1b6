#!/usr/bin/python3
"""Tests of jobs/noise_table.py on made-up settings.

Usage:  python3 tests/jobs/test_noise_table.py      (or python3 -m unittest on this file)
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs", "noise_table.py")
NORMAL = [1, 2, 3, 4]
DEFECTIVE = {("0", "none"): [5, 6, 7], ("0", "lof"): [5, 6, 2.5], ("0.2", "none"): [0, 2.5, 5], ("0.2", "lof"): [2.5, 2.5, 5]}


def auroc(defective):
    """By definition, pair by pair."""
    return sum(d > n for d in defective for n in NORMAL) / (len(defective) * len(NORMAL))


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for (share, how), defective in DEFECTIVE.items():
            setting = os.path.join(self.folder, f"share-{share}-{how}")
            os.makedirs(os.path.join(setting, "results"))
            with open(os.path.join(setting, "eval.json"), "w", encoding="utf-8") as file:
                json.dump({"auroc": auroc(defective), "near_pair_auroc": auroc(defective) / 2}, file)
            with open(os.path.join(setting, "results", "scores.csv"), "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(("path", "label", "score"))
                writer.writerows((f"n{i}", 0, score) for i, score in enumerate(NORMAL))
                writer.writerows((f"d{i}", 1, score) for i, score in enumerate(defective))

    def run_script(self, shares, ways):
        return subprocess.run([sys.executable, SCRIPT, self.folder, "--shares", shares, "--denoise", ways], capture_output=True,
                              text=True, check=False)

    def test_figures_and_differences(self):
        done = self.run_script("0 0.2", "none lof")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(os.path.join(self.folder, "noise.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(row["share"], row["denoise"]) for row in rows], list(DEFECTIVE))
        for row, (key, defective) in zip(rows, DEFECTIVE.items()):
            self.assertAlmostEqual(float(row["auroc"]), auroc(defective))
            self.assertAlmostEqual(float(row["near_pair_auroc"]), auroc(defective) / 2)
            self.assertGreater(float(row["auroc_standard_error"]) + 1e-9, 0)
            if key[1] == "none":
                self.assertEqual((row["difference_from_first"], row["difference_standard_error"]), ("", ""))
            else:
                self.assertAlmostEqual(float(row["difference_from_first"]), auroc(defective) - auroc(DEFECTIVE[key[0], "none"]))
                self.assertGreater(float(row["difference_standard_error"]), 0)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertTrue(lines[0].endswith("from none |"))
        self.assertTrue(lines[5].startswith("| 20 % | lof | 0.667 | 0.333 | +0.167 ± "), lines[5])
        self.assertIn("−0.167", lines[3])

    def test_a_missing_setting(self):
        done = self.run_script("0 0.1", "none")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (65, "", 1))
        self.assertIn("share-0.1-none", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "noise.csv")))


if __name__ == "__main__":
    unittest.main()
