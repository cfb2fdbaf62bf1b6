#!/usr/bin/python3
"""Tests of jobs/ablation_plot.py on made-up settings.

Usage:  python3 tests/jobs/test_ablation_plot.py      (or python3 -m unittest on this file)

The plot is read back as XML: the axis is what its own labels say, and each mark must lie where that axis has its value.
"""

import csv
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs", "ablation_plot.py")
SVG = "{http://www.w3.org/2000/svg}"
NEAR = {"near_pairs_within": 36, "near_pairs": 500, "near_pair_auroc_brightness": 0.55}


def load_script():
    specification = importlib.util.spec_from_file_location("ablation_plot", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def auroc(defective, normal):
    """By definition, pair by pair; the scores have no ties."""
    return sum(d > n for d in defective for n in normal) / (len(defective) * len(normal))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, text, *names):
        with open(self.path(*names), "w", encoding="utf-8") as file:
            file.write(text)

    def make_setting(self, layers, patch, value, near=None):
        name = f"layers-{layers}-patch-{patch}"
        os.mkdir(self.path(name))
        figures = {"defective": 80, "normal": 120, "auroc": value, "auroc_brightness": 0.712}
        if near is not None:
            figures |= NEAR | {"near_pair_auroc": near}
        self.write(json.dumps(figures), name, "eval.json")
        self.write(f"memory bank b.h5\n  {1000 + patch} rows of 64 values\n  option.taps   {layers}\n", name, "bank.txt")
        self.write("12.5\n", name, "train.seconds")
        self.write("3.25\n", name, "score.seconds")

    def run_script(self, layers="2 3 2,3", patch_sizes="1 3 5", folder=None, backbone="resnet18"):
        return subprocess.run([sys.executable, SCRIPT, folder or self.folder, "--backbone", backbone, "--layers", layers,
                               "--patch-sizes", patch_sizes, "--base-layers", "2,3", "--base-patch", "3"],
                              capture_output=True, text=True, check=False)

    def draw(self, **changes):
        done = self.run_script(**changes)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return Plot(self.path("ablation.svg"))

    def rows(self):
        with open(self.path("ablation.csv"), newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def assert_refused(self, status, word, **changes):
        done = self.run_script(**changes)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (status, "", 1), done.stderr)
        self.assertIn(word, done.stderr)


class Plot:
    """The plot as a reader sees it; places() turn pixels into what the labels of the axes say there."""

    def __init__(self, path):
        self.root = xml.etree.ElementTree.parse(path).getroot()
        self.texts = [(float(e.get("x")), float(e.get("y")), e.text) for e in self.root.iter(SVG + "text")]
        ticks = [(y - 4, float(words)) for _, y, words in self.texts if words.count(".") == 1 and len(words) == 4]
        (y1, value1), (y2, value2) = min(ticks), max(ticks)
        self.value = lambda y: value1 + (y - y1) * (value2 - value1) / (y2 - y1)

    def name(self, x):
        """The label below the axis at this place."""
        lowest_tick = max(y for _, y, words in self.texts if words.count(".") == 1 and len(words) == 4)
        return next(words for at, y, words in self.texts if abs(at - x) < 0.2 and y == lowest_tick + 14)

    def discs(self):
        """(label below, AUROC) of each disc of the panels; the legend's is above them."""
        found = [(float(e.get("cx")), float(e.get("cy"))) for e in self.root.iter(SVG + "circle") if float(e.get("cy")) > 60]
        return [(self.name(x), self.value(y)) for x, y in found]

    def squares(self):
        found = [(float(e.get("x")) + 4, float(e.get("y")) + 4) for e in self.root.iter(SVG + "rect") if e.get("x")]
        return [(self.name(x), self.value(y)) for x, y in found if y > 60]

    def lines(self, colour, is_upright):
        found = [[float(e.get(key)) for key in ("x1", "y1", "x2", "y2")] for e in self.root.iter(SVG + "line")
                 if e.get("stroke") == colour]
        return [line for line in found if (line[0] == line[2]) == is_upright]

    def words(self):
        return [words for _, _, words in self.texts]


class StandardError(unittest.TestCase):
    def test_it_is_the_spread_of_repeated_experiments(self):
        """Scores with the distributions that the formula assumes: exponential, the defective ones' scale larger by odds."""
        standard_error = load_script().standard_error
        source = random.Random(5)
        for area, defective, normal in ((0.9, 40, 10), (0.9, 10, 40), (0.7, 25, 25), (0.97, 30, 30)):
            rate = (1 - area) / area
            found = [auroc([source.expovariate(rate) for _ in range(defective)], [source.expovariate(1) for _ in range(normal)])
                     for _ in range(1500)]
            self.assertLessEqual(abs(statistics.fmean(found) - area), 0.01)
            expected = standard_error(area, defective, normal)
            self.assertLessEqual(abs(statistics.stdev(found) - expected), 0.1 * expected, (area, defective, normal))

    def test_by_hand(self):
        """One image of each kind: a coin with probability A. A perfect ranking has no spread."""
        standard_error = load_script().standard_error
        self.assertLessEqual(abs(standard_error(0.8, 1, 1) - 0.4), 1e-12)
        self.assertEqual((standard_error(1.0, 50, 70), standard_error(0.0, 50, 70)), (0, 0))


