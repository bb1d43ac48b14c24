#!/usr/bin/env bash
# What `npm run demo` runs: setup, then the demo against a private containerd, or against that of CONTAINERD_ADDRESS.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec node scripts/run-ts.mjs scripts/demo.ts "$@"
