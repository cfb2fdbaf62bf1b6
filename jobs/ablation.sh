#!/bin/bash
# ablation.sh ARCHIVE WEIGHTS FOLDER [TRAIN OPTION ...]: how image AUROC depends on patch size and layers, on any archive.
#
# The ablations of Figure 4 of the PatchCore paper (K. Roth et al., CVPR 2022): train, score and eval with PatchCore's features as
# published for each patch size with the base layers, and for each set of layers with the base patch size. Further words are
# options of `patchbank train`, for every setting. Packs nothing, asks nothing; needs /usr/bin/python3 for table and plot.
#
# Writes FOLDER/ablation.csv (a row a setting), FOLDER/ablation.svg, and a folder for each setting: bank.h5, bank.txt (what
# `info` says of it), results/, train.seconds, score.seconds, eval.json. Started again, for instance after a kill, it goes on with
# the first step that is not done; a setting that has eval.json is used as it is. Delete its folder to have it run again.
#
#   BACKBONE=NAME       default efficientnet_lite0
#   LAYERS="SETS"       sets of layers to compare; default, with the backbone's last blocks of stride 4, 8 and 16 for a, b and c
#                       (layers 1, 2, 3 of a ResNet): "a b c a,b b,c a,b,c"
#   PATCH_SIZES="LIST"  patch sizes to compare; default "1 3 5 7 9 11 13"
#   BASE_LAYERS=SET     default b,c          BASE_PATCH=N       default 3, both as in the paper
#   RATIO=SHARE         default 1%           PAIRS_WITHIN=K     also the near-pair AUROC of eval; default: not
#   RANKS=N             default 2            SCORE_OPTIONS=...  further options of `patchbank score`, as "--device cuda:0"
#   PATCHBANK=FILE      the program; default build/release/jobs/patchbank beside the sources
#
# A setting that fails is reported and the others still run. Exit code: 0 all done; else that of the first setting that failed; 64
# also where FOLDER has results of another archive, weights or options.
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
backbone=${BACKBONE:-efficientnet_lite0} patch_sizes=${PATCH_SIZES:-1 3 5 7 9 11 13} base_patch=${BASE_PATCH:-3}
ranks=${RANKS:-2} ratio=${RATIO:-1%} within=${PAIRS_WITHIN:-}
program=${PATCHBANK:-$here/../build/release/jobs/patchbank}
read -ra score_options <<<"${SCORE_OPTIONS:-}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
trap 'exit 130' INT # mpiexec ends on Ctrl-C with a code of its own, after which the next setting would begin

fail() { # CODE MESSAGE
  echo "ablation.sh: $2" >&2
  exit "$1"
}

[ $# -ge 3 ] || fail 64 "usage: jobs/ablation.sh ARCHIVE WEIGHTS FOLDER [TRAIN OPTION ...]"
archive=$1 weights=$2 folder=$3
train_options=("${@:4}")
[ -x "$program" ] || fail 64 "$program is not there: build, or say where the program is with PATCHBANK=FILE"
[ -r "$archive/manifest.json" ] || fail 65 "$archive has no manifest.json: give an archive that pack has written"
[[ $weights == random:* || -r $weights ]] || fail 65 "$weights cannot be read: give a weights file or random:SEED"

# The backbone's last blocks of stride 4, 8 and 16, in place of the paper's layers 1, 2 and 3 (columns: name, parameters, default
# taps, tap, stride, dims).
read -r a b c < <("$program" backbones |
  awk -v name="$backbone" '$1 == name { last[$5] = $4 } END { print last[4], last[8], last[16] }')
[ -n "$c" ] || fail 64 "$backbone: no such backbone; patchbank backbones lists them"
layers=${LAYERS:-$a $b $c $a,$b $b,$c $a,$b,$c} base_layers=${BASE_LAYERS:-$b,$c}
settings=() # SET/N: those of the plot's two panels in turn
for size in $patch_sizes; do settings+=("$base_layers/$size"); done
for set in $layers; do settings+=("$set/$base_patch"); done
for setting in "${settings[@]}"; do # they become names of folders
  [[ $setting =~ ^[0-9]+(,[0-9]+)*/[0-9]+$ ]] ||
    fail 64 "layers ${setting%/*}, patch size ${setting##*/}: layers are written as 2,3, a patch size as 3, blanks between"
done

given() { # all that figures depend on and that a setting's name does not say
  echo "archive $(sha256sum <"$archive/manifest.json")"
  if [[ $weights == random:* ]]; then echo "weights $weights"; else echo "weights $(sha256sum <"$weights")"; fi
  echo "backbone $backbone, ratio $ratio, pairs within ${within:-none}"
  echo "train ${train_options[*]}"
  echo "score ${score_options[*]}"
}

write() { # FILE, from standard input: whole or not at all
  cat >"$1.part" && mv "$1.part" "$1"
}

timed() { # STEP COMMAND...: runs it unless it is done, and notes its wall seconds, which say that it is
  local file=$1.seconds begun=$EPOCHREALTIME
  shift
  [ ! -e "$file" ] || return 0
  "$@" && LC_ALL=C awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f\n", b - a }' | write "$file"
}

# shellcheck disable=SC2317 # called through timed
patchbank() { mpiexec -n "$ranks" "$program" "$@"; }

run() { # LAYERS PATCH FOLDER-OF-THE-SETTING
  mkdir -p "$3" &&
    timed "$3/train" patchbank train --archive "$archive" --weights "$weights" --bank "$3/bank.h5" --backbone "$backbone" \
      --taps "$1" --features patchcore --patch-size "$2" --ratios "$ratio" "${train_options[@]}" &&
    "$program" info --bank "$3/bank.h5" | write "$3/bank.txt" &&
    timed "$3/score" patchbank score --archive "$archive" --weights "$weights" --bank "$3/bank.h5" --results "$3/results" \
      "${score_options[@]}" &&
    "$program" eval --results "$3/results" ${within:+--pairs-within "$within"} --json "$3/eval.json"
}

mkdir -p "$folder" || fail 65 "$folder cannot be made: give another folder"
if [ -e "$folder/given.txt" ]; then
  given | diff "$folder/given.txt" - ||
    fail 64 "$folder has results of other input or options (<) than these (>): give another folder"
else
  given | write "$folder/given.txt"
fi

code=0 failed=() seen=' '
for setting in "${settings[@]}"; do
  name=layers-${setting%/*}-patch-${setting#*/}
  [[ $seen != *" $name "* ]] || continue # base layers with the base patch size belong to both
  seen+="$name "
  if [ -e "$folder/$name/eval.json" ]; then
    echo "== $name: is there"
    continue
  fi
  echo "== $name: runs"
  now=0
  run "${setting%/*}" "${setting#*/}" "$folder/$name" || now=$?
  [ $now = 0 ] && continue
  echo "== $name: failed with exit code $now" >&2
  failed+=("$name")
  [ $code != 0 ] || code=$now
done

/usr/bin/python3 "$here/ablation_plot.py" "$folder" --title "PatchCore's ablations: $backbone, $(basename "$archive")" \
  --layers "$layers" --patch-sizes "$patch_sizes" --base-layers "$base_layers" --base-patch "$base_patch" ||
  code=$((code ? code : $?))
[ ${#failed[@]} = 0 ] || echo "ablation.sh: ${#failed[@]} settings failed: ${failed[*]}" >&2
exit $code
