#!/usr/bin/env bash
# What `npm run soak` runs: the long variants of tests that `npm test` keeps short, on every containerd generation.
#
#   npm run soak                          all of them
#   npm run soak -- test/session/recovery [GENERATION...]
#
# A random sequence is told by its seed; CADRE_SEED=N runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."
unset CONTAINERD_ADDRESS CONTAINERD_NAMESPACE

path=${1:-test}
shift || true
[ $# -gt 0 ] || set -- 1.6 1.7 2.1
for generation; do
  CADRE_SOAK=1 node node_modules/vitest/vitest.mjs run --project "containerd-$generation" "$path" </dev/null
done
