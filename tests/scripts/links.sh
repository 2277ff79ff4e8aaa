#!/usr/bin/env bash
# cmake/GamutLibrary.cmake: a folder that links its own or a higher level stops the configuration, a lower one is fine.
# usage: links.sh SOURCE_FOLDER COMPILER
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

mkdir -p "$work"/{low,middle,high}
for folder in low middle high; do echo "int $folder() { return 0; }" >"$work/$folder/$folder.cpp"; done
configure() { # LINES…: the declarations to configure
  rm -rf "$work/build"
  {
    echo 'cmake_minimum_required(VERSION 3.25)'
    echo 'project(levels CXX)'
    echo "include($source_folder/cmake/GamutLibrary.cmake)"
    printf '%s\n' "$@"
  } >"$work/CMakeLists.txt"
  cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" >"$work/out" 2>&1
}
source_folder=$1 compiler=$2

if ! configure 'gamut_library(low LEVEL 1 USES)' 'gamut_library(high LEVEL 2 USES low)'; then
  echo "FAILED: a lower level is refused"
  cat "$work/out"
  failures=1
fi
refused() { # DESCRIPTION MESSAGE LINES…
  local what=$1 message=$2
  shift 2
  if configure "$@"; then
    echo "FAILED: $what is accepted"
    failures=1
  elif ! tr '\n' ' ' <"$work/out" | tr -s ' ' | grep -q "$message"; then
    echo "FAILED: $what is refused for another reason"
    cat "$work/out"
    failures=1
  fi
}
refused "a higher level" "low (level 1) may not use high (level 2)" \
  'gamut_library(high LEVEL 2 USES)' 'gamut_library(low LEVEL 1 USES high)'
refused "the same level" "low (level 1) may not use middle (level 1)" \
  'gamut_library(middle LEVEL 1 USES)' 'gamut_library(low LEVEL 1 USES middle)'
refused "a level declared later" "low (level 1) may not use high" \
  'gamut_library(low LEVEL 1 USES high)' 'gamut_library(high LEVEL 2 USES)'
exit $failures
