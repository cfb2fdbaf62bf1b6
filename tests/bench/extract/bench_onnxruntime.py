#!/usr/bin/env python3
"""onnxruntime on the network of make_onnx.py: images a second on one thread, and whether both programs compute the same.

Usage:  bench_onnxruntime.py images IMAGES.u8            makes the 16 images that both programs take, by an integer formula
        bench_onnxruntime.py run NET.onnx IMAGES.u8 OUTPUTS.f32
        bench_onnxruntime.py compare ROWS.jsonl OURS.f32 THEIRS.f32

`run` prints one JSON line a row, like bench_extract: batch 1 and batch 16, median and best of the repetitions, warm, in seconds
that the process had a processor (all runs on its one thread). What is timed is the session's run alone, from normalised float
images in memory to its outputs in memory. OUTPUTS.f32: tap after tap, NHWC.
`compare` prints for each batch size the median of the rows' medians and the best of all repetitions, their ratios, ours over
theirs, and the largest difference of the outputs; exit status 1 when that is over 1e-4 of the largest value of a tap.
Needs PyPI's onnxruntime and numpy.
"""

import json
import statistics
import sys
import time

import numpy

SIDE, BATCH, REPEATS = 224, 16, 300
TAPS = (("block4", 28, 40), ("block10", 14, 112))


def make_images(path):
    x, y = numpy.arange(SIDE)[None, :], numpy.arange(SIDE)[:, None]
    images = numpy.empty((BATCH, SIDE, SIDE, 3), numpy.uint8)
    for i in range(BATCH):
        for c in range(3):
            waves = (x * (3 + i) + y * (5 + c)) // 4 % 128 + ((x - 8 * i) ** 2 + (y - 100) ** 2) // (150 + 40 * c) % 100
            noise = (x * 2654435761 + y * 2246822519 + (3 * i + c) * 374761393 >> 7) % 28
            images[i, :, :, c] = waves + noise
    images.tofile(path)


def read_images(path):
    images = numpy.fromfile(path, numpy.uint8).reshape(BATCH, SIDE, SIDE, 3)
    return numpy.ascontiguousarray(((images.astype(numpy.float32) - 127) / 128).transpose(0, 3, 1, 2))


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


def run(net, images_path, outputs_path):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(net, options, providers=["CPUExecutionProvider"])
    images = read_images(images_path)
    for batch in (1, BATCH):
        part, seconds, repeats = {"image": images[:batch]}, [], max(REPEATS // batch, 1)
        for _ in range(3):
            session.run(None, part)
        for _ in range(repeats):
            begun = time.process_time()
            outputs = session.run(None, part)
            seconds.append(time.process_time() - begun)
        print(json.dumps({"bench": "extract", "program": "onnxruntime", "what": "network", "version": onnxruntime.__version__,
                          "cpu": cpu_model(), "threads": 1, "batch": batch, "repeats": repeats,
                          "images_per_s": round(batch / statistics.median(seconds), 1),
                          "images_per_s_best": round(batch / min(seconds), 1)}), flush=True)
    with open(outputs_path, "wb") as file:
        for output in outputs:
            file.write(numpy.ascontiguousarray(output.transpose(0, 2, 3, 1)).tobytes())


def read_outputs(path):
    values, taps, at = numpy.fromfile(path, numpy.float32), {}, 0
    for name, side, channels in TAPS:
        count = BATCH * side * side * channels
        taps[name], at = values[at:at + count], at + count
    if at != values.size:
        sys.exit(f"{path}: {values.size} values, expected {at}")
    return taps


def compare(rows_path, ours_path, theirs_path):
    with open(rows_path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for batch in (1, BATCH):
        medians, bests = {}, {}
        for program in ("patchbank", "onnxruntime"):
            mine = [row for row in rows if (row["program"], row["what"], row["batch"]) == (program, "network", batch)]
            rates = [row["images_per_s"] for row in mine]
            medians[program], bests[program] = statistics.median(rates), max(row["images_per_s_best"] for row in mine)
            print(f"batch {batch:2d}  {program:11s}  {medians[program]:7.1f} images/s (median of {len(rates)} rows, "
                  f"{min(rates):.1f} to {max(rates):.1f}), best {bests[program]:.1f}")
        print(f"batch {batch:2d}  ratio of medians {medians['patchbank'] / medians['onnxruntime']:.3f}, "
              f"of bests {bests['patchbank'] / bests['onnxruntime']:.3f}")
    ours, theirs, good = read_outputs(ours_path), read_outputs(theirs_path), True
    for name, _, _ in TAPS:
        apart, largest = numpy.abs(ours[name] - theirs[name]).max(), numpy.abs(theirs[name]).max()
        within = bool(apart <= 1e-4 * largest)      # a NaN is not
        good = good and within
        print(f"{name}: largest difference {apart:.3g} of values up to {largest:.3g}: {'ok' if within else 'NOT OK'}")
    return 0 if good and all(row.get("ok", True) for row in rows) else 1


def main():
    commands = {"images": (make_images, 1), "run": (run, 3), "compare": (compare, 3)}
    function, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if function is None or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    return function(*sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
