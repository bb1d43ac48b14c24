#!/usr/bin/env bash
# Builds the supervisor and the gate of native/ into native/bin, static and for this machine, or for every architecture that the
# package is for: `bash scripts/build-native.sh all`.
set -euo pipefail
cd "$(dirname "$0")/../native"
flags='-std=c11 -D_GNU_SOURCE -Os -static -s -Wall -Wextra -Werror -fno-ident -ffunction-sections -Wl,--gc-sections'

build() {
  link "$1" "supervisor-linux-$2" ./*.c
  link "$1" "gate-linux-$2" gate/*.c
}

link() {
  compiler=$1 program=$2
  shift 2
  # shellcheck disable=SC2086
  "$compiler" $flags -o "bin/$program.new" "$@"
  mv "bin/$program.new" "bin/$program"
}

mkdir -p bin
case $(uname -m) in
  x86_64) build musl-gcc x64 ;;
  aarch64) build musl-gcc arm64 ;;
esac
if [ "${1:-}" = all ] && [ "$(uname -m)" = x86_64 ]; then build aarch64-linux-gnu-gcc arm64; fi
