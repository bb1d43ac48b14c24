#!/usr/bin/env bash
# Builds the supervisor of native/ into native/bin, static and for this machine, or for every architecture that the
# package is for: `bash scripts/build-native.sh all`.
set -euo pipefail
cd "$(dirname "$0")/../native"
flags='-std=c11 -D_GNU_SOURCE -Os -static -s -Wall -Wextra -Werror -fno-ident -ffunction-sections -Wl,--gc-sections'

build() {
  # shellcheck disable=SC2086
  "$1" $flags -o "bin/supervisor-linux-$2.new" ./*.c
  mv "bin/supervisor-linux-$2.new" "bin/supervisor-linux-$2"
}

mkdir -p bin
case $(uname -m) in
  x86_64) build musl-gcc x64 ;;
  aarch64) build musl-gcc arm64 ;;
esac
if [ "${1:-}" = all ] && [ "$(uname -m)" = x86_64 ]; then build aarch64-linux-gnu-gcc arm64; fi
