#!/bin/bash
# Longer runs, for before an issue is closed: what tests/run.sh does for seconds, for minutes.
#
#   tests/long.sh [SECONDS] [PART...]     SECONDS: of each fuzzer, by default 300 (tests/run.sh: 60); PART: by default all of them
#
#   mutate   one changed line of any CUDA kernel fails its test (docs/MUTATIONS.md)
#   fails    calls of CUDA and NCCL, of every place that calls, fail in whole jobs on the emulated device, an hour
#            (tests/gpu/check_jobs.py)
#   fuzz     the fuzzers of tests/fuzz, one after the other. What they learn stays in build/fuzz/tests/fuzz/corpus, where the next
#            run begins; an input that fails is left there too
#   scaling  selection and search on up to 1,024 simulated ranks, whose picks must be equal (tests/bench/scaling)
#   disk     the disk refuses at a dozen of the times that pack, train and score pass each write point (tests/jobs/full_disk.py)
#   slurm    jobs interrupted on a Slurm on this host, in each of four ways at ten moments, and while MPI starts
#            (tests/slurm/interrupt.py)
#
# Installs what is missing. Each part builds what it needs; one that fails does not keep later ones from running. Ends with a
# table of the parts. Exit status: 0 when none failed, else 1; 64 wrong usage.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

PARTS=(mutate fails fuzz scaling disk slurm)

# build PRESET [TARGET...]
build() {
    local preset=$1
    shift
    cmake --preset "$preset" && cmake --build --preset "$preset" -j "$(nproc)" ${1:+--target "$@"}
}

part_mutate() {
    build release test_gpu_cuda && /usr/bin/python3 tests/gpu/cuda/mutate.py build/release >build/mutations.md &&
        diff docs/MUTATIONS.md build/mutations.md
}

part_fails() {
    build release patchbank pb_cuda_emulated_networks &&
        OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 \
            /usr/bin/python3 tests/gpu/check_jobs.py . build/release build/release/tests/gpu/libpb_cuda_emulated_networks.so \
            "$(command -v mpiexec)" fails-all
}

part_fuzz() {
    build fuzz && PATCHBANK_FUZZ_SECONDS=$seconds ctest --preset fuzz
}

part_scaling() {
    build release bench_scaling_simulated &&
        /usr/bin/python3 tests/bench/scaling/tables.py build/release/tests/bench/bench_scaling_simulated
}

part_disk() {
    build release patchbank && /usr/bin/python3 -B tests/jobs/full_disk.py "$PWD/build/release/jobs/patchbank" 12
}

part_slurm() {
    build release patchbank && /usr/bin/python3 -B tests/slurm/interrupt.py build/release/jobs/patchbank --moments 10 &&
        /usr/bin/python3 -B tests/slurm/interrupt.py build/release/jobs/patchbank --moments 10 --within 0.6 \
            --kinds usr1,cancel,rank
}

# run PART: its line of the table. The time is that of its build too.
run() {
    local begun=$SECONDS verdict=passed
    echo "== $1"
    "part_$1" || verdict=failed
    [ $verdict = passed ] || failed=$((failed + 1))
    table+=("$(printf '%-8s %s %6d s' "$1" "$verdict" $((SECONDS - begun)))")
}

seconds=300
if [[ ${1-} =~ ^[1-9][0-9]*$ ]]; then
    seconds=$1
    shift
fi
for part in "$@"; do
    if [[ " ${PARTS[*]} " != *" $part "* ]]; then
        echo "usage: tests/long.sh [SECONDS] [PART...], parts: ${PARTS[*]}" >&2
        exit 64
    fi
done
[ $# -gt 0 ] || set -- "${PARTS[@]}"

failed=0
table=()
jobs/install.sh test || exit 1
for part in "$@"; do
    run "$part"
done
echo
printf '%s\n' "${table[@]}"
[ $failed -eq 0 ]
