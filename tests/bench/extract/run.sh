#!/usr/bin/env bash
# Feature extraction beside onnxruntime: both programs on the same images and weights, pinned to one core, by turns in one run.
#
#   run.sh WEIGHTS.safetensors [BUILD_FOLDER [ROUNDS [CORE]]]     defaults: build/release, 5, the last core
#
# BUILD_FOLDER must be configured (preset release). Prints the JSON rows of all rounds, then for batch 1 and 16 the ratio of the
# medians, and how far the outputs are apart. Needs the network once, for PyPI's onnxruntime, onnx and numpy in
# BUILD_FOLDER/bench-extract/venv.
# Exit status: 0 when all outputs agree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weights=${1:?"usage: run.sh WEIGHTS.safetensors [BUILD_FOLDER [ROUNDS [CORE]]]"}
build=${2:-$here/../../../build/release}
rounds=${3:-5}
core=${4:-$(($(nproc) - 1))}

work=$build/bench-extract
python=$work/venv/bin/python
mkdir -p "$work"
cmake --build "$build" --target bench_extract >"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }
if ! "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
    python3 -m venv "$work/venv"
    "$python" -m pip install --quiet --disable-pip-version-check onnxruntime onnx numpy
fi
"$python" "$here/make_onnx.py" "$weights" "$work/net.onnx"
"$python" "$here/bench_onnxruntime.py" images "$work/images.u8"

: >"$work/rows.jsonl"
for ((round = 0; round < rounds; round++)); do
    taskset -c "$core" "$build/tests/bench/bench_extract" "$weights" "$work/images.u8" "$work/ours.f32" |
        tee -a "$work/rows.jsonl"
    taskset -c "$core" "$python" "$here/bench_onnxruntime.py" run "$work/net.onnx" "$work/images.u8" "$work/theirs.f32" |
        tee -a "$work/rows.jsonl"
done
"$python" "$here/bench_onnxruntime.py" compare "$work/rows.jsonl" "$work/ours.f32" "$work/theirs.f32"
