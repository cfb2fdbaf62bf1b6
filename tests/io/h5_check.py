"""Reads our files with h5py, json and csv, and compares them with what they must hold.

h5_check.py archive ARCHIVE LIST.CSV SHARD_IMAGES    against the image files, as Pillow accepts them
h5_check.py bank FILE ROWS DIM                       against the formulas of test_bank_file.c
h5_check.py results FILE CSV IMAGES GRID BANK_ROWS   against the formulas of test_results_file.c
Prints "ok" and what was seen.
"""

import csv
import hashlib
import json
import os
import sys

import h5py
import numpy
from PIL import Image

TABLE = []
for index in range(256):
    for _ in range(8):
        index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
    TABLE.append(index)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def same(what, found, expected):
    equal = numpy.array_equal(found, expected) if isinstance(found, numpy.ndarray) else found == expected
    if not equal:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def column(file, name, dtype, shape, checked=True):
    dataset = file[name]
    same(name + " type", dataset.dtype, numpy.dtype(dtype))
    same(name + " shape", dataset.shape, shape)
    if checked and dataset.size:
        same(name + " has Fletcher-32", dataset.fletcher32, True)
    return dataset[()]


def ragged(file, name, count):
    offset = column(file, name + "/offset", "<u8", (count + 1,))
    data = column(file, name + "/bytes", "u1", (int(offset[-1]),)).tobytes()
    return [data[offset[i]:offset[i + 1]] for i in range(count)]


def strings(file, name, count):
    return [item.decode() for item in ragged(file, name, count)]


def attributes(file):
    return [(name, value.decode()) for name, value in file.attrs.items()]


def accepted(folder, row):
    """The image and mask files of a list row, or None where Pillow refuses one or their sizes differ."""
    found = []
    for name in filter(None, (row["path"], row["mask"])):
        try:
            with Image.open(os.path.join(folder, name)) as image:
                image.load()
                with open(os.path.join(folder, name), "rb") as file:
                    found.append((file.read(), image.size, image.mode, image.format))
        except (OSError, SyntaxError):
            return None
    if len({size for _, size, _, _ in found}) > 1:
        return None
    return found


def check_shard(archive, entry, folder, rows, first):
    taken = [(index, row, files) for index, row in enumerate(rows, first) if (files := accepted(folder, row))]
    count = len(taken)
    with open(os.path.join(archive, entry["file"]), "rb") as raw:
        same("sha256", hashlib.sha256(raw.read()).hexdigest(), entry["sha256"])
    file = h5py.File(os.path.join(archive, entry["file"]), "r")
    same("attributes", attributes(file), [("format", "patchbank-shard"), ("format_version", "1")])
    images, masks = ragged(file, "image", count), ragged(file, "mask", count)
    same("image bytes", images, [files[0][0] for _, _, files in taken])
    same("mask bytes", masks, [files[1][0] if len(files) > 1 else b"" for _, _, files in taken])
    same("image crc", column(file, "image/crc32c", "<u4", (count,)), [crc32c(data) for data in images])
    same("mask crc", column(file, "mask/crc32c", "<u4", (count,)), [crc32c(data) for data in masks])
    same("list_index", column(file, "list_index", "<u8", (count,)), [index for index, _, _ in taken])
    same("split", column(file, "split", "u1", (count,)), [int(row["split"] == "test") for _, row, _ in taken])
    same("label", column(file, "label", "i1", (count,)), [int(row["label"] or -1) for _, row, _ in taken])
    same("width", column(file, "width", "<u4", (count,)), [files[0][1][0] for _, _, files in taken])
    same("height", column(file, "height", "<u4", (count,)), [files[0][1][1] for _, _, files in taken])
    same("channels", column(file, "channels", "u1", (count,)), [{"L": 1, "RGB": 3}[files[0][2]] for _, _, files in taken])
    same("format", column(file, "format", "u1", (count,)), [{"JPEG": 1, "PNG": 2}[files[0][3]] for _, _, files in taken])
    for name in ("path", "class", "group"):
        same(name, strings(file, name, count), [row[name] for _, row, _ in taken])
    same("manifest entry", entry, {"file": entry["file"], "images": count, "bytes": sum(map(len, images + masks)),
                                   "train": sum(row["split"] == "train" for _, row, _ in taken),
                                   "defective": sum(row["label"] == "1" for _, row, _ in taken), "sha256": entry["sha256"]})
    return count


