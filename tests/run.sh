#!/bin/bash
# All tests, from a bare Debian 12 (or from whatever is already built) to one verdict.
#
#   tests/run.sh        asks nothing, needs no arguments; a second run reuses builds and downloads below build/
#
# Installs what is missing (jobs/install.sh), builds, fetches the backbone's weights, and runs: every ctest test of the release
# build (those of slurm/ beside the others, as they mostly wait), the Python unit tests of jobs/, the C units under the address
# and the undefined-behaviour sanitizer, and each fuzzer for a minute (tests/long.sh: longer). A failing step does not keep later
# ones from running. A step that is no test (installing, building) counts only when it fails, as one failure.
# The last line is "N passed, M failed" over everything. Exit status: 0 when nothing failed, else 1.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
exec </dev/null

PYTHON=/usr/bin/python3 # Debian's: it has python3-pil, python3-numpy, python3-h5py
DATA=build/test-data

# mpiexec as root (a container), and with more ranks than cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1

passed=0
failed=0
closing_lines=()

# report SUITE PASSED FAILED SKIPPED
report() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    closing_lines+=("$(printf '%-16s %4d passed, %d failed, %d skipped, at %d s' "$1" "$2" "$3" "$4" "$SECONDS")")
}

# step NAME COMMAND...: no test; its failure is one failure. Returns the command's status.
step() {
    local name=$1 status=0
    shift
    echo "== $name: $*"
    "$@" || status=$?
    [ $status -eq 0 ] || report "$name" 0 1 0
    return $status
}

# suite NAME FILE COMMAND...: runs a suite of tests, which leaves its results in FILE. A suite that says it failed but counts no
# failure, or leaves no results, is one failure.
suite() {
    local name=$1 file=$2 status=0 counts
    shift 2
    echo "== $name: $*"
    rm -f "$file"
    "$@" || status=$?
    counts=$($PYTHON tests/tally.py count "$file") || counts="0 0 0"
    read -r good bad skipped <<<"$counts"
    if [ $((good + bad)) -eq 0 ] || { [ $status -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        bad=$((bad + 1))
    fi
    report "$name" "$good" "$bad" "$skipped"
}

# build PRESET [TARGET]: goes on past a source that does not compile, so that the rest is still tested.
build() {
    step "configure $1" cmake --preset "$1" -DPB_TESTS=ON &&
        step "build $1" cmake --build --preset "$1" ${2:+--target "$2"} -j "$(nproc)" -- -k 0
}

step install jobs/install.sh test
echo '== cuda: jobs/install.sh cuda build/cuda'
jobs/install.sh cuda build/cuda || true # what cannot be compiled then is counted below
[ ! -x build/cuda/bin/nvcc ] || export CUDACXX=$PWD/build/cuda/bin/nvcc CUDA_PATH=$PWD/build/cuda
build release
# Without nvcc the plugin of CUDA devices is not even compiled; its kernels and host code are tested on the emulator all the same.
[ -e build/release/jobs/libpatchbank_cuda.so ] || report "cuda (no nvcc)" 0 0 1
if step weights jobs/fetch.sh "$DATA" weights; then
    PATCHBANK_TEST_WEIGHTS=$PWD/$DATA/efficientnet-lite0.safetensors
    export PATCHBANK_TEST_WEIGHTS
fi
# Jobs on a Slurm mostly wait, for a minute or two. Their own folder is its own ctest.
ctest --test-dir build/release/tests/slurm --output-on-failure --no-tests=error --output-junit junit.xml \
    >build/slurm-tests.log 2>&1 &
slurm_tests=$!
slurm_tests() { # what they said, and their status, when they have ended
    local status=0
    wait $slurm_tests || status=$?
    cat build/slurm-tests.log
    cp build/release/tests/slurm/junit.xml build/slurm-tests.xml
    return $status
}
suite release build/release/junit.xml ctest --preset release -LE slurm -j "$(nproc)" --output-junit junit.xml
suite slurm build/slurm-tests.xml slurm_tests
suite python build/python-tests.xml "$PYTHON" tests/tally.py unittest tests/jobs build/python-tests.xml
for sanitizer in asan ubsan; do
    build $sanitizer unit_tests
    suite $sanitizer build/$sanitizer/junit.xml ctest --preset $sanitizer -j "$(nproc)" --output-junit junit.xml
done
if command -v clang-14 >/dev/null; then
    build fuzz
    PATCHBANK_FUZZ_SECONDS=60 suite fuzz build/fuzz/junit.xml ctest --preset fuzz -j "$(nproc)" --output-junit junit.xml
fi

echo
printf '%s\n' "${closing_lines[@]}"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
