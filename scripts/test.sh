#!/usr/bin/env bash
# Set-up, build, and all tests: the ordinary build, the sanitizers, and 20 s of each fuzz target.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh

echo "test: building"
scripts/build.sh build
echo "test: running"
ctest --test-dir build --output-on-failure --no-tests=error

# Loaders, template engine and parsers read hostile bytes: they also run under the sanitizers.
echo "test: building with AddressSanitizer and UndefinedBehaviorSanitizer"
scripts/build.sh build-asan -DGEMMA4_SANITIZE=address,undefined \
  -DGEMMA4_ROOMS_ONLY=ON
ctest --test-dir build-asan --output-on-failure --no-tests=error

echo "test: fuzzing"
CC=clang CXX=clang++ scripts/build.sh build-fuzz -DGEMMA4_FUZZ=ON -DGEMMA4_TESTS=OFF \
  -DGEMMA4_ROOMS_ONLY=ON
scripts/fuzz.sh build-fuzz 20

echo "test: all passed"
