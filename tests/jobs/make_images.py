#!/usr/bin/python3
"""make_images.py FOLDER: a small collection for the tests of the jobs: FOLDER/list.csv and its images; FOLDER/masked.csv, the
same with masks.

Waves of one frequency are normal, a blot of stripes on them is a defect. 10 training images (group 100); 6 normal, 6 defective
and 2 unlabelled test images (groups 0 to 5 by turns); grey PNG and RGB JPEG of several sizes by turns; two classes. The same
bytes every time for one version of Pillow and numpy.

Masks show the blots, of 255, of 1 or in colour by turns, and in image 16 a second region. Image 17 is defective without a mask,
18 has an empty one; of the normal images 11 has an empty one.
"""
import csv
import os
import sys

import numpy
from PIL import Image

SIZES = [(150, 140), (160, 128), (128, 170), (131, 129)]


def mask_of(number, blot):
    """The mask of an image as an image, None for none."""
    if number == 17 or not (blot.any() or number == 11):
        return None
    inside = blot & (number != 18)
    if number == 16:
        inside[8:16, 12:20] = True
    if number % 3 == 0:
        return Image.fromarray(numpy.stack([inside * 0, inside * 0, inside * 9], axis=2).astype(numpy.uint8))
    return Image.fromarray((inside * (255 if number % 2 else 1)).astype(numpy.uint8))


def draw(number, defective):
    width, height = SIZES[number % len(SIZES)]
    random = numpy.random.RandomState(1000 + number)
    y, x = numpy.mgrid[0:height, 0:width]
    wave = 120 + 40 * numpy.sin(x / 5.0) + 25 * numpy.cos(y / 7.0) + random.normal(0, 3, (height, width))
    blot = numpy.zeros((height, width), bool)
    if defective:
        cx, cy = random.randint(30, width - 30), random.randint(30, height - 30)
        blot = (x - cx) ** 2 + (y - cy) ** 2 < 144
        wave = numpy.where(blot, numpy.where((x + y) % 4 < 2, 255, 0), wave)
    grey = numpy.clip(wave, 0, 255).astype(numpy.uint8)
    if number % 2 == 0:
        return Image.fromarray(grey), "png", mask_of(number, blot)
    return Image.fromarray(numpy.stack([grey, grey // 2 + 40, 255 - grey], axis=2)), "jpg", mask_of(number, blot)


def write_list(path, columns, rows):
    with open(path, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows([row[:len(columns)] for row in rows])


def main():
    folder = sys.argv[1]
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    os.makedirs(os.path.join(folder, "masks"), exist_ok=True)
    rows = []
    for number in range(24):
        split = "train" if number < 10 else "test"
        defective = 16 <= number < 22
        label = "" if number >= 22 else "1" if defective else "0"
        image, ending, mask = draw(number, defective)
        path = "images/%02d.%s" % (number, ending)
        image.save(os.path.join(folder, path))
        kind = "plate" if number % 3 else "ring, large"
        mask_path = "masks/%02d.png" % number if mask else ""
        if mask:
            mask.save(os.path.join(folder, mask_path))
        rows.append([path, split, label, kind, str((number - 10) % 6 if number >= 10 else 100), mask_path])
    write_list(os.path.join(folder, "list.csv"), ["path", "split", "label", "class", "group"], rows)
    write_list(os.path.join(folder, "masked.csv"), ["path", "split", "label", "class", "group", "mask"], rows)


main()
