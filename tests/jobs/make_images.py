#!/usr/bin/python3
"""make_images.py FOLDER: a small collection for the tests of the jobs: FOLDER/list.csv and its images.

Waves of one frequency are normal, a blot of stripes on them is a defect. 10 training images (group 100); 6 normal, 6 defective
and 2 unlabelled test images (groups 0 to 5 by turns); grey PNG and RGB JPEG of several sizes by turns; two classes. The same
bytes every time for one version of Pillow and numpy.
"""
import csv
import os
import sys

import numpy
from PIL import Image

SIZES = [(150, 140), (160, 128), (128, 170), (131, 129)]


def draw(number, defective):
    width, height = SIZES[number % len(SIZES)]
    random = numpy.random.RandomState(1000 + number)
    y, x = numpy.mgrid[0:height, 0:width]
    wave = 120 + 40 * numpy.sin(x / 5.0) + 25 * numpy.cos(y / 7.0) + random.normal(0, 3, (height, width))
    if defective:
        cx, cy = random.randint(30, width - 30), random.randint(30, height - 30)
        wave = numpy.where((x - cx) ** 2 + (y - cy) ** 2 < 144, numpy.where((x + y) % 4 < 2, 255, 0), wave)
    grey = numpy.clip(wave, 0, 255).astype(numpy.uint8)
    if number % 2 == 0:
        return Image.fromarray(grey), "png"
    return Image.fromarray(numpy.stack([grey, grey // 2 + 40, 255 - grey], axis=2)), "jpg"


def main():
    folder = sys.argv[1]
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    rows = []
    for number in range(24):
        split = "train" if number < 10 else "test"
        defective = 16 <= number < 22
        label = "" if number >= 22 else "1" if defective else "0"
        image, ending = draw(number, defective)
        path = "images/%02d.%s" % (number, ending)
        image.save(os.path.join(folder, path))
        kind = "plate" if number % 3 else "ring, large"
        rows.append([path, split, label, kind, str((number - 10) % 6 if number >= 10 else 100)])
    with open(os.path.join(folder, "list.csv"), "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["path", "split", "label", "class", "group"])
        writer.writerows(rows)


main()
