#!/usr/bin/env bash
# Feature extraction beside onnxruntime: both programs on the same images and weights, pinned to the same cores, by turns in one
# run.
#
#   run.sh [-b BUILD_FOLDER] [-r ROUNDS] [-c "CORES..."] [BACKBONE[:BATCH[:WEIGHTS]]...]
#
# Defaults: build/release, 5 rounds, "1 2" cores, efficientnet_lite0:16 and wide_resnet50_2:8; weights random:1, or a safetensors
# file. Each program gets as many threads as cores; the last cores of the machine are taken. One image a call, then BATCH.
# BUILD_FOLDER must be configured (preset release). Prints the JSON rows of all rounds, how far the outputs are apart, and the
# table. Needs the network once, for PyPI's onnxruntime, onnx and numpy in BUILD_FOLDER/bench-extract/venv.
# Exit status: 0 when all outputs agree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage='usage: run.sh [-b BUILD_FOLDER] [-r ROUNDS] [-c "CORES..."] [BACKBONE[:BATCH[:WEIGHTS]]...]'
build=$here/../../../build/release rounds=5 cores="1 2"
while getopts "b:r:c:" option; do
    case $option in
        b) build=$OPTARG ;;
        r) rounds=$OPTARG ;;
        c) cores=$OPTARG ;;
        *) echo "$usage" >&2; exit 64 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- efficientnet_lite0:16 wide_resnet50_2:8

work=$build/bench-extract
python=$work/venv/bin/python
ours=$build/tests/bench/bench_extract theirs=$here/bench_onnxruntime.py
mkdir -p "$work"
cmake --build "$build" --target bench_extract >"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }
if ! "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
    python3 -m venv "$work/venv"
    "$python" -m pip install --quiet --disable-pip-version-check onnxruntime onnx numpy
fi

# One turn of each program with $backbone, $batch, $weights on $1 cores.
turn() {
    local last=$(($(nproc) - 1)) net=$work/$backbone
    local pin="$((last - $1 + 1))-$last"
    taskset -c "$pin" "$ours" run "$backbone" "$weights" "$net.u8" "$batch" "$1" "$net.ours" | tee -a "$work/rows.jsonl"
    taskset -c "$pin" "$python" "$theirs" run "$net.net" "$net.onnx" "$net.u8" "$batch" "$1" "$net.theirs" |
        tee -a "$work/rows.jsonl"
    "$python" "$theirs" compare "$net.net" "$batch" "$net.ours" "$net.theirs"
}

: >"$work/rows.jsonl"
for each in "$@"; do
    IFS=: read -r backbone batch weights <<<"$each"
    batch=${batch:-16} weights=${weights:-random:1}
    "$ours" export "$backbone" "$weights" "$work/$backbone.net"
    "$python" "$here/make_onnx.py" "$work/$backbone.net" "$work/$backbone.onnx"
    "$python" "$theirs" images "$work/$backbone.net" "$work/$backbone.u8" "$batch"
    for count in $cores; do
        for ((round = 0; round < rounds; round++)); do
            turn "$count"
        done
    done
done
"$python" "$theirs" table "$work/rows.jsonl"
