#!/usr/bin/python3
"""Tests of jobs/elpv_list.py on synthetic data sets.

Usage:  python3 tests/jobs/test_elpv_list.py      (or python3 -m unittest on this file)

The oracle decides cell by cell, by the inverse of the rule that the script applies: position p of n is the i-th
choice of k exactly if i = ceil(p*k/n) and i*n < (p+1)*k.
"""

import csv
import os
import random
import subprocess
import sys
import tempfile
import unittest
import zipfile

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "jobs", "elpv_list.py")
GOOD, UNCLEAR, BAD = "0.0", "0.3333333333333333", "1.0"


def make_labels(functional, defective, seed=3):
    """Shuffled lines of one data set: the given counts of mono, the same of poly, and unclear cells between."""
    kinds = [(GOOD, functional), (BAD, defective), (UNCLEAR, 50)]
    cells = [(probability, cell_type) for cell_type in ("mono", "poly") for probability, n in kinds for _ in range(n)]
    random.Random(seed).shuffle(cells)
    return [(f"images/cell{number:04}.png", *cell) for number, cell in enumerate(cells, start=1)]


def format_labels(labels):
    return "".join(f"{path}  {probability:<18}  {cell_type}\n" for path, probability, cell_type in labels)


def choice_index(position, available, wanted):
    """Which choice (0..wanted-1) this position is, or None."""
    i = -(-position * wanted // available)
    return i if i * available < (position + 1) * wanted and i < wanted else None


def expected_rows(labels, cell_type):
    """{path: (split, label)} by the oracle."""
    rows = {}
    for probability, wanted in ((GOOD, 500), (BAD, 200)):
        paths = [path for path, p, t in labels if p == probability and t == cell_type]
        for position, path in enumerate(paths):
            i = choice_index(position, len(paths), wanted)
            if i is not None:
                is_train = probability == GOOD and i % 5 in (0, 1, 2)
                rows[path] = ("train" if is_train else "test", "1" if probability == BAD else "0")
    return rows


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.abspath(folder.name)
        self.output = os.path.join(self.folder, "list.csv")

    def make_folder(self, labels, text=None):
        source = os.path.join(self.folder, "data")
        os.makedirs(os.path.join(source, "images"))
        with open(os.path.join(source, "labels.csv"), "w", encoding="utf-8") as file:
            file.write(format_labels(labels) if text is None else text)
        for path, _, _ in labels:
            with open(os.path.join(source, path), "wb") as file:
                file.write(path.encode())
        return source

    def make_wheel(self, labels):
        source = os.path.join(self.folder, "elpv.whl")
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("elpv_dataset/data/labels.csv", format_labels(labels))
            for path, _, _ in labels:
                archive.writestr(f"elpv_dataset/data/{path}", path.encode())
        return source

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)

    def make_list(self, *arguments):
        done = self.run_script(*arguments, "--output", self.output)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(self.output, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def assert_refused(self, status, word, *arguments):
        done = self.run_script(*arguments)
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (status, "", 1), done.stderr)
        self.assertIn(word, done.stderr)
        self.assertFalse(os.path.exists(self.output))


