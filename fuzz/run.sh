#!/usr/bin/env bash
# Builds the libFuzzer targets with clang-14 and runs each for a while: fuzz/run.sh [SECONDS [TARGET…]]
# What breaks a reader is kept in build/fuzz/findings/TARGET; add the fixed input to fuzz/seeds/TARGET, where ./test replays it.
set -uo pipefail
root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
build=$root/build/fuzz
seconds=${1:-60}
shift || true
[[ $seconds =~ ^[0-9]+$ ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
command -v clang++-14 >/dev/null || { echo "fuzz: needs clang-14. Run: sudo apt-get install -y clang-14" >&2; exit 1; }

cd "$root" || exit
cmake --preset fuzz >/dev/null && cmake --build --preset fuzz ${1:+--target "${@/#/fuzz_}"} >&2 || exit
failed=0
for program in "$build"/fuzz/fuzz_*; do
  name=${program##*/fuzz_}
  [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
  mkdir -p "$build/corpus/$name" "$build/findings/$name"
  if UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
    -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$build/findings/$name/" \
    "$build/corpus/$name" "$root/fuzz/seeds/$name" >"$build/$name.log" 2>&1; then
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$name.log") executions, nothing found"
  else
    failed=1
    echo "$name: FAILED (log: $build/$name.log; inputs: $build/findings/$name)"
    grep -m 3 -E 'ERROR|runtime error|SUMMARY|what\(\)' "$build/$name.log"
  fi
done
exit $failed
