#!/usr/bin/env bash
# Runs every fuzz target of a build folder over its committed corpus: scripts/fuzz.sh FOLDER SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
seconds=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in "$folder"/fuzz/*_fuzz; do
  name=$(basename "$target" _fuzz)
  mkdir -p "$work/$name"
  echo "fuzz: $name for $seconds s"
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -artifact_prefix="$work/" "$work/$name" "fuzz/corpus/$name" >"$work/log" 2>&1 ||
    { tail -60 "$work/log"; echo "fuzz: $name failed" >&2; exit 1; }
done
