#!/usr/bin/env bash
# What `npm run test:vm` runs: setup, then the tests in a virtual machine. See docs/testing.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash scripts/setup.sh
bash scripts/packages.sh debootstrap qemu-system-x86 e2fsprogs gcc libc6-dev musl-tools
npm run --silent build:native
bash scripts/containerds.sh >/dev/null
exec node scripts/run-ts.mjs scripts/vm/main.ts "$@"
