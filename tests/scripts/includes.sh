#!/usr/bin/env bash
# A folder's own headers compile with its include path; a header of any forbidden folder is not found.
# usage: includes.sh COMPILER SOURCE_FOLDER FOLDER "FORBIDDEN;FOLDERS" "INCLUDE;DIRECTORIES"
set -uo pipefail
compiler=$1 source_folder=$2 folder=$3
IFS=';' read -ra forbidden <<<"$4"
IFS=';' read -ra directories <<<"$5"
failures=0

# Sets `found` to an include line for some header of a folder; false if it has none.
header_of() {
  found=$(cd "$source_folder" && find "$1" -name '*.h' | sort | head -n 1)
  [ -n "$found" ]
}
includes() { echo "#include \"$found\"" | "$compiler" -std=c++20 -x c++ -E "${directories[@]/#/-I}" -o /dev/null - 2>&1; }

if header_of "$folder" && ! message=$(includes); then
  echo "FAILED: $folder cannot include its own $found: $message"
  failures=1
fi
for other in "${forbidden[@]}"; do
  header_of "$other" || continue
  if message=$(includes); then
    echo "FAILED: $folder can include $found"
    failures=1
  elif [[ $message != *"$found"*"No such file"* && $message != *"$found"*"not found"* ]]; then
    echo "FAILED: $folder fails to include $found for another reason: $message"
    failures=1
  fi
done
exit $failures
