"""Makes a list of images to archive: archive_images.py FOLDER [noise] [turned]

Good ones of every kind that is taken, with masks, classes, groups and awkward names, and among them one of each kind that is
not. With `noise` also a PNG of more than a chunk (1 MiB) of a shard; with
`turned` the first is one that its EXIF orientation turns from 12 x 30 to 30 x 12.
"""

import csv
import os
import random
import sys

from PIL import Image

folder = sys.argv[1]
generator = random.Random(7)
rows = []


def make(name, size, mode="RGB", mask=None, split="train", label="0", kind="bolt", group="", **options):
    width, height = size
    image = Image.frombytes(mode, size, generator.randbytes(width * height * len(Image.new(mode, (1, 1)).getbands())))
    if "noise" not in name:
        image = image.resize((3, 3)).resize(size)  # smooth, so that the files are small
    os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
    image.save(os.path.join(folder, name), **options)
    mask_name = ""
    if mask:
        mask_name = "mask/" + os.path.basename(name).split(".")[0] + ".png"
        os.makedirs(os.path.join(folder, "mask"), exist_ok=True)
        Image.new("L", mask, 255).save(os.path.join(folder, mask_name))
    rows.append([name, split, label, kind, group, mask_name])


def write(name, data):
    os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)
    rows.append([name, "train", "", "", "", ""])


if "turned" in sys.argv[2:]:
    exif = Image.Exif()
    exif[0x0112] = 6
    make("a/first.jpg", (12, 30), exif=exif)
make("a/grey.png", (16, 12), "L")
make("a/rgb, with comma.png", (9, 20), mask=(9, 20), split="test", label="1", group="m1")
make("b/\u00fcmlaut \"quoted\".jpg", (33, 31), quality=80, kind="nut", label="")
write("bad/not an image.png", b"plain text, no picture")
make("b/grey.jpg", (40, 8), "L", split="test", group="m2")
make("b/wrong mask.png", (8, 8), mask=(8, 9), split="test", label="1")
rows.append(["bad/missing.png", "train", "0", "", "", ""])
make("c/progressive.jpg", (64, 48), progressive=True, mask=(64, 48), split="test", label="1", group="m1")
if "noise" in sys.argv[2:]:
    make("c/noise.png", (700, 700))
make("c/last.png", (1, 1), kind="")
with open(os.path.join(folder, "b/grey.jpg"), "rb") as whole:
    write("bad/truncated.jpg", whole.read()[:-40])
write("bad/empty.png", b"")
make("d/after.png", (5, 5), group="m3")

with open(os.path.join(folder, "list.csv"), "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file)
    writer.writerow(["path", "split", "label", "class", "group", "mask"])
    writer.writerows(rows)
