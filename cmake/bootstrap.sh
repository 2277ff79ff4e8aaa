# shellcheck shell=bash disable=SC2154,SC2015  # the caller sets root and program; stop follows either failure
# What ./gamut and ./test share, sourced by both: install missing packages, configure, build, and say what failed.
# Everything is written to stderr: stdout belongs to the program. The caller sets `root` and `program`.

build=$root/build/release
log=$build/build.log

say() { printf '%s: %s\n' "$program" "$*" >&2; }

# stop WHAT LOG HINT: the end of the log, then one line on what failed and what to try.
stop() {
  [ ! -s "$2" ] || tail -n 25 "$2" >&2
  say "$1. Hint: $3"
  exit 1
}

on_terminal() { [ -t 2 ]; }

# The names of the packages of the given kinds that are not installed.
missing_packages() {
  local kinds=" $* " name kind status
  local -A wanted=()
  while read -r name kind _; do
    case $name in '' | '#'*) continue ;; esac
    case $kinds in *" $kind "*) wanted[$name]=1 ;; esac
  done <"$root/cmake/packages.txt"
  while read -r name status; do
    [ "$status" != installed ] || unset "wanted[$name]"
  done < <(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "${!wanted[@]}" 2>/dev/null)
  printf '%s\n' "${!wanted[@]}" | sort | xargs
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "not a Debian system: it needs what cmake/packages.txt lists, in the versions of Debian 12 or later"
    return
  fi
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  local -a as_root=()
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      say "needs Debian packages that are not installed, and may not install them. Run this, then call $program again:"
      printf 'sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' "$missing" >&2
      exit 1
    fi
  fi
  say "installing $missing"
  local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  mkdir -p "$build"
  # Package lists that are absent or outdated show as a failed first try.
  # shellcheck disable=SC2086  # one word per package
  "${apt[@]}" install -y --no-install-recommends $missing >"$build/packages.log" 2>&1 9>&- </dev/null ||
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends $missing; } >"$build/packages.log" 2>&1 9>&- </dev/null ||
    stop "installing Debian packages failed" "$build/packages.log" \
      "check the network and /etc/apt/sources.list, or install them yourself: $missing"
}

# configure [-DNAME=VALUE…]: only when the folder is new or an option differs.
configure() {
  local option home
  local -a changed=()
  if [ -f "$build/CMakeCache.txt" ]; then
    home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
    [ "$home" = "$root" ] || rm -rf "$build" # the checkout was copied or moved together with its build
  fi
  for option in "$@"; do
    grep -qs "^${option#-D}\$" <(sed 's/:[A-Z]*=/=/' "$build/CMakeCache.txt" 2>/dev/null) || changed+=("$option")
  done
  [ ! -f "$build/build.ninja" ] || [ ${#changed[@]} -gt 0 ] || return 0
  mkdir -p "$build"
  local -a launcher=()
  ! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  say "configuring build/release"
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "${launcher[@]}" "$@" >"$log" 2>&1 9>&- </dev/null || {
    rm -f "$build/build.ninja"
    stop "configuring failed (log: $log)" "$log" "if the checkout or the compiler changed, remove $build and call again"
  }
}

# Reads ninja's output: the log gets every line, stderr one live line, or a line for every tenth without a terminal.
show_progress() {
  local line counts finished total tenth=-1
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (.*) ]] || continue
    finished=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]} counts="building $finished/$total"
    if on_terminal; then
      printf '\r%s: %s · %.60s\e[K' "$program" "$counts" "${BASH_REMATCH[3]##* }" >&2
    elif [ $((10 * finished / total)) != $tenth ]; then
      tenth=$((10 * finished / total))
      say "$counts"
    fi
  done
  ! on_terminal || printf '\r\e[K' >&2
}

# compile [TARGET…]
compile() {
  : >"$log"
  NINJA_STATUS='[%f/%t] ' ninja -C "$build" "$@" 2>&1 9>&- </dev/null | show_progress
  [ "${PIPESTATUS[0]}" = 0 ] || {
    grep -A 20 -m 1 '^FAILED: ' "$log" | grep -v '^FAILED: ' | cut -c 1-300 >"$log.failure" || true
    grep -q '^FAILED: ' "$log" || tail -n 20 "$log" >"$log.failure"
    stop "building failed (log: $log)" "$log.failure" \
      "a message about memory or 'Killed' needs more RAM; after an update of the system remove $build and call again"
  }
}

# One launcher at a time configures and builds; the others wait and then find the work done.
lock_build() {
  mkdir -p "$root/build" 2>/dev/null && : 2>/dev/null >>"$root/build/.lock" ||
    stop "cannot write to $root/build" "" "run it from a checkout you own, or set its permissions"
  exec 9>>"$root/build/.lock"
  flock -n 9 || {
    say "another call is building; waiting for it"
    flock 9
  }
}

unlock_build() { exec 9>&-; }