class Split(Case):
    def assert_split(self, labels, cell_type):
        rows = self.make_list(self.make_folder(labels), "--type", cell_type)
        found = {row["path"].removeprefix("data/"): (row["split"], row["label"]) for row in rows}
        self.assertEqual(len(rows), len(found))
        self.assertEqual(found, expected_rows(labels, cell_type))
        kinds = [(row["split"], row["label"]) for row in rows]
        self.assertEqual(kinds, [("train", "0")] * 300 + [("test", "0")] * 200 + [("test", "1")] * 200)
        for row in rows:
            self.assertEqual(row["class"], cell_type)
            self.assertEqual(f"data/images/cell{int(row['group']):04}.png", row["path"])
        for begin, end in ((0, 300), (300, 500), (500, 700)):
            groups = [int(row["group"]) for row in rows[begin:end]]
            self.assertEqual(groups, sorted(groups))

    def test_counts_and_positions(self):
        self.assert_split(make_labels(588, 313), "mono")

    def test_the_other_type(self):
        self.assert_split(make_labels(920, 402), "poly")

    def test_exactly_enough_cells(self):
        self.assert_split(make_labels(500, 200), "mono")

    def test_known_positions(self):
        """A few positions worked out by hand: with 588 cells, choice 499 is cell floor(499*588/500) = 586."""
        labels = make_labels(588, 313)
        good = [path for path, p, t in labels if (p, t) == (GOOD, "mono")]
        bad = [path for path, p, t in labels if (p, t) == (BAD, "mono")]
        rows = self.make_list(self.make_folder(labels), "--type", "mono")
        paths = [row["path"].removeprefix("data/") for row in rows]
        self.assertEqual(paths[:4], [good[0], good[1], good[2], good[5]])
        self.assertEqual((paths[299], paths[300], paths[499]), (good[584], good[3], good[586]))
        self.assertEqual((paths[500], paths[501], paths[699]), (bad[0], bad[1], bad[311]))

    def test_file_is_rfc_4180_and_repeatable(self):
        source = self.make_folder(make_labels(500, 200))
        contents = []
        for _ in range(2):
            self.make_list(source, "--type", "poly")
            with open(self.output, "rb") as file:
                contents.append(file.read())
        self.assertEqual(contents[0], contents[1])
        self.assertTrue(contents[0].startswith(b"path,split,label,class,group\r\ndata/images/cell"))
        self.assertEqual(contents[0].count(b"\n"), contents[0].count(b"\r\n"))
        self.assertEqual(contents[0].count(b"\n"), 701)
        self.assertEqual(sorted(os.listdir(self.folder)), ["data", "list.csv"])


class Contamination(Case):
    def test_untested_defects_stand_in_places_spread_over_the_training_rows(self):
        labels = make_labels(588, 313)
        source = self.make_folder(labels)
        clean = self.make_list(source, "--type", "mono")
        noisy = self.make_list(source, "--type", "mono", "--contaminate", "0.1")
        self.assertEqual(len(clean), len(noisy))
        changed = [i for i, (a, b) in enumerate(zip(clean, noisy)) if a != b]
        self.assertEqual(changed, list(range(0, 300, 10)))
        bad = {path for path, p, t in labels if (p, t) == (BAD, "mono")}
        tested = {row["path"].removeprefix("data/") for row in clean if row["label"] == "1"}
        taken = [noisy[i]["path"].removeprefix("data/") for i in changed]
        unused = [path for path, _, _ in labels if path in bad - tested]
        self.assertEqual(taken, [path for i, path in enumerate(unused) if choice_index(i, len(unused), 30) is not None])
        self.assertEqual({(noisy[i]["split"], noisy[i]["label"]) for i in changed}, {("train", "1")})

    def test_too_few_defects_and_no_share(self):
        source = self.make_folder(make_labels(500, 230))
        self.make_list(source, "--type", "mono", "--contaminate", "0.1")
        os.unlink(self.output)
        arguments = (source, "--type", "mono", "--output", self.output)
        self.assert_refused(65, "31 defective cells are needed to contaminate, 30", *arguments, "--contaminate", "0.104")
        for share in ("1.1", "-0.1", "nan", "some"):
            self.assert_refused(64, "--contaminate", *arguments, f"--contaminate={share}")