def check_archive(archive, list_path, shard_images):
    size = int(shard_images)
    with open(list_path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with open(os.path.join(archive, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    same("shards", [entry["file"] for entry in manifest["shards"]],
         [f"shard-{shard:05}.h5" for shard in range(-(-len(rows) // size))])
    total = sum(check_shard(archive, entry, os.path.dirname(list_path), rows[shard * size:(shard + 1) * size], shard * size)
                for shard, entry in enumerate(manifest["shards"]))
    same("head", {key: manifest[key] for key in manifest if key not in ("shards", "source")},
         {"format": "patchbank-archive", "version": 1, "shard_images": size, "images": total})
    return f"{total} images of {len(rows)}, source {manifest['source']}"


def check_bank(path, rows, dim):
    rows, dim = int(rows), int(dim)
    file = h5py.File(path, "r")
    index = numpy.arange(rows)
    features = numpy.arange(rows * dim, dtype="f4").reshape(rows, dim) * numpy.float32(0.25) - numpy.float32(3)
    same("features", column(file, "features", "<f4", (rows, dim)), features)
    same("image", column(file, "image", "<u8", (rows,)), 5000000000 + 7 * index)
    same("patch_row", column(file, "patch_row", "<u4", (rows,)), index % 28)
    same("patch_column", column(file, "patch_column", "<u4", (rows,)), index * 3 % 28)
    same("covering_radius", column(file, "covering_radius", "<f4", (rows,)), (1 / (1 + index)).astype("f4"))
    same("path", strings(file, "path", rows), [f"images/{i:04}.png" if i % 5 else "" for i in range(rows)])
    return repr(attributes(file))


def check_results(path, csv_path, *numbers):
    images, rows, columns, bank_rows = map(int, numbers)
    file = h5py.File(path, "r")
    index = numpy.arange(images)
    maps = (numpy.arange(images * rows * columns, dtype="f4") / numpy.float32(3)).reshape(images, rows, columns)
    score = (index / 7).astype("f4")
    patch, nearest = index * 5 % (rows * columns), index * 11 % bank_rows
    paths = [f"p/{i}, \"quoted\".png" if i % 3 == 0 else f"p/{i}.png" for i in range(images)]
    labels = [i % 3 - 1 for i in range(images)]
    same("map", column(file, "map", "<f4", (images, rows, columns), checked=False), maps)
    same("map_crc32c", column(file, "map_crc32c", "<u4", (images,)), [crc32c(row.tobytes()) for row in maps])
    same("score", column(file, "score", "<f4", (images,)), score)
    same("patch", column(file, "patch", "<u4", (images,)), patch)
    same("nearest", column(file, "nearest", "<u4", (images,)), nearest)
    same("brightness", column(file, "brightness", "<f8", (images, 4)), (index / 9)[:, None] + numpy.arange(4))
    same("archive_index", column(file, "archive_index", "<u8", (images,)), 2 * index + 1)
    same("split", column(file, "split", "u1", (images,)), index % 2)
    same("label", column(file, "label", "i1", (images,)), labels)
    same("path", strings(file, "path", images), paths)
    same("class", strings(file, "class", images), ["bolt\nnut" if i % 4 == 0 else "" for i in range(images)])
    same("group", strings(file, "group", images), [f"m{i // 2}" for i in range(images)])
    with open(csv_path, newline="", encoding="utf-8") as table:
        found = list(csv.reader(table))
    same("csv head", found[0], "path,split,class,group,label,score,patch_row,patch_column,nearest_row,nearest_path".split(","))
    for i in range(images):
        row = [paths[i], ["train", "test"][i % 2], "bolt\nnut" if i % 4 == 0 else "", f"m{i // 2}",
               "" if labels[i] < 0 else str(labels[i]), "%.9g" % score[i], str(patch[i] // columns), str(patch[i] % columns),
               str(nearest[i]), f"bank/{nearest[i]}.png"]
        same(f"csv row {i}", found[i + 1], row)
        same("csv float", numpy.float32(found[i + 1][5]), score[i])
    same("csv rows", len(found), images + 1)
    with open(csv_path, "rb") as table:
        same("csv line ends", table.read().count(b"\r\n"), images + 1)
    return repr(attributes(file))


print("ok", {"archive": check_archive, "bank": check_bank, "results": check_results}[sys.argv[1]](*sys.argv[2:]))
