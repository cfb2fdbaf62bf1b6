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
import shutil
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
    """By definition, pair by pair."""
    return sum((d > n) + 0.5 * (d == n) for d in defective for n in normal) / (len(defective) * len(normal))


def make_scores(wins, source):
    """80 defective and 120 normal scores of which `wins` pairs of 9,600 are ordered: normal image j scores j, and a defective one
    that is above k of them k - 0.5. Who is above how many is drawn at random."""
    above = [wins // 80 + (i < wins % 80) for i in range(80)]
    for _ in range(4000):
        i, j = source.randrange(80), source.randrange(80)
        if i != j and above[i] < 120 and above[j] > 0:
            above[i], above[j] = above[i] + 1, above[j] - 1
    return [k - 0.5 for k in above], list(range(120))


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
        """A setting that is done; value: an AUROC that 9,600 pairs can have. Returns its scores (defective, normal)."""
        name = f"layers-{layers}-patch-{patch}"
        os.makedirs(self.path(name, "results"))
        figures = {"defective": 80, "normal": 120, "auroc": value, "auroc_brightness": 0.712}
        if near is not None:
            figures |= NEAR | {"near_pair_auroc": near}
        self.write(json.dumps(figures), name, "eval.json")
        scores = make_scores(round(value * 9600), random.Random(f"{layers} {patch}"))
        rows = [f"{label}{i},{label},{score}\r\n" for label in (1, 0) for i, score in enumerate(scores[1 - label])]
        self.write("path,label,score\r\n" + "".join(rows) + "unlabelled,,5\r\nunscored,1,\r\n", name, "results", "scores.csv")
        self.write(f"memory bank b.h5\n  {1000 + patch} rows of 64 values\n  option.taps   {layers}\n", name, "bank.txt")
        self.write("12.5\n", name, "train.seconds")
        self.write("3.25\n", name, "score.seconds")
        return scores

    def run_script(self, layers="2 3 2,3", patch_sizes="1 3 5", folder=None, title="ablations"):
        return subprocess.run([sys.executable, SCRIPT, folder or self.folder, "--title", title, "--layers", layers,
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
    def setUp(self):
        self.script = load_script()

    def place(self, defective, normal):
        return self.script.place_scores([], defective, normal)

    def test_it_is_the_spread_of_repeated_experiments(self):
        """Two detectors that see the same images, each with noise of its own: the estimates, averaged over many experiments, are
        the spread of the AUROC and of the difference over these experiments."""
        source = random.Random(5)
        for defective, normal, shift in ((40, 12, 1.5), (12, 40, 1.5), (25, 25, 0.5)):
            found = {"auroc": [], "auroc error": [], "difference": [], "difference error": []}
            for _ in range(700):
                images = [[source.gauss(mean, 1) for _ in range(count)] for mean, count in ((shift, defective), (0, normal))]
                one, two = [self.place(*[[score + source.gauss(0, 0.5) for score in kind] for kind in images]) for _ in range(2)]
                areas = [statistics.fmean(placed.defective) for placed in (one, two)]
                for key, value in zip(found, (areas[0], self.script.standard_error(one), areas[0] - areas[1],
                                              self.script.standard_error(one, two))):
                    found[key].append(value)
            for what in ("auroc", "difference"):
                spread, estimate = statistics.stdev(found[what]), statistics.fmean(found[what + " error"])
                self.assertLessEqual(abs(estimate / spread - 1), 0.1, (what, defective, normal))
            self.assertLessEqual(statistics.stdev(found["difference"]), 0.8 * statistics.stdev(found["auroc"]))

    def test_placements_are_those_of_the_definition(self):
        """With ties, within a kind and across."""
        source = random.Random(3)
        defective, normal = [source.randrange(9) for _ in range(17)], [source.randrange(7) for _ in range(23)]
        placed = self.place(defective, normal)
        for score, share in zip(defective, placed.defective):
            self.assertLessEqual(abs(share - auroc([score], normal)), 1e-12)
        for score, share in zip(normal, placed.normal):
            self.assertLessEqual(abs(share - auroc(defective, [score])), 1e-12)

    def test_by_hand(self):
        """Placements 1, 1/2 and 1/2, 1: variances of 1/8, over two images each."""
        placed = self.place([3, 1], [0, 2])
        self.assertEqual((placed.defective, placed.normal), ([1, 0.5], [1, 0.5]))
        self.assertLessEqual(abs(self.script.standard_error(placed) - 0.125 ** 0.5), 1e-12)
        perfect = self.place([3, 4], [0, 2])
        self.assertEqual(self.script.standard_error(perfect), 0)
        self.assertEqual(self.script.standard_error(placed, placed), 0)
        self.assertLessEqual(abs(self.script.standard_error(placed, perfect) - 0.125 ** 0.5), 1e-12)

    def test_one_image_of_a_kind_has_no_spread_to_measure(self):
        self.assertIsNone(self.script.standard_error(self.place([1], [0, 2, 4])))
        self.assertIsNone(self.script.standard_error(self.place([1, 5], [0])))


class Table(Case):
    def test_a_row_a_setting(self):
        scores = [self.make_setting("2,3", 1, 0.9375, 0.875), self.make_setting("2,3", 3, 9131 / 9600, 0.9),
                  self.make_setting("3", 3, 0.8)]
        self.draw()
        rows = self.rows()
        self.assertEqual([(row["setting"], row["layers"], row["patch_size"], row["bank_rows"]) for row in rows],
                         [("layers-2,3-patch-1", "2,3", "1", "1001"), ("layers-2,3-patch-3", "2,3", "3", "1003"),
                          ("layers-3-patch-3", "3", "3", "1003")])
        self.assertEqual([(row["auroc"], row["near_pair_auroc"], row["near_pair_auroc_brightness"]) for row in rows],
                         [("0.9375", "0.875", "0.55"), (str(9131 / 9600), "0.9", "0.55"), ("0.8", "", "")])
        for row in rows:
            self.assertEqual([row[key] for key in ("auroc_brightness", "defective", "normal", "train_seconds", "score_seconds")],
                             ["0.712", "80", "120", "12.5", "3.25"])
        script = load_script()
        placed = [script.place_scores([], *kinds) for kinds in scores]
        for row, one in zip(rows, placed):
            self.assertEqual(row["auroc_standard_error"], str(script.standard_error(one)))
            self.assertEqual(row["difference_standard_error"], str(script.standard_error(one, placed[1])))
            self.assertLessEqual(abs(float(row["difference_from_base"]) - float(row["auroc"]) + 9131 / 9600), 1e-12)
        with open(self.path("ablation.csv"), "rb") as file:
            data = file.read()
        self.assertEqual((data.count(b"\n"), data.count(b"\r\n")), (4, 4))

    def test_without_the_base_setting_there_are_no_differences(self):
        self.make_setting("3", 3, 0.8)
        self.draw()
        self.assertEqual([(row["difference_from_base"], row["difference_standard_error"]) for row in self.rows()], [("", "")])

    def test_one_image_of_a_kind(self):
        """No standard error, no bar, and no claim about noise; the rest as ever."""
        self.make_setting("2,3", 3, 0.5)
        self.write('{"auroc": 0.5, "defective": 1, "normal": 2, "auroc_brightness": 0.5}', "layers-2,3-patch-3", "eval.json")
        self.write("path,label,score\na,1,2\nb,0,1\nc,0,3\n", "layers-2,3-patch-3", "results", "scores.csv")
        plot = self.draw()
        self.assertEqual([(row["auroc"], row["auroc_standard_error"]) for row in self.rows()], [("0.5", "")])
        self.assertFalse([words for words in plot.words() if "noise" in words])

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
        script, scores = load_script(), self.make_setting("2,3", 3, 0.9)
        plot, error = self.draw(), script.standard_error(script.place_scores([], *scores))
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
        best, script = self.make_setting("2", 3, 0.95, 0.8), load_script()
        words, error = " ".join(self.draw().words()), script.standard_error(script.place_scores([], *best))
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
        self.assertIn("<a&b>", self.draw(title="<a&b>").words())


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
                           ("eval.json", '{"auroc": 0.7, "defective": 80, "normal": 120, "auroc_brightness": 0.5}'),
                           ("results/scores.csv", "path,label,score\na,1,2\n"), ("results/scores.csv", ""),
                           ("bank.txt", "memory bank\n"), ("train.seconds", ""), ("score.seconds", "soon\n")):
            with self.subTest(name + text):
                self.make_setting("3", 3, 0.8)
                self.write(text, "layers-3-patch-3", name)
                self.assert_refused(65, "layers-3-patch-3 is not as ablation.sh wrote it")
                with open(self.path("ablation.csv"), "rb") as file:
                    self.assertEqual(file.read(), before)
                shutil.rmtree(self.path("layers-3-patch-3"))

    def test_scores_of_other_images(self):
        self.make_setting("2,3", 3, 0.9)
        self.make_setting("3", 3, 0.9)
        with open(self.path("layers-3-patch-3", "results", "scores.csv"), encoding="utf-8") as file:
            text = file.read()
        self.write(text.replace("\n07,", "\nother,"), "layers-3-patch-3", "results", "scores.csv")
        self.assert_refused(65, "layers-3-patch-3 has scores of other images than layers-2,3-patch-3")

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
