#!/bin/bash
# Longer runs, for before an issue is closed: what tests/run.sh does for seconds, for minutes.
#
#   tests/long.sh [SECONDS]     SECONDS: of each fuzzer, by default 300 (tests/run.sh: 60)
#
# Installs what is missing, shows that one changed line of any CUDA kernel fails its test (docs/MUTATIONS.md), makes every call of
# CUDA and NCCL fail once in whole jobs on the emulated device (tests/gpu/check_jobs.py, an hour or more), builds the fuzzers of
# tests/fuzz and runs them one after the other. What they learn stays in build/fuzz/tests/fuzz/corpus and is where the next run
# begins; an input that fails is left there too. It selects and searches on up to 1,024 simulated ranks, whose picks must be
# equal (tests/bench/scaling). It lets the disk refuse at a dozen of the times that pack, train and score pass each write point
# (tests/jobs/full_disk.py). At last it interrupts them on a Slurm on this host, in each of four ways at ten moments
# (tests/slurm/interrupt.py). Exit status: 0 when nothing failed, else not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-300}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: tests/long.sh [SECONDS]" >&2; exit 64; }

jobs/install.sh test
cmake --preset release
cmake --build --preset release -j "$(nproc)" --target test_gpu_cuda
/usr/bin/python3 tests/gpu/cuda/mutate.py build/release >build/mutations.md
diff docs/MUTATIONS.md build/mutations.md
cmake --build --preset release -j "$(nproc)" --target patchbank pb_cuda_emulated_networks
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 \
    /usr/bin/python3 tests/gpu/check_jobs.py . build/release build/release/tests/gpu/libpb_cuda_emulated_networks.so \
    "$(command -v mpiexec)" fails-all
cmake --preset fuzz
cmake --build --preset fuzz -j "$(nproc)"
PATCHBANK_FUZZ_SECONDS=$seconds ctest --preset fuzz
cmake --build --preset release -j "$(nproc)" --target patchbank bench_scaling_simulated
/usr/bin/python3 tests/bench/scaling/tables.py build/release/tests/bench/bench_scaling_simulated
/usr/bin/python3 -B tests/jobs/full_disk.py "$PWD/build/release/jobs/patchbank" 12
/usr/bin/python3 -B tests/slurm/interrupt.py build/release/jobs/patchbank --moments 10
