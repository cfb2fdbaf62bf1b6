"""make_noise.py FOLDER COUNT SIDE: FOLDER/list.csv with COUNT training and COUNT / 2 test images, grey, SIDE pixels square.

Waves and noise of their own seed each: no two are alike, so that selection finds as many picks as it is asked for.
"""
import os
import sys

import numpy
from PIL import Image

folder, count, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(os.path.join(folder, "noise"), exist_ok=True)
y, x = numpy.mgrid[0:side, 0:side]
rows = ["path,split,label"]
for number in range(count + count // 2):
    random = numpy.random.RandomState(number)
    a, b, c = random.uniform(3, 15, 3)
    grey = 120 + 40 * numpy.sin(x / a + c) + 40 * numpy.cos(y / b) + random.normal(0, 10, (side, side))
    Image.fromarray(numpy.clip(grey, 0, 255).astype(numpy.uint8)).save(f"{folder}/noise/{number:05d}.png", compress_level=1)
    rows.append(f"noise/{number:05d}.png,{'train' if number < count else 'test'},0")
with open(os.path.join(folder, "list.csv"), "w", encoding="utf-8") as out:
    out.write("\n".join(rows) + "\n")
