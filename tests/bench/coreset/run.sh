#!/usr/bin/env bash
# The coreset benchmark: everything in one run on two cores, rows as JSON lines, then the tables of docs/PERFORMANCE.md.
#
#   run.sh [--build FOLDER] [--full] [--plot FILE.svg] [PART...]      default: build/release, all parts
#
# FOLDER must be configured (preset release, tests on). Parts, each with its rows in FOLDER/bench-coreset/PART.jsonl:
#   exact    the picks: every rank count, the textbook loop, a certificate of every pick, a double-precision oracle
#   peers    beside the torch loop and the textbook loop, by turns; --full: those to the end instead of 100 picks, scaled
#   ranks    a million points: collectives, bytes and memory with 1, 2 and 4 ranks
#   growth   against the number of points and of picks; --plot draws it
#   cloud    a million points in three dimensions, beside fpsample and torch-fps of PyPI
#   ways     covering radius of greedy, two-round and random
# Needs the network once: data and weights by jobs/fetch.sh, fpsample and torch-fps in a venv; and Debian's python3-torch,
# python3-venv, libtorch-dev (for torch-fps' C++ kernel; without it that row is of its slower pure form). About ten minutes on a
# quiet machine.
# Exit status: 0 when every row is ok.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../..
build=$root/build/release full= plot= parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 && shift 2 ;;
    --plot) plot=$2 && shift 2 ;;
    --full) full=1 && shift ;;
    exact | peers | ranks | growth | cloud | ways) parts+=("$1") && shift ;;
    *) sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d' >&2 && exit 64 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=(exact peers ranks growth cloud ways)
work=$build/bench-coreset
features=$work/features.f32 weights=$work/efficientnet-lite0.safetensors archive=$work/archive picks=$work/picks.u64
debian_python=/usr/bin/python3
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
mkdir -p "$work"
failed=0

# bench RANKS OPTION...: one row.
bench() {
    local ranks=$1
    shift
    mpiexec -n "$ranks" --bind-to none "$build/tests/bench/bench_coreset" "$@" || failed=1
}

on_features() { bench "$1" --points "$features" "${@:2}"; }

prepare() {
    cmake --build "$build" -j2 --target patchbank bench_coreset bench_coreset_oracle bench_coreset_features >"$work/build.log" ||
        { cat "$work/build.log" >&2; exit 1; }
    [ -e "$weights" ] || bash "$root/jobs/fetch.sh" "$work" weights >&2
    if [ ! -e "$archive/manifest.json" ]; then
        bash "$root/jobs/fetch.sh" "$work" images >&2
        "$debian_python" "$root/jobs/elpv_list.py" "$work"/elpv_dataset-*.whl --type mono --extract "$work/images" \
            --output "$work/list.csv" >&2
        mpiexec -n 1 "$build/jobs/patchbank" pack --list "$work/list.csv" --archive "$archive" >&2
    fi
    [ -e "$features" ] || "$build/tests/bench/bench_coreset_features" "$archive" "$weights" "$features" >&2
    [ -e "$picks" ] || on_features 1 --threads 2 --repeats 1 --picks-to "$picks" >/dev/null
}

exact() {
    on_features 1 --part exact --threads 2 --repeats 3 --certify --picks-to "$picks"
    for ranks in 2 3 4; do
        on_features "$ranks" --part exact --expected "$picks" --certify
    done
    on_features 1 --part exact --how greedy-step --threads 2 --repeats 1 --expected "$picks"
    on_features 2 --part exact --how greedy-step --repeats 1 --expected "$picks"
    "$build/tests/bench/bench_coreset_oracle" "$features" 128 "$picks" "greedy 1 %" || failed=1
    for ratio in 10% 25%; do
        on_features 1 --part exact --threads 2 --repeats 1 --ratio "$ratio" --expected "$picks" --certify
    done
}

peers() {
    for _ in 1 2 3; do
        on_features 1 --part peer --threads 2 --repeats 5 --expected "$picks"
        on_features 2 --part peer --repeats 5 --expected "$picks"
        on_features 1 --part peer --how greedy-step --threads 2 --repeats 1 --timed 200 --expected "$picks"
        on_features 2 --part peer --how greedy-step --repeats 1 --timed 200 --expected "$picks"
        "$debian_python" "$here/peer_torch.py" "$features" 128 2352 100 2 "$picks" || failed=1
    done
    for ratio in 10% 25%; do
        on_features 1 --part peer --threads 2 --repeats 3 --ratio "$ratio" --expected "$picks"
        on_features 2 --part peer --repeats 3 --ratio "$ratio" --expected "$picks"
    done
    if [ -n "$full" ]; then
        on_features 1 --part peer --how greedy-step --threads 2 --repeats 1 --expected "$picks"
        "$debian_python" "$here/peer_torch.py" "$features" 128 2352 0 2 "$picks" || failed=1
    fi
}

ranks() {
    on_features 1 --part ranks --total 1000000 --repeats 1 --picks-to "$work/million.u64" --certify
    for ranks in 2 4; do
        on_features "$ranks" --part ranks --total 1000000 --repeats 1 --expected "$work/million.u64"
    done
}

