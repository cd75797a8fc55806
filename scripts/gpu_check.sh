#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in one go: scripts/gpu_check.sh [BUILD FOLDER]
#   1. builds with CUDA, and says which devices there are
#   2. the tests of operations and the golden suites, which take the GPU in when there is one
#   3. compute-sanitizer (memcheck, racecheck, synccheck) over the operation tests
#   4. gemma4 bench on random weights: E2B in bf16, int8 and int4, batch 1, 16 and 64
# Prints a line for each part and exits 1 if one failed. A part whose tool is missing says so.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
failed=0
part() {
  echo "gpu_check: $1"
  shift
  "$@" || { echo "gpu_check: FAILED: $*" >&2; failed=1; }
}

scripts/build.sh "$build" -DCMAKE_BUILD_TYPE=Release -DGEMMA4_CUDA=ON
devices=$("$build/gemma4" --version | grep '^cuda:[0-9]' || true)
[ -n "$devices" ] || { echo "gpu_check: no CUDA device here" >&2; exit 5; }
echo "$devices"

part "operations" "$build/tests/gemma4_test_kernels"
part "golden suites" "$build/tests/gemma4_test_model"
part "engine" "$build/tests/gemma4_test_runtime"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [ -n "$sanitizer" ]; then
  for tool in memcheck racecheck synccheck; do
    # The largest cases are left out: the sanitizer is some hundred times slower.
    part "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 "$build/tests/gemma4_test_kernels" \
      --test-case-exclude="*full vocabulary*,*long ranges*,*for every setting*"
  done
else
  echo "gpu_check: compute-sanitizer is not installed: memcheck and racecheck were not run"
fi

model=tests/goldens/text-e-f32
tokens=2,110,150,171,183,185,178
for device in cpu cuda; do
  "$build/gemma4" run -m "$model" --tokens "$tokens" --temperature 0 --max-tokens 16 --quiet \
    --exact-activations --kv-cache-dtype f32 --device "$device" >"$build/greedy-$device.txt"
done
part "greedy tokens equal the CPU's" cmp "$build/greedy-cpu.txt" "$build/greedy-cuda.txt"

for weights in bf16 int8 int4; do
  part "bench $weights" "$build/gemma4" bench --dummy e2b --device cuda --context 16k \
    --weights "$weights" --lm-head "$weights" --workload 8000/128 --batch 1,16,64 --reps 3
done
exit "$failed"
