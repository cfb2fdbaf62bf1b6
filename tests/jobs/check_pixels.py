#!/usr/bin/python3
"""check_pixels.py RESULTS LIST.csv EVAL.json SIZE SIGMA: eval's figures of pixels, over all images and for each class, from maps
in RESULTS/results.h5 and the mask files of the list, by other means: numpy does the canonical arithmetic (a fused multiply-add by
way of double, which rounds twice but very rarely differs), Pillow resizes the masks, regions are found by flooding, and the
figures come from all pixels, sorted: the ROC curve, and PRO as MVTec AD's evaluation integrates it. Inputs are squares of SIZE
pixels, cut from images whose shorter side was made that long. Prints the counts."""
import csv
import json
import os
import sys

import h5py
import numpy
from PIL import Image

folder, list_name, answer, size, sigma = sys.argv[1:4] + [int(sys.argv[4]), float(sys.argv[5])]
LIMIT = 0.3
f32, f64 = numpy.float32, numpy.float64


def fused(a, b, c):
    return (f64(a) * f64(b) + f64(c)).astype(f32)


def places(pixels, grid):
    """Where pixels lie between the places of a grid: low, high, fraction."""
    q = 2 * pixels
    p = numpy.clip((2 * numpy.arange(pixels) + 1) * grid - pixels, 0, q * (grid - 1))
    low = p // q
    return low, numpy.minimum(low + 1, grid - 1), (p % q).astype(f32) / f32(q)


def smooth(image, weights):
    """Down the columns, mirrored about the edges."""
    reach = len(weights) - 1
    wide = numpy.pad(image, ((reach, reach), (0, 0)), mode="symmetric")
    rows = [wide[reach + k:reach + k + len(image)] for k in range(-reach, reach + 1)]
    total = weights[0] * rows[reach]
    for k in range(1, reach + 1):
        total = fused(weights[k], rows[reach - k] + rows[reach + k], total)
    return total


def pixels_of(patches):
    low, high, fraction = places(size, patches.shape[1])
    wide = fused(fraction, patches[:, high] - patches[:, low], patches[:, low])
    low, high, fraction = places(size, patches.shape[0])
    image = fused(fraction[:, None], wide[high] - wide[low], wide[low])
    reach = int(4 * sigma + 0.5)
    bell = numpy.exp(-numpy.arange(-reach, reach + 1) ** 2 / (2 * sigma ** 2)) if sigma else numpy.ones(1)
    weights = (bell / bell.sum()).astype(f32)[reach:]
    return smooth(smooth(image, weights).T, weights).T


def truth_of(path):
    mask = numpy.asarray(Image.open(path).convert("RGB")).any(axis=2)
    height, width = mask.shape
    short = min(width, height)
    mask = Image.fromarray(mask.astype(numpy.uint8) * 255)
    mask = mask.resize((int(size * width / short), int(size * height / short)), Image.BILINEAR)
    left, top = round((mask.size[0] - size) / 2), round((mask.size[1] - size) / 2)
    return numpy.asarray(mask)[top:top + size, left:left + size] == 255


def weights_of(truth):
    """1 / size of each pixel's region, and how many there are."""
    weights, left, regions = numpy.zeros(truth.shape), {(int(y), int(x)) for y, x in zip(*truth.nonzero())}, 0
    while left:
        region, border = [], [left.pop()]
        while border:
            y, x = border.pop()
            region.append((y, x))
            near = {(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)} & left
            left -= near
            border += near
        for place in region:
            weights[place] = 1 / len(region)
        regions += 1
    return weights, regions


def area(x, y):
    return float(numpy.sum(numpy.diff(x) * (y[1:] + y[:-1]) / 2))


def expected(chosen):
    chosen = [image for image in chosen if image["label"] and not numpy.isnan(image["map"]).any()]
    kept = [image for image in chosen if image["mask"] or image["label"] == "0"]
    row = {"images": len(kept), "without_mask": len(chosen) - len(kept), "empty_mask": 0, "regions": 0}
    scores, weights = [], []
    for image in kept:
        truth = numpy.zeros((size, size), bool)
        if image["mask"]:
            truth = truth_of(os.path.join(os.path.dirname(list_name), image["mask"]))
        weight, regions = weights_of(truth)
        row["empty_mask"] += image["label"] == "1" and regions == 0
        row["regions"] += regions
        scores.append(pixels_of(image["map"]).reshape(-1))
        weights.append(weight.reshape(-1))
    scores, weights = numpy.concatenate(scores), numpy.concatenate(weights)
    row["defective"], row["normal"] = int((weights > 0).sum()), int((weights == 0).sum())
    if not (row["defective"] and row["normal"]):
        return None
    order = numpy.argsort(-scores, kind="stable")
    ends = numpy.append(numpy.diff(scores[order]) != 0, True)
    curves = [numpy.append(0, numpy.cumsum(part[order])[ends] / part.sum()) for part in (weights == 0, weights > 0, weights)]
    row["auroc"] = area(curves[0], curves[1])
    inside = curves[0] < LIMIT
    row["pro"] = area(numpy.append(curves[0][inside], LIMIT),
                      numpy.append(curves[2][inside], numpy.interp(LIMIT, curves[0], curves[2]))) / LIMIT
    return row


def compare(what, found, wanted):
    assert (found is None) == (wanted is None), f"{what}: {found}, expected {wanted}"
    for key in wanted or {}:
        assert abs(found[key] - wanted[key]) <= 1e-7, f"{what}: {key} of {found}, expected {wanted}"
    assert found is None or found.keys() == wanted.keys(), found


with open(list_name, newline="") as lines:
    images = {image["path"]: image for image in csv.DictReader(lines)}
with h5py.File(f"{folder}/results.h5", "r") as file:
    data, offset = file["path/bytes"][()].tobytes(), file["path/offset"][()]
    for patches, begin, end in zip(file["map"][()], offset, offset[1:]):
        images[data[begin:end].decode()]["map"] = patches
images = [image for image in images.values() if "map" in image]
with open(answer) as text:
    figures = json.load(text)
assert figures["maps"] == {"width": size, "height": size, "sigma": sigma, "pro_limit": LIMIT}, figures["maps"]
compare("all images", figures["pixels"], expected(images))
for row in figures["classes"]:
    of_class = [image for image in images if image["class"] == row["class"]]
    compare(row["class"], row.get("pixels"), expected(of_class))
print("checked: %(images)d images, %(without_mask)d without a mask, %(empty_mask)d empty, %(regions)d regions and"
      % figures["pixels"], len(figures["classes"]), "classes")
