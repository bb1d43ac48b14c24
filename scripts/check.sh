#!/usr/bin/env bash
# What `npm run check` runs: everything that can be wrong without a daemon. Needs dist/ (npm run build).
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  echo "-- $1"
  shift
  "$@"
}
step 'lint and format' npx biome check .
step 'types' npx tsc --noEmit
step 'dead code' npx knip
step 'generated code and protos' bash scripts/generate.sh --check
step 'package' npx publint --strict
step 'types of the package' npx attw --pack . --profile esm-only
step 'API report (npm run api renews it) and pages' bash scripts/api-pages.sh
