#!/usr/bin/env bash
# Set-up, build, and one real run: gemma4 generates tokens from a checkpoint in this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh build -DGEMMA4_TESTS=OFF

model=tests/goldens/text-e
prompt=2,110,150,171,183,185,178
echo
echo "Running a small Gemma 4 (E-family shape, random weights: it has no words, only token ids):"
echo "  build/gemma4 run -m $model --tokens $prompt --temperature 0 --max-tokens 16 --stats"
answer=$(build/gemma4 run -m "$model" --tokens "$prompt" --temperature 0 --max-tokens 16 --stats)
echo "$answer"
[ -n "$answer" ] || { echo "quickstart: no tokens came out" >&2; exit 1; }
echo
echo "With a real checkpoint:  git diff | build/gemma4 run -m google/gemma-4-E2B-it 'write a commit message'"