growth() {
    local repeats=3 n
    for n in 100000 200000 500000 1000000 2000000; do
        [ $n -lt 1000000 ] || repeats=1
        on_features 1 --part growth-n --total $n --threads 2 --repeats $repeats --certify
        on_features 1 --part growth-n-same-k --total $n --threads 2 --repeats $repeats --picks 2000
        on_features 1 --part growth-n --how greedy-step --total $n --threads 2 --repeats 1 --timed 50
    done
    for k in 588 1176 2352 5880 11760 23520 58800; do
        on_features 1 --part growth-k --picks $k --threads 2 --repeats 2 --expected "$picks"
        on_features 1 --part growth-k --how greedy-step --picks $k --threads 2 --repeats 1 --timed 50 --expected "$picks"
    done
}

# Debian's torch, and PyPI's torch-fps without the torch that it asks for, 2.7 or later with gigabytes of CUDA: its kernel builds
# with Debian's.
make_venv() {
    local python=$work/venv/bin/python
    if ! "$python" -c 'import fpsample, torch_fps' 2>/dev/null; then
        "$debian_python" -m venv --system-site-packages "$work/venv"
        "$python" -m pip install --quiet --disable-pip-version-check fpsample==1.0.2
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps torch-fps==0.6.0
    fi
    export TORCH_EXTENSIONS_DIR=$work/torch-extensions
    CPLUS_INCLUDE_PATH=$("$python" -c 'import pybind11; print(pybind11.get_include())')
    export CPLUS_INCLUDE_PATH
}

cloud() {
    local points=$work/cloud.f32 theirs=$work/fpsample.u64 start
    make_venv >&2
    bench 1 --points uniform --dim 3 --total 1000000 --points-to "$points"
    "$work/venv/bin/python" "$here/peer_fps.py" "$points" 3 10000 200 "$theirs" 2>"$work/peer_fps.log" || failed=1
    start=$(od -An -tu8 -N8 "$theirs" | tr -d ' ')
    bench 1 --part 3d --points "$points" --dim 3 --picks 10000 --threads 1 --start "$start" --expected "$theirs" --certify
    bench 1 --part 3d --points "$points" --dim 3 --picks 10000 --threads 2 --start "$start" --expected "$theirs"
    bench 2 --part 3d --points "$points" --dim 3 --picks 10000 --start "$start" --expected "$theirs"
    bench 1 --part 3d --points "$points" --dim 3 --picks 10000 --threads 2 --how greedy-step --timed 200 --start "$start" \
        --repeats 1 --expected "$theirs"
    head -c 8000 "$theirs" >"$work/fpsample-first.u64"
    "$build/tests/bench/bench_coreset_oracle" "$points" 3 "$work/fpsample-first.u64" "fpsample, 3-D, first 1,000" || failed=1
}

# The jobs themselves; `verify --bank` extracts again and measures the radius.
ways() {
    local how said found
    for how in greedy two-round; do
        mpiexec -n 2 --bind-to none "$build/jobs/patchbank" train --archive "$archive" --weights "$weights" --coreset $how \
            --bank "$work/$how.h5" >"$work/ways.log" 2>&1 || { cat "$work/ways.log" >&2 && failed=1; }
        said=$(mpiexec -n 2 --bind-to none "$build/jobs/patchbank" verify --archive "$archive" --weights "$weights" \
            --bank "$work/$how.h5" 2>>"$work/ways.log" | tail -n 1)
        found=$(sed -nE 's/.*recomputed (\S+), in the bank( at most)? (\S+): sound$/\1, "radius_in_bank": \3/p' <<<"$said")
        [ -n "$found" ] || { echo "$said" >&2 && failed=1 && continue; }
        echo "{\"bench\": \"coreset\", \"part\": \"ways\", \"program\": \"patchbank train\", \"how\": \"$how\", \"ranks\": 2," \
            "\"threads\": 1, \"n\": 235200, \"dim\": 128, \"k\": 2352, \"radius\": $found, \"ok\": true}"
    done
    for seed in 0 1 2; do
        on_features 1 --part ways --how random --threads 2 --repeats 1 --seed $seed
    done
}

prepare
commit=$(git -C "$root" describe --always --dirty --abbrev=12)
cpu=$(sed -n '/^model name/ { s/.*: //p; q }' /proc/cpuinfo)
for part in "${parts[@]}"; do
    echo "== $part" >&2
    "$part" >"$work/$part.part"
    sed "/\"commit\"/! s|^{|{\"commit\": \"$commit\", \"cpu\": \"$cpu\", |" "$work/$part.part" | tee "$work/$part.jsonl"
    rm "$work/$part.part"
done
"$debian_python" "$here/tables.py" "$work"
[ -z "$plot" ] || "$debian_python" "$here/plot.py" "$work/growth.jsonl" "$plot"
[ $failed = 0 ] || { echo "run.sh: some rows are not ok" >&2 && exit 1; }
