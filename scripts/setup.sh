#!/usr/bin/env bash
# Installs the Debian packages that gemma4 builds and tests with. Says what it does; running it
# again changes nothing.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config git ca-certificates
  libcli11-dev          # the command line
  libfmt-dev            # text formatting
  nlohmann-json3-dev    # configs, requests, answers
  libsimdjson-dev       # safetensors headers, the 32 MB tokenizer.json
  libsentencepiece-dev libprotobuf-dev  # tokenizer (Debian 13's package wants the second one too)
  libdnnl-dev           # oneDNN: large matrix products on CPUs
  libcurl4-openssl-dev libssl-dev  # gemma4 pull: downloads, and their checksums
  libedit-dev           # line editing in gemma4 chat
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev libswresample-dev  # images, video
  libsndfile1-dev       # audio
  doctest-dev           # tests
  python3 python3-jsonschema    # end-to-end tests, an independent schema validator
  ffmpeg sox espeak-ng imagemagick webp  # tests: small media files in every format
  dpkg-dev file groff-base  # tests: the Debian package, the manual pages
  clang libclang-rt-dev  # fuzzing
)

missing=()
for package in "${packages[@]}"; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
    missing+=("$package")
  fi
done

if [ "${#missing[@]}" -eq 0 ]; then
  echo "setup: all packages are installed"
  exit 0
fi

echo "setup: installing ${missing[*]}"
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo)
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
echo "setup: done"
