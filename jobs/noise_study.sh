#!/bin/bash
# noise_study.sh DATA FOLDER [TRAIN OPTION ...]: image AUROC when some "normal" training cells are defective, with and without
# `train --denoise`, on the demo's solar cells (docs/ABLATIONS.md).
#
# DATA is the folder of jobs/demo.sh (jobs/fetch.sh fills one too): elpv_dataset-*.whl and efficientnet-lite0.safetensors. Makes
# for each share of defective cells a list of its own (elpv_list.py --contaminate: test cells are always the same) and an archive,
# and for each way of denoising a bank, results and eval.json. Started again it goes on with the first setting that is not done.
# Further words are options of `patchbank train`, for every setting. Writes FOLDER/noise.csv and prints it as a table.
#
#   TYPE=mono|poly     kind of cells, default mono          RANKS=N            default 2
#   SHARES="LIST"      default "0 0.05 0.10 0.20"           DENOISE="LIST"     default "none nearest lof"
#   PATCHBANK=FILE     the program; default build/release/jobs/patchbank beside the sources
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
type=${TYPE:-mono} ranks=${RANKS:-2} shares=${SHARES:-0 0.05 0.10 0.20} denoise=${DENOISE:-none nearest lof}
program=${PATCHBANK:-$here/../build/release/jobs/patchbank}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

fail() { # CODE MESSAGE
  echo "noise_study.sh: $2" >&2
  exit "$1"
}

[ $# -ge 2 ] || fail 64 "usage: jobs/noise_study.sh DATA FOLDER [TRAIN OPTION ...]"
data=$1 folder=$2 weights=$1/efficientnet-lite0.safetensors
train_options=("${@:3}")
[ -x "$program" ] || fail 64 "$program is not there: build, or say where the program is with PATCHBANK=FILE"
[ -r "$weights" ] || fail 65 "$weights cannot be read: jobs/fetch.sh $data fetches it"
mkdir -p "$folder" || fail 65 "$folder cannot be made: give another folder"

patchbank() { mpiexec -n "$ranks" "$program" "$@"; }

pack() { # SHARE
  [ -e "$folder/archive-$1/manifest.json" ] && return
  /usr/bin/python3 "$here/elpv_list.py" "$data"/elpv_dataset-*.whl --type "$type" --extract "$folder/images" \
    --contaminate "$1" --output "$folder/list-$1.csv"
  patchbank pack --list "$folder/list-$1.csv" --archive "$folder/archive-$1"
}

run() { # SHARE HOW FOLDER-OF-THE-SETTING
  mkdir -p "$3"
  patchbank train --archive "$folder/archive-$1" --weights "$weights" --bank "$3/bank.h5" --denoise "$2" "${train_options[@]}"
  patchbank score --archive "$folder/archive-$1" --weights "$weights" --bank "$3/bank.h5" --results "$3/results"
  "$program" eval --results "$3/results" --pairs-within 36 --json "$3/eval.json"
}

for share in $shares; do
  pack "$share"
  for how in $denoise; do
    [ -e "$folder/share-$share-$how/eval.json" ] || run "$share" "$how" "$folder/share-$share-$how"
  done
done
/usr/bin/python3 "$here/noise_table.py" "$folder" --shares "$shares" --denoise "$denoise"
