#!/usr/bin/env bash
# Set-up, build, and real runs: gemma4 answers a question, describes a picture and writes down a
# sentence, with the small demonstration model of this repository.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh build -DGEMMA4_TESTS=OFF

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
convert -size 384x384 xc:white -fill red -draw 'circle 192,192 192,142' \
  -fill blue -draw 'rectangle 278,278 362,362' "$files/shapes.png"
espeak-ng -w "$files/speech.wav" 'turn on the light in the kitchen'

# Shows the command, and that it answered.
show() {
  echo
  echo "\$ $*"
  local answer
  answer=$(build/gemma4 "${@:2}")
  echo "$answer"
  [ -n "$answer" ] || { echo "quickstart: no answer came out" >&2; exit 1; }
}

echo
echo "The demo model is a miniature of Gemma 4 with a few dozen facts (share/models/demo/README.md)."
show gemma4 run -m demo "What is the capital of France?"
show gemma4 describe-image -m demo "$files/shapes.png"
show gemma4 transcribe -m demo "$files/speech.wav"
echo
echo "A real model:"
echo "  gemma4 pull google/gemma-4-E2B-it"
echo "  git diff | gemma4 run -m google/gemma-4-E2B-it 'Write a commit message.'"