class Table(Case):
    def test_a_row_a_setting(self):
        self.make_setting("2,3", 1, 0.9375, 0.875)
        self.make_setting("2,3", 3, 0.9512345678901234, 0.9)
        self.make_setting("3", 3, 0.8)
        self.draw()
        rows = self.rows()
        self.assertEqual([(row["setting"], row["layers"], row["patch_size"], row["bank_rows"]) for row in rows],
                         [("layers-2,3-patch-1", "2,3", "1", "1001"), ("layers-2,3-patch-3", "2,3", "3", "1003"),
                          ("layers-3-patch-3", "3", "3", "1003")])
        self.assertEqual([(row["auroc"], row["near_pair_auroc"], row["near_pair_auroc_brightness"]) for row in rows],
                         [("0.9375", "0.875", "0.55"), ("0.9512345678901234", "0.9", "0.55"), ("0.8", "", "")])
        for row in rows:
            self.assertEqual([row[key] for key in ("auroc_brightness", "defective", "normal", "train_seconds", "score_seconds")],
                             ["0.712", "80", "120", "12.5", "3.25"])
            expected = load_script().standard_error(float(row["auroc"]), 80, 120)
            self.assertEqual(float(row["auroc_standard_error"]), expected)
        with open(self.path("ablation.csv"), "rb") as file:
            data = file.read()
        self.assertEqual((data.count(b"\n"), data.count(b"\r\n")), (4, 4))

    def test_the_same_bytes_again_and_nothing_else(self):
        self.make_setting("2", 3, 0.9)
        contents = []
        for _ in range(2):
            self.draw()
            for name in ("ablation.csv", "ablation.svg"):
                with open(self.path(name), "rb") as file:
                    contents.append(file.read())
        self.assertEqual(contents[:2], contents[2:])
        self.assertEqual(sorted(os.listdir(self.folder)), ["ablation.csv", "ablation.svg", "layers-2-patch-3"])


