#!/bin/bash
# submit.sh JOB [NAME=VALUE ...] [OPTION OF sbatch ...]: submits JOB.sbatch with what patchbank.conf asks of Slurm.
#
# JOB is pack, train, score, nightly, scaling or collect. NAME=VALUE is a setting (patchbank.conf.example) for this job only.
# Prints the job's number. Exit status: sbatch's; 64 for a wrong setting.
set -uo pipefail
PATCHBANK_SLURM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=slurm/common.sh
. "$PATCHBANK_SLURM/common.sh"

[ -r "$PATCHBANK_SLURM/${1:-}.sbatch" ] ||
  leave 64 "usage: submit.sh pack|train|score|nightly|scaling|collect [NAME=VALUE ...] [OPTION OF sbatch ...]"
job=$1 settings=() own_options=()
shift
while [[ ${1:-} == [A-Z]*=* ]]; do
  settings+=("$1")
  shift
done
PATCHBANK_SETTINGS=$(quote_settings "${settings[@]}")
read_settings
PATCHBANK_CONF=$(realpath "${PATCHBANK_CONF:-patchbank.conf}")

seconds() { # of a time as Slurm takes it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; fails where it is no such (UNLIMITED)
  local days=0 clock=$1 parts
  [[ $clock =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] || return 1
  if [[ $clock == *-* ]]; then
    days=${clock%-*} clock=${clock#*-}:0:0 # from the hours on, all three
  elif [[ $clock != *:*:* ]]; then
    clock=0:$clock:0 # from the minutes on
  fi
  IFS=: read -ra parts <<<"$clock"
  echo $(((10#$days * 24 + 10#${parts[0]}) * 3600 + 10#${parts[1]} * 60 + 10#${parts[2]}))
}

limit=$(seconds "$TIME") && [ "$limit" -le "$WARNING" ] &&
  leave 64 "TIME: $TIME is not longer than WARNING, $WARNING seconds: the job would be told to leave as soon as it starts"

if [ "$job" = pack ]; then
  needs SOURCES
  [ -s "$SOURCES" ] || leave 64 "SOURCES: $SOURCES cannot be read or is empty"
  own_options=(--array="1-$(grep -c '' "$SOURCES")%$ARRAY_LIMIT")
fi
# shellcheck disable=SC2153
read -ra sbatch_options <<<"$SBATCH_OPTIONS"
mkdir -p "$LOGS" || exit 64
export PATCHBANK_SLURM PATCHBANK_CONF PATCHBANK_SETTINGS
exec sbatch --parsable --export=ALL --requeue --open-mode=append --signal="B:USR1@$WARNING" --output="$LOGS/%x-%j.out" \
  --nodes="$NODES" --ntasks-per-node="$TASKS_PER_NODE" --cpus-per-task="$CPUS_PER_TASK" --time="$TIME" \
  ${MEMORY:+--mem="$MEMORY"} ${GRES:+--gres="$GRES"} "${own_options[@]}" "${sbatch_options[@]}" "$@" \
  "$PATCHBANK_SLURM/$job.sbatch"
