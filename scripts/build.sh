#!/usr/bin/env bash
# Configures and builds: scripts/build.sh [FOLDER [CMAKE OPTIONS...]]; the default folder is build/.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build}
shift || true
cmake -S . -B "$folder" -G Ninja "$@" >"${TMPDIR:-/tmp}/gemma4-configure.log" ||
  { cat "${TMPDIR:-/tmp}/gemma4-configure.log"; exit 1; }
cmake --build "$folder" --parallel "$(nproc)"
