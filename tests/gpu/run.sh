#!/bin/bash
# The one command for a machine with GPUs: is everything right there, and how fast.
#
#   tests/gpu/run.sh        builds what it needs below build/release; writes build/gpu.txt
#
# Lists the devices, then for each usable GPU: its operations against the CPU's bit for bit, with times and per cent of the copy
# bandwidth (tests/bench/device); and, where compute-sanitizer is installed, the same at a hundredth of the size under its
# memcheck, racecheck and synccheck. Exit status: 0 all is right; 1 something is wrong; 69 there is no GPU.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

cmake --preset release -DPB_CUDA=ON >/dev/null || exit 1
cmake --build --preset release -j "$(nproc)" --target patchbank patchbank_cuda bench_device || exit 1
program=build/release/jobs/patchbank
bench=build/release/tests/bench/bench_device
plugin=build/release/jobs/libpatchbank_cuda.so

$program devices | tee build/gpu.txt
mapfile -t gpus < <($program devices | awk '$1 ~ /^cuda:/ && $2 == "yes" { print $1 }')
if [ ${#gpus[@]} -eq 0 ]; then
    echo "run.sh: there is no GPU here" >&2
    exit 69
fi
failed=0
for gpu in "${gpus[@]}"; do
    $bench "$gpu" 1 20 $plugin | tee -a build/gpu.txt || failed=1
    for tool in memcheck racecheck synccheck; do
        if command -v compute-sanitizer >/dev/null; then
            echo "# compute-sanitizer $tool $gpu" | tee -a build/gpu.txt
            compute-sanitizer --tool $tool --error-exitcode 1 $bench "$gpu" 0.01 1 $plugin | tee -a build/gpu.txt || failed=1
        fi
    done
done
exit $failed
