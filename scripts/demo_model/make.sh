#!/usr/bin/env bash
# Makes the demo model anew: data, training, export, scores. Needs Debian's python3-torch,
# python3-numpy and a fast BLAS, which scripts/setup.sh does not install, and a built gemma4.
#
#   scripts/demo_model/make.sh [WORK [CHECKPOINT]]
#
# WORK: a folder for data and checkpoints (build/demo). CHECKPOINT: the folder to write
# (share/models/demo); the assistant goes to CHECKPOINT-assistant.
#
# A finished stage is not repeated: remove its file from WORK to run it again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${1:-$root/build/demo}
checkpoint=${2:-$root/share/models/demo}
program=${GEMMA4:-$root/build/gemma4}
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$work" "$checkpoint"
work=$(cd "$work" && pwd)
checkpoint=$(cd "$checkpoint" && pwd)

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
stage speech speech.py "$work" "${UTTERANCES:-9000}"
stage vision towers.py vision "$work" "${VISION_STEPS:-3500}" &
stage text decoder.py text "$work" "${TEXT_STEPS:-1500}" &
stage audio towers.py audio "$work" "${AUDIO_STEPS:-4000}"
wait
stage joint decoder.py joint "$work" "${JOINT_STEPS:-5000}"
stage assistant assistant.py "$work" "${ASSISTANT_STEPS:-900}"

for name in tokenizer speech vision text audio joint assistant; do
  [ -e "$work/$name.done" ] || { echo "make.sh: stage $name failed" >&2; exit 1; }
done
"$python" export.py "$work/joint.pt" "$work/tokenizer.json" "$checkpoint"
"$python" export.py "$work/assistant.pt" "$checkpoint-assistant"
"$python" evaluate.py "$program" "$checkpoint" "${EXAMPLES:-200}" --media 2>"$work/wrong-answers.txt"
