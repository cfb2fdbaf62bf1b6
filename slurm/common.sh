# common.sh: what the batch scripts beside it share: settings, signals, requeueing. Sourced by bash, never run.
#
# Exit codes are those of patchbank (docs/ARCHITECTURE.md, "How a run goes wrong") and become the batch job's own: 64 for a
# setting that is wrong. 74 and 75 requeue, up to RESTARTS; 1, 64, 65, 69 and 70 never do. A step that was killed by SIGKILL,
# SIGUSR1, SIGPIPE or SIGTERM (137, 138, 141, 143: a rank was lost, told to leave before it could listen, or talking to one that
# was lost) is a machine's failure, as 74.
# shellcheck shell=bash disable=SC2034,SC2153

EXAMPLE=$PATCHBANK_SLURM/patchbank.conf.example # the one table of settings: names, defaults, meaning

say() { echo "patchbank batch job${SLURM_JOB_ID:+ $SLURM_JOB_ID}: $*" >&2; }

leave() { # CODE MESSAGE
  say "$2"
  exit "$1"
}

# ------------------------------------------------------------------------------------------------ settings

assign() { # WHERE LINE: one assignment to a setting that is in $known
  local name=${2%%=*}
  [[ $2 == [A-Z]*=* && $name =~ ^[A-Z_]+$ ]] || leave 64 "$1: expected NAME=value: $2"
  [[ $known == *" $name "* ]] || leave 64 "$1: $name: no such setting; $EXAMPLE lists them"
  eval "$2" 2>/dev/null || leave 64 "$1: not an assignment, are quotes missing: $2"
}

