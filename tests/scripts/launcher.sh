#!/usr/bin/env bash
# ./gamut and ./test in a project of three files: builds once, rebuilds on change, keeps stdout clean, says what failed.
# usage: launcher.sh SOURCE_FOLDER
set -uo pipefail
source_folder=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
project="$work/a project"
failures=0

check() { # DESCRIPTION CONDITION…
  local what=$1
  shift
  "$@" && return
  echo "FAILED: $what"
  sed 's/^/  stdout: /' "$work/out"
  sed 's/^/  stderr: /' "$work/err"
  failures=$((failures + 1))
}
run() { # COMMAND…: keeps stdout, stderr and the exit code
  "$@" >"$work/out" 2>"$work/err" </dev/null
  code=$?
}
is() { [ "$1" = "$2" ]; }
has() { grep -q -- "$1" "$work/$2"; }
empty() { [ ! -s "$work/$1" ]; }

mkdir -p "$project/cmake" "$project/cli"
cp "$source_folder"/{gamut,test} "$project/"
cp "$source_folder"/cmake/{bootstrap.sh,packages.txt} "$project/cmake/"
cat >"$project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(hello CXX)
function(gamut_library folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  add_executable(gamut ${sources})
  set_target_properties(gamut PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()
gamut_library(cli          LEVEL 8 EXECUTABLE gamut)
if(GAMUT_TESTS)
  enable_testing()
  add_test(NAME good COMMAND true)
  add_test(NAME bad COMMAND false)
endif()
END
program() { # TEXT: the program prints it, its arguments, and exits with their number
  printf '#include <cstdio>\nint main(int n, char** v) { std::printf("%s"); for (int i = 1; i < n; ++i) std::printf(" <%%s>", v[i]); return n - 1; }\n' \
    "$1" >"$project/cli/main.cpp"
}

program one
run "$project/gamut" a "b c"
check "first call builds and passes arguments and exit code on" is "$code:$(cat "$work/out")" "2:one <a> <b c>"
check "first call tells progress on stderr" has "building" err

run "$project/gamut"
check "second call runs at once" is "$code:$(cat "$work/out")" "0:one"
check "second call is silent on stderr" empty err

mkdir -p "$project/runs" "$project/build"
touch "$project/runs/result" "$project/build/other"
run "$project/gamut"
check "results in the checkout are no change of the program" empty err

ln -s "$project/gamut" "$work/link"
cd /
run "$work/link" x
check "works through a link and from another folder" is "$code:$(cat "$work/out")" "1:one <x>"

program two
run "$project/gamut"
check "a changed file is rebuilt" is "$code:$(cat "$work/out")" "0:two"

program three
for i in 1 2 3 4; do "$project/gamut" "$i" >"$work/out.$i" 2>"$work/err" & done
wait
check "concurrent calls all run the new program" \
  is "$(cat "$work"/out.[1-4])" "three <1>three <2>three <3>three <4>"

echo 'int main() { return nonsense; }' >"$project/cli/main.cpp"
run "$project/gamut"
check "a failed build exits 1" is "$code" 1
check "a failed build shows the compiler's words" has "nonsense" err
check "a failed build names step, log and hint" has "gamut: building failed (log: .*). Hint: " err
check "a failed build writes nothing to stdout" empty out

program four
run "$project/gamut"
check "a repaired file builds again" is "$code:$(cat "$work/out")" "0:four"

echo 'message(FATAL_ERROR "no such thing")' >>"$project/CMakeLists.txt"
rm -rf "$project/build"
run "$project/gamut"
check "a failed configuration names step, cause and hint" has "no such thing" err
check "a failed configuration exits 1" is "$code" 1
sed -i '$d' "$project/CMakeLists.txt"

mv "$project" "$work/moved"
project=$work/moved
run "$project/gamut"
check "a moved checkout builds afresh" is "$code:$(cat "$work/out")" "0:four"

# Package lists: shims stand for a machine without rights, with sudo, and without network.
shims=$work/shims
mkdir "$shims"
shim() { # NAME SCRIPT
  printf '#!/bin/sh\n%s\n' "$2" >"$shims/$1"
  chmod +x "$shims/$1"
}
shim id 'echo 1000'
shim sudo 'exit 1'
echo 'no-such-package-here build' >>"$project/cmake/packages.txt"
program five
run env PATH="$shims:$PATH" "$project/gamut"
check "without rights it stops" is "$code" 1
check "without rights it prints the one command" \
  has '^sudo apt-get update && sudo apt-get install -y --no-install-recommends no-such-package-here$' err
check "without rights it writes nothing to stdout" empty out

# shellcheck disable=SC2016  # the shim expands it
shim sudo 'shift; [ "$1" = true ] || exec "$@"'
shim apt-get 'echo "$@" >>'"$work"'/apt; [ ! -e '"$work"'/offline ]'
run env PATH="$shims:$PATH" "$project/gamut"
check "with sudo it installs what is missing, then builds" is "$code:$(cat "$work/out")" "0:five"
check "with sudo it names the package" grep -q 'install -y --no-install-recommends no-such-package-here$' "$work/apt"

touch "$work/offline"
program six
run env PATH="$shims:$PATH" "$project/gamut"
check "a failed installation exits 1 and names step and hint" has "installing Debian packages failed. Hint: " err
check "a failed installation exits 1" is "$code" 1
check "a failed installation first refreshes the lists" grep -q 'update$' "$work/apt"
sed -i '$d' "$project/cmake/packages.txt"

# ./test: in this machine's packages everything may be missing but what the fake project needs.
grep -E '^(g\+\+|cmake|ninja-build) ' "$source_folder/cmake/packages.txt" >"$project/cmake/packages.txt"
run "$project/test"
check "test ends with its one line" is "$(tail -n 1 "$work/out")" "1 passed, 1 failed"
check "test fails when a test failed" is "$code" 1
run "$project/test" good
check "test takes a filter" is "$code:$(tail -n 1 "$work/out")" "0:1 passed, 0 failed"
run "$project/test" no_such_test
check "a filter without a test is a failure" is "$code:$(tail -n 1 "$work/out")" "1:0 passed, 1 failed"
run "$project/gamut"
check "after test, the program is up to date" is "$code:$(cat "$work/out"):$(cat "$work/err")" "0:six:"
run "$project/test" --help
check "test explains itself" has "FILTER" err

[ $failures = 0 ]
