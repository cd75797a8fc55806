#!/usr/bin/env bash
# Writes man/*.1 and completions/ from the program's own commands and flags, and from man/sections:
# scripts/update_manual.sh [BUILD FOLDER]. To be run when either has changed; a test compares.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --build "${1:-build}" --target gemma4
rm -f man/*.1 completions/*
"${1:-build}/gemma4" manual man/sections .