class Drawing(Case):
    def assert_marks(self, found, expected):
        self.assertEqual([name for name, _ in found], [name for name, _ in expected])
        for (name, value), (_, wanted) in zip(found, expected):
            self.assertLessEqual(abs(value - wanted), 0.0006, name)    # a tenth of a pixel

    def test_marks_lie_at_their_values(self):
        for patch, value, near in ((1, 0.93, 0.81), (3, 0.955, 0.86), (5, 0.9, 0.92)):
            self.make_setting("2,3", patch, value, near)
        self.make_setting("2", 3, 0.87, 0.9)
        plot = self.draw(layers="2 3 2,3")
        self.assert_marks(plot.discs(), [("1", 0.93), ("3", 0.955), ("5", 0.9), ("2", 0.87), ("2,3", 0.955)])
        self.assert_marks(plot.squares(), [("1", 0.81), ("3", 0.86), ("5", 0.92), ("2", 0.9), ("2,3", 0.86)])
        for words in ("0.930", "0.955", "0.900", "0.870", "0.810", "0.860", "0.920"):
            self.assertIn(words, plot.words())
        for words in ("3", "by patch size, layers 2,3", "by layers, patch size 3", "near-pair AUROC", "layers", "AUROC"):
            self.assertIn(words, plot.words())

    def test_bars_are_one_standard_error_up_and_down(self):
        self.make_setting("2,3", 3, 0.9)
        plot, error = self.draw(), load_script().standard_error(0.9, 80, 120)
        bars = plot.lines("#1965b0", True)
        self.assertEqual(len(bars), 2, "one in each panel")
        for _, top, _, bottom in bars:
            self.assertLessEqual(abs(plot.value(top) - 0.9 - error), 0.0006)
            self.assertLessEqual(abs(plot.value(bottom) - 0.9 + error), 0.0006)

    def test_values_keep_clear_of_marks_and_of_each_other(self):
        """Also where the near pairs are the better ones: the upper value is above both marks, the lower below."""
        self.make_setting("2,3", 1, 0.95, 0.949)
        self.make_setting("2,3", 3, 0.94, 0.941)
        plot = self.draw()
        by_words = {words: y for _, y, words in plot.texts}
        for upper, lower in (("0.950", "0.949"), ("0.941", "0.940")):
            self.assertLess(plot.value(by_words[lower]), float(lower))
            self.assertGreater(plot.value(by_words[upper]), float(upper))
            self.assertGreaterEqual(by_words[lower] - by_words[upper], 24)

    def test_neighbours_are_joined_and_gaps_are_not(self):
        for patch in (1, 3, 7, 9):
            self.make_setting("2,3", patch, 0.9, 0.8 if patch > 1 else None)
        plot = self.draw(patch_sizes="1 3 5 7 9")
        for colour, expected in (("#1965b0", [("1", "3"), ("7", "9")]), ("#2e7d41", [("7", "9")])):
            joined = [(plot.name(x1), plot.name(x2)) for x1, _, x2, _ in plot.lines(colour, False)]
            self.assertEqual(joined, expected)

    def test_without_near_pairs_nothing_speaks_of_them(self):
        self.make_setting("2,3", 3, 0.9)
        plot = self.draw()
        self.assertEqual(plot.squares(), [])
        self.assertFalse([words for words in plot.words() if "ear pair" in words or "ear-pair" in words])

    def test_notes_say_what_is_noise(self):
        self.make_setting("2,3", 3, 0.9, 0.8)
        self.make_setting("2", 3, 0.95, 0.8)
        words, error = " ".join(self.draw().words()), load_script().standard_error(0.95, 80, 120)
        self.assertIn(f"under {2 * error:.3f} are noise on 80 defective and 120 normal", words)
        self.assertIn("tuning", words)
        self.assertIn("0.712, near pairs 0.550", words)

    def test_all_that_is_drawn_is_inside(self):
        """Extreme figures, also a range without width."""
        for number, values in enumerate(((1.0, 1.0), (0.0, 1.0), (0.02, 0.5), (0.9, 0.0), (0.9, 0.9))):
            with self.subTest(values):
                folder = self.folder
                self.folder = self.path(str(number))
                os.mkdir(self.folder)
                self.make_setting("2,3", 3, *values)
                plot = self.draw()
                self.assert_marks(plot.discs(), [("3", values[0]), ("2,3", values[0])])
                self.assert_marks(plot.squares(), [("3", values[1]), ("2,3", values[1])])
                for x, y, words in plot.texts:
                    self.assertTrue(0 <= x <= 920 and 10 <= y <= 500, words)
                for line in plot.lines("#1965b0", True):
                    self.assertTrue(-0.0006 <= plot.value(line[3]) <= plot.value(line[1]) <= 1.0006, line)
                self.folder = folder

    def test_names_are_escaped(self):
        self.make_setting("2,3", 3, 0.9)
        self.assertIn("PatchCore's ablations: <a&b>", self.draw(backbone="<a&b>").words())


class Refusals(Case):
    def test_nothing_is_done(self):
        os.mkdir(self.path("layers-2,3-patch-3"))
        self.assert_refused(65, "no setting is done")
        self.assertEqual(os.listdir(self.folder), ["layers-2,3-patch-3"])

    def test_files_that_are_not_as_written(self):
        self.make_setting("2", 3, 0.9)
        self.draw()
        with open(self.path("ablation.csv"), "rb") as file:
            before = file.read()
        for name, text in (("eval.json", "{"), ("eval.json", "[]"), ("eval.json", '{"auroc": 0.5, "defective": 3}'),
                           ("eval.json", '{"auroc": 0.5, "defective": 0, "normal": 3, "auroc_brightness": 0.5}'),
                           ("bank.txt", "memory bank\n"), ("train.seconds", ""), ("score.seconds", "soon\n")):
            with self.subTest(name + text):
                self.make_setting("3", 3, 0.8)
                self.write(text, "layers-3-patch-3", name)
                self.assert_refused(65, "layers-3-patch-3 is not as ablation.sh wrote it")
                with open(self.path("ablation.csv"), "rb") as file:
                    self.assertEqual(file.read(), before)
                for left in os.listdir(self.path("layers-3-patch-3")):
                    os.unlink(self.path("layers-3-patch-3", left))
                os.rmdir(self.path("layers-3-patch-3"))

    def test_output_that_cannot_be_written(self):
        self.make_setting("2", 3, 0.9)
        os.mkdir(self.path("ablation.csv"))
        self.assert_refused(73, "s a directory")
        self.assertEqual(sorted(os.listdir(self.folder)), ["ablation.csv", "layers-2-patch-3"])

    def test_usage(self):
        self.assert_refused(64, "--patch-sizes", patch_sizes="1 three")
        done = subprocess.run([sys.executable, SCRIPT, self.folder], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (64, ""))


if __name__ == "__main__":
    unittest.main()
