#!/bin/bash
# scaling.sh [NAME=VALUE ...]: strong and weak scaling: scaling.sbatch for each number of nodes in SCALING_NODES, and when all
# have ended collect.sbatch, which writes scaling.csv and scaling.svg into SCALING_FOLDER.
#
# Strong: the same images on more and more nodes; weak: as many images for each rank. Prints the jobs' numbers. Exit status: 0 all
# is submitted; else that of the submission that failed, after which none follows.
set -uo pipefail
PATCHBANK_SLURM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=slurm/common.sh disable=SC2153
. "$PATCHBANK_SLURM/common.sh"
PATCHBANK_SETTINGS=$(quote_settings "$@") || leave 64 "usage: scaling.sh [NAME=VALUE ...]"
read_settings

jobs=()
for mode in strong weak; do
  for nodes in $SCALING_NODES; do
    jobs+=("$("$PATCHBANK_SLURM/submit.sh" scaling "$@" SCALING_MODE=$mode NODES="$nodes")") || exit $?
    echo "${jobs[-1]} $mode scaling, nodes: $nodes"
  done
done
job=$("$PATCHBANK_SLURM/submit.sh" collect "$@" NODES=1 TASKS_PER_NODE=1 --dependency="afterany:$(IFS=: && echo "${jobs[*]}")") ||
  exit $?
echo "$job table and plot in $SCALING_FOLDER"
