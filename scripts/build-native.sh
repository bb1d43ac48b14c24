#!/usr/bin/env bash
# Builds the supervisor and the gate of native/ into native/bin, static.
#
#   bash scripts/build-native.sh            for this machine
#   bash scripts/build-native.sh all        for every architecture that the package is for
#   bash scripts/build-native.sh sanitize   the supervisor, with the sanitizers, as native/build/supervisor
set -euo pipefail
cd "$(dirname "$0")/../native"
common='-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror'
flags="$common -Os -static -s -fno-ident -ffunction-sections -Wl,--gc-sections"

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
case ${1:-}:$(uname -m) in
  sanitize:*)
    # shellcheck disable=SC2086
    mkdir -p build && gcc $common -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -o build/supervisor ./*.c
    exit
    ;;
  *:x86_64) build musl-gcc x64 ;;
  *:aarch64) build musl-gcc arm64 ;;
esac
if [ "${1:-}" = all ] && [ "$(uname -m)" = x86_64 ]; then build aarch64-linux-gnu-gcc arm64; fi
