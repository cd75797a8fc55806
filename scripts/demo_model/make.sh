#!/usr/bin/env bash
# Makes the demo model anew: data, training, export, scores. Needs Debian's python3-torch,
# python3-numpy and a fast BLAS, which scripts/setup.sh does not install, and a built gemma4.
#
#   scripts/demo_model/make.sh [WORK]      WORK: a folder for data and checkpoints (build/demo)
#
# A finished stage is not repeated: remove its file from WORK to run it again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${1:-$root/build/demo}
program=${GEMMA4:-$root/build/gemma4}
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$work"
work=$(cd "$work" && pwd)

if ! "$python" -c 'import torch, numpy' 2>/dev/null; then
  echo "make.sh: needs torch: sudo apt-get install python3-torch python3-numpy libopenblas0-pthread" >&2
  exit 1
fi
export OPENBLAS_NUM_THREADS=1  # the stages run side by side instead
cd "$here"

stage() {  # stage FILE COMMAND...: runs the command unless WORK has FILE from an earlier run
  local file=$1
  shift
  [ -e "$work/$file.done" ] && return
  echo "== $*"
  nice "$python" "$@"
  touch "$work/$file.done"
}

stage model check_model.py
stage tokenizer tokenizer.py "$work/tokenizer.json"
stage speech speech.py "$work"
stage vision towers.py vision "$work" "${VISION_STEPS:-3000}" &
stage text decoder.py text "$work" "${TEXT_STEPS:-1500}" &
stage audio towers.py audio "$work" "${AUDIO_STEPS:-4000}"
wait
stage joint decoder.py joint "$work" "${JOINT_STEPS:-5000}"

for name in tokenizer speech vision text audio joint; do
  [ -e "$work/$name.done" ] || { echo "make.sh: stage $name failed" >&2; exit 1; }
done
"$python" export.py "$work/joint.pt" "$work/tokenizer.json" "$root/share/models/demo"
"$python" evaluate.py "$program" "$root/share/models/demo" 200 --media 2>"$work/wrong-answers.txt"