assign_all() { # FILE
  local line number=0
  [ -r "$1" ] || leave 64 "$1: cannot be read; PATCHBANK_CONF names the settings, as a copy of $EXAMPLE"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    [[ $line =~ ^[[:space:]]*(#|$) ]] || assign "$1:$number" "$line"
  done <"$1"
}

# Defaults, then the site's file, then what submit.sh was given for this job: NAME=value in lines, quoted for a shell.
read_settings() {
  local line known
  known=" $(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$EXAMPLE" | tr '\n' ' ')"
  assign_all "$EXAMPLE"
  assign_all "${PATCHBANK_CONF:-patchbank.conf}"
  while IFS= read -r line; do
    [ -z "$line" ] || assign "submit.sh" "$line"
  done <<<"${PATCHBANK_SETTINGS:-}"
  [[ $NIGHTLY =~ ^(retrain|update)$ ]] || leave 64 "NIGHTLY: $NIGHTLY: expected retrain or update"
  for line in NODES TASKS_PER_NODE CPUS_PER_TASK WARNING RESTARTS ARRAY_LIMIT SCALING_IMAGES SCALING_REPEATS; do
    [[ ${!line} =~ ^[0-9]+$ ]] || leave 64 "$line: ${!line:-nothing} is no number"
  done
}

# NAME=VALUE...: as read_settings takes them from PATCHBANK_SETTINGS; fails at a word that is no setting.
quote_settings() {
  local word
  for word; do
    [[ $word == [A-Z]*=* ]] || return 1
    printf '%s=%q\n' "${word%%=*}" "${word#*=}"
  done
}

needs() { # NAME...: of settings without a default
  local name
  for name; do
    [ -n "${!name}" ] || leave 64 "$name is not set; set it in ${PATCHBANK_CONF:-patchbank.conf}"
  done
}

# ------------------------------------------------------------------------------------------------ a batch job

begin() { # NAME...: what a batch script starts with; the settings that it needs
  read_settings
  needs "$@"
  read -ra patchbank <<<"$PATCHBANK"
  read -ra srun_options <<<"$SRUN_OPTIONS"
  read -ra pack_options <<<"$PACK_OPTIONS"
  read -ra train_options <<<"--device $DEVICE $TRAIN_OPTIONS"
  read -ra update_options <<<"--device $DEVICE $UPDATE_OPTIONS"
  read -ra score_options <<<"--device $DEVICE $SCORE_OPTIONS"
  restart=${SLURM_RESTART_COUNT:-0}
  # To scontrol the number of an array's last task, 7 of 7_3, means all its tasks: it would requeue those that run or are done.
  self=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}}
  self=${self:-$SLURM_JOB_ID}
  generation=(--generation "$SLURM_JOB_ID.$restart")
  child='' stopping=''
  trap stop USR1 TERM
  [ -z "$PREPARE" ] || eval "$PREPARE" || leave 69 "PREPARE failed: $PREPARE"
  # srun does not take it over from sbatch since Slurm 22.05.
  [ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
  export SLURM_EXIT_ERROR=74 # of srun, when Slurm cannot start or watch a step: its usual 1 would be the program's "no"
  say "starts, restart $restart of at most $RESTARTS, on ${SLURM_JOB_NODELIST:-?}"
}

# OUTPUT STATE: whether it is there and its job has ended. One that was killed between the two has left its state, and the same
# job again takes that away: pack at once, others when they have made the same output from it.
is_made() {
  [ -e "$1" ] && [ ! -e "$2" ]
}

# Slurm's warning before the time limit comes to this shell alone (--signal=B:USR1@...), and scancel's TERM to shell and ranks.
stop() {
  stopping=1
  [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null # srun hands it on to all ranks
}

# Whether Slurm says so: this node lost its slurmd, and the job runs elsewhere by now. srun then gives 0 for an unfinished step.
is_replaced() {
  local job
  job=$(scontrol -o show job "$self" 2>/dev/null) && [[ " $job " != *" Restarts=$restart "* ]]
}

run() { # COMMAND...: its exit code. In the background, because a shell's traps wait for what runs in the foreground.
  [ -z "$stopping" ] || return 75
  "$@" &
  sleep 0.2 # so long a signal is kept: it would be lost in a copy of this shell that is not srun yet
  child=$!
  [ -z "$stopping" ] || stop
  while kill -0 "$child" 2>/dev/null; do
    wait "$child" # ends early when a signal comes
  done
  wait "$child"
  local code=$?
  child=''
  ! is_replaced || leave 75 "exit code $code is of no account: the job runs elsewhere by now"
  return $code
}

pack() { # ARCHIVE OPTIONS...: its exit code, or 0 where pack says that the archive is there
  local code=0
  if is_made "$1/manifest.json" "$1/state"; then
    say "$1 is there"
    return 0
  fi
  run srun "${srun_options[@]}" "${patchbank[@]}" pack --archive "$1" "${@:2}" "${generation[@]}" "${pack_options[@]}" || code=$?
  [ $code != 65 ] || [ ! -e "$1/manifest.json" ] || code=0
  return $code
}

# This very run of the job, and not one that was cancelled or replaced. SIGNALING: running, and a signal is on its way.
is_current() {
  local job
  job=" $(scontrol -o show job "$self" 2>/dev/null) "
  [[ $job =~ \ JobState=(RUNNING|SIGNALING)\  && $job == *" Restarts=$restart "* ]]
}

requeue() { # CODE
  if [ "$restart" -ge "$RESTARTS" ]; then
    say "exit code $1 after $restart restarts, as many as RESTARTS allows: submit it again when the cause is gone"
  elif ! is_current; then
    say "exit code $1; not requeued: Slurm ends this job (cancelled, preempted, at its limit)"
  elif scontrol requeue "$self"; then
    say "exit code $1: requeued, it goes on from where it was"
  else
    say "exit code $1, and Slurm does not requeue it: submit it again, it goes on from where it was"
  fi
}

finish() { # CODE of the last step: ends the job
  trap '' USR1 TERM # requeueing ends this shell by TERM, before it has said so
  case $1 in
    0) say "done" ;;
    74 | 75 | 137 | 138 | 141 | 143) requeue "$1" ;;
    1) say "exit code 1: the answer is no, see the report above" ;;
    *) say "exit code $1: not tried again, correct what is said above" ;;
  esac
  exit "$1"
}
