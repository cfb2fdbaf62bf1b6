#!/bin/bash
# run_one.sh PROGRAM SEEDS CORPUS MAX_LEN: one fuzzer for PATCHBANK_FUZZ_SECONDS (10). What it learns stays in CORPUS for the next
# run; an input that crashes, leaks, takes 20 s or more than 1 GiB is left beside it as CORPUS-crash-..., and is a failure.
set -euo pipefail
mkdir -p "$3"
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS=suppressions="$(dirname "${BASH_SOURCE[0]}")/leaks.supp":print_suppressions=0
exec "$1" -max_total_time="${PATCHBANK_FUZZ_SECONDS:-10}" -max_len="$4" -rss_limit_mb=1024 -malloc_limit_mb=1024 -timeout=20 \
    -artifact_prefix="$3-" -print_final_stats=1 -verbosity=1 "$3" "$2"