class Extraction(Case):
    def test_wheel_gives_the_listed_images_only(self):
        labels = make_labels(588, 313)
        target = os.path.join(self.folder, "cells")
        rows = self.make_list(self.make_wheel(labels), "--type", "mono", "--extract", target)
        self.assertEqual({row["path"] for row in rows}, {"cells/" + path for path in expected_rows(labels, "mono")})
        self.assertEqual(os.listdir(target), ["images"])
        self.assertEqual({f"cells/images/{name}" for name in os.listdir(os.path.join(target, "images"))},
                         {row["path"] for row in rows})
        for row in rows:
            with open(os.path.join(self.folder, row["path"]), "rb") as file:
                self.assertEqual("cells/" + file.read().decode(), row["path"])

    def test_damaged_copy_is_replaced(self):
        source, target = self.make_wheel(make_labels(500, 200)), os.path.join(self.folder, "cells")
        rows = self.make_list(source, "--type", "mono", "--extract", target)
        first = os.path.join(self.folder, rows[0]["path"])
        with open(first, "wb") as file:
            file.write(b"half")
        self.make_list(source, "--type", "mono", "--extract", target)
        with open(first, "rb") as file:
            self.assertEqual("cells/" + file.read().decode(), rows[0]["path"])

    def test_images_beside_the_list_get_absolute_paths(self):
        source = self.make_folder(make_labels(500, 200))
        os.mkdir(os.path.join(self.folder, "lists"))
        self.output = os.path.join(self.folder, "lists", "list.csv")
        for row in self.make_list(source, "--type", "mono"):
            self.assertTrue(row["path"].startswith(os.path.join(source, "images")))


class Refusals(Case):
    def arguments(self, source):
        return source, "--type", "mono", "--output", self.output

    def test_too_few_cells(self):
        source = self.make_folder(make_labels(499, 200))
        self.assert_refused(65, "has 499 functional and 200 defective", *self.arguments(source))

    def test_missing_image(self):
        labels = make_labels(500, 200)
        source = self.make_folder(labels)
        missing = next(path for path, p, t in labels if (p, t) == (GOOD, "mono"))
        os.unlink(os.path.join(source, missing))
        self.assert_refused(65, missing, *self.arguments(source))

    def test_bad_labels(self):
        for number, (line, word) in enumerate((
                ("images/cell0001.png 1.0", "line 1"), ("images/cell0001.png one mono", "line 1"),
                ("images/cell0001.png nan mono", "out of range"), ("images/cell0001.png 1.0 thin", "out of range"),
                ("../cell0001.png 1.0 mono", "unsafe"), ("/etc/cell0001.png 1.0 mono", "unsafe"),
                ("images/a1.png 1.0 mono\nimages/a1.png 0.0 mono", "twice"), ("", "has 0 functional"))):
            with self.subTest(line):
                source = os.path.join(self.folder, str(number))
                os.mkdir(source)
                with open(os.path.join(source, "labels.csv"), "w", encoding="utf-8") as file:
                    file.write(line + "\n")
                self.assert_refused(65, word, *self.arguments(source))

    def test_unusable_sources(self):
        broken = os.path.join(self.folder, "broken.whl")
        with open(broken, "wb") as file:
            file.write(b"PK no wheel")
        extract = ("--extract", os.path.join(self.folder, "cells"))
        self.assert_refused(65, "damaged wheel", *self.arguments(broken), *extract)
        self.assert_refused(65, "No such file", *self.arguments(os.path.join(self.folder, "none.whl")), *extract)
        self.assert_refused(65, "labels.csv", *self.arguments(os.path.join(self.folder, "none")))

    def test_usage(self):
        wheel = self.make_wheel(make_labels(500, 200))
        self.assert_refused(64, "needs --extract", *self.arguments(wheel))
        self.assert_refused(64, "--type", wheel, "--output", self.output)
        self.assert_refused(64, "invalid choice", wheel, "--type", "thin", "--output", self.output)

    def test_output_that_cannot_be_written(self):
        source = self.make_folder(make_labels(500, 200))
        target = os.path.join(self.folder, "no", "list.csv")
        self.assert_refused(73, "No such file", source, "--type", "mono", "--output", target)


if __name__ == "__main__":
    unittest.main()
