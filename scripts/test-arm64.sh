#!/usr/bin/env bash
# What `npm run test:arm64` runs: the supervisor built for arm64, and run by qemu. Its compiler and qemu are some 100 MB of
# packages, which is why `npm test` does not install them; where they are, its unit tests run this one too.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/packages.sh gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static busybox-static
npx vitest run --project unit test/session/supervisor/arm64.test.ts
