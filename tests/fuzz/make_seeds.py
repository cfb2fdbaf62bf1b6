#!/usr/bin/python3
"""Seeds for the fuzzers: small sound and odd files of every kind.

Usage:  make_seeds.py MAKE_ARCHIVE FOLDER      MAKE_ARCHIVE: the program of make_archive.c

Writes FOLDER/image, FOLDER/safetensors and FOLDER/archive anew. Needs python3-pil and python3-numpy.
"""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

IO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "io")
IMAGE_BYTES_MAX = 2000


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def make_images(folder):
    """Of tests/io/images.py everything that is small."""
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([sys.executable, os.path.join(IO, "images.py"), "make", made], check=True)
        for kind in ("good", "bad", "attack"):
            for name in sorted(os.listdir(os.path.join(made, kind))):
                data = read(os.path.join(made, kind, name))
                if len(data) <= IMAGE_BYTES_MAX:
                    write(folder, f"{kind}-{name}", data)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make_safetensors(folder):
    one = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    two = {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]}
    half = {"dtype": "F16", "shape": [2, 1, 1, 4], "data_offsets": [0, 16]}
    write(folder, "two", safetensors({"a.weight": one, "b": two, "__metadata__": {"by": "hand"}}, bytes(range(32))))
    write(folder, "half", safetensors({"h": half}, bytes(16)))
    write(folder, "scalar", safetensors({"s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, bytes(4)))
    write(folder, "none", safetensors({}))
    write(folder, "empty-tensor", safetensors({"e": {"dtype": "F32", "shape": [0, 7], "data_offsets": [0, 0]}}))
    write(folder, "overlap", safetensors({"a": one, "b": one}, bytes(24)))
    write(folder, "padded", safetensors(json.dumps({"a": one}).encode() + b"    ", bytes(24)))
    write(folder, "no-json", safetensors(b"{\"a\":"))


FILES = ("manifest.json", "shard-00000.h5", "edition-000002/manifest.json", "edition-000002/shard-00001.h5",
         "edition-000002/shard-00000.h5")


def joined(archive):
    """An archive's files as fuzz_archive.c takes them."""
    paths = [os.path.join(archive, name) for name in FILES]
    return b"".join(struct.pack("<I", len(data)) + data for data in (read(p) if os.path.exists(p) else b"" for p in paths))


def replaced(data, old, new):
    if data.count(old) != 1:
        sys.exit(f"{old} is {data.count(old)} times in {data}")
    return data.replace(old, new)


def make_lying(archive):
    """Of an archive whose first edition is empty: that edition says it has an image, and all hashes are those of this text."""
    first, path = read(os.path.join(archive, FILES[0])), os.path.join(archive, FILES[2])
    lie = replaced(first, b'"images": 0', b'"images": 1')
    sums = [hashlib.sha256(text).hexdigest().encode() for text in (first, lie)]
    second = replaced(read(path), *sums)
    second = replaced(second, b'"images": 0,\n   "shards": 0', b'"images": 1,\n   "shards": 0')
    for name in (FILES[0], FILES[2]):
        write(archive, name, second)


def make_archives(folder, make_archive):
    with tempfile.TemporaryDirectory() as made:
        images = os.path.join(made, "images")
        subprocess.run([sys.executable, os.path.join(IO, "archive_images.py"), images], check=True)
        rows = read(os.path.join(images, "list.csv")).splitlines(keepends=True)
        lists = {"none": "-"} | {name: os.path.join(images, f"{name}.csv") for name in ("all", "one", "masked", "rest")}
        for name, part in (("all", rows), ("one", rows[:2]), ("masked", rows[:3]), ("rest", rows[:1] + rows[3:6])):
            write(images, f"{name}.csv", b"".join(part))
        for name, words in (("all", ["all"]), ("one", ["one"]), ("masked", ["masked"]), ("behind", ["one", "rest"]),
                            ("empty", ["none", "one"])):
            archive = os.path.join(made, name)
            subprocess.run([make_archive, lists[words[0]], archive] + [lists[word] for word in words[1:]], check=True)
            write(folder, name, joined(archive))
        shutil.copy(os.path.join(made, "behind", FILES[2]), os.path.join(made, "behind", FILES[0]))
        write(folder, "grown", joined(os.path.join(made, "behind")))
        make_lying(os.path.join(made, "empty"))
        write(folder, "lying", joined(os.path.join(made, "empty")))


def main(words):
    if len(words) != 2:
        sys.exit(__doc__)
    make_archive, folder = words
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("image", "safetensors", "archive"):
        os.makedirs(os.path.join(folder, kind))
    make_images(os.path.join(folder, "image"))
    make_safetensors(os.path.join(folder, "safetensors"))
    make_archives(os.path.join(folder, "archive"), make_archive)


if __name__ == "__main__":
    main(sys.argv[1:])
