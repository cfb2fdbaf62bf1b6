#!/usr/bin/env python3
"""onnxruntime on the network of make_onnx.py: images a second, and whether both programs compute the same.

Usage:  bench_onnxruntime.py images NETWORK.net IMAGES.u8 COUNT      makes images for both programs, by an integer formula
        bench_onnxruntime.py run NETWORK.net NETWORK.onnx IMAGES.u8 BATCH THREADS OUTPUTS.f32
        bench_onnxruntime.py compare NETWORK.net BATCH OURS.f32 THEIRS.f32
        bench_onnxruntime.py table ROWS.jsonl

`run` prints one JSON line a row, as bench_extract does: one image a call and BATCH, medians and best of 2 seconds of calls, warm.
What is timed is the session's run alone, from normalised float images in memory to its outputs in memory. OUTPUTS.f32: tap
after tap, NHWC.
`compare` prints the largest difference of the outputs; exit status 1 when that is over 1e-4 of the largest value of a tap.
`table` prints for each backbone, number of cores and batch, of both programs: medians of the rows by the clock, the best call of
all, the medians by processor seconds, and their ratios, ours over theirs; exit status 1 when a row is not ok.
Needs PyPI's onnxruntime and numpy.
"""

import json
import statistics
import sys
import time

import numpy

SECONDS, CALLS_MIN, CALLS_MAX = 2.0, 5, 2000


def read_network(path):
    with open(path, "rb") as file:
        return json.loads(file.readline())


def make_images(network_path, path, count):
    (height, width), count = read_network(network_path)["size"], int(count)
    x, y = numpy.arange(width)[None, :], numpy.arange(height)[:, None]
    images = numpy.empty((count, height, width, 3), numpy.uint8)
    for i in range(count):
        for c in range(3):
            waves = (x * (3 + i) + y * (5 + c)) // 4 % 128 + ((x - 8 * i) ** 2 + (y - 100) ** 2) // (150 + 40 * c) % 100
            noise = (x * 2654435761 + y * 2246822519 + (3 * i + c) * 374761393 >> 7) % 28
            images[i, :, :, c] = waves + noise
    images.tofile(path)


def read_images(network, path):
    images = numpy.fromfile(path, numpy.uint8).reshape(-1, *network["size"], 3).astype(numpy.float32)
    images = (images - numpy.float32(network["mean"])) * numpy.float32(network["scale"])
    return numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


def measure(call):
    """Seconds of each call: by the clock, and of processors."""
    clock, processor = [], []
    call()
    begun = time.perf_counter()
    while len(clock) < CALLS_MIN or (len(clock) < CALLS_MAX and time.perf_counter() - begun < SECONDS):
        at, used = time.perf_counter(), time.process_time()
        call()
        processor.append(time.process_time() - used)
        clock.append(time.perf_counter() - at)
    return clock, processor


def run(network_path, net, images_path, batch, threads, outputs_path):
    import onnxruntime
    network, batch, threads = read_network(network_path), int(batch), int(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(net, options, providers=["CPUExecutionProvider"])
    images = read_images(network, images_path)[:batch]
    with open(outputs_path, "wb") as file:
        for output in session.run(None, {"image": images}):
            file.write(numpy.ascontiguousarray(output.transpose(0, 2, 3, 1)).tobytes())
    for count in (1, batch):
        part = {"image": images[:count]}
        clock, processor = measure(lambda part=part: session.run(None, part))
        print(json.dumps({"bench": "extract", "program": "onnxruntime", "what": "network", "backbone": network["backbone"],
                          "version": onnxruntime.__version__, "cpu": cpu_model(), "threads": threads, "batch": count,
                          "calls": len(clock), "images_per_s": round(count / statistics.median(clock), 2),
                          "images_per_s_best": round(count / min(clock), 2),
                          "images_per_processor_s": round(count / statistics.median(processor), 2)}), flush=True)


def read_outputs(network, batch, path):
    values, taps = numpy.fromfile(path, numpy.float32), []
    for tap in network["taps"]:
        count = batch * int(numpy.prod(tap["shape"]))
        taps.append(values[:count])
        values = values[count:]
    if values.size or any(tap.size == 0 for tap in taps):
        sys.exit(f"{path}: not the outputs of {batch} images")
    return taps


def compare(network_path, batch, ours_path, theirs_path):
    network, good = read_network(network_path), True
    ours, theirs = (read_outputs(network, int(batch), path) for path in (ours_path, theirs_path))
    for number, (our, their) in enumerate(zip(ours, theirs)):
        apart, largest = numpy.abs(our - their).max(), numpy.abs(their).max()
        within = bool(apart <= 1e-4 * largest)      # a NaN is not
        good = good and within
        print(f"# {network['backbone']} tap {number}: largest difference {apart:.3g} of values up to {largest:.3g}: "
              f"{'ok' if within else 'NOT OK'}")
    return 0 if good else 1


def table(rows_path):
    with open(rows_path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    keys = list(dict.fromkeys((row["backbone"], row["threads"], row["batch"]) for row in rows))
    columns = (("images_per_s", statistics.median), ("images_per_s_best", max), ("images_per_processor_s", statistics.median))
    print("backbone            cores  images a call  images/s                       of the best calls              "
          "a processor second")
    for backbone, threads, batch in keys:
        line = f"{backbone:18s}  {threads:5d}  {batch:13d}"
        mine = [row for row in rows if row["what"] == "network"
                and (row["backbone"], row["threads"], row["batch"]) == (backbone, threads, batch)]
        for column, of in columns:
            ours, theirs = (of(row[column] for row in mine if row["program"] == program)
                            for program in ("patchbank", "onnxruntime"))
            line += f"  {ours:8.2f} / {theirs:8.2f} = {ours / theirs:5.3f}"
        print(line)
    return 0 if all(row.get("ok", True) for row in rows) else 1


def main():
    commands = {"images": (make_images, 3), "run": (run, 6), "compare": (compare, 4), "table": (table, 1)}
    function, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if function is None or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    return function(*sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
