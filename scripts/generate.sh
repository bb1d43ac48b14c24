#!/usr/bin/env bash
# proto/ -> src/generated/ and the policy's fields -> policy.schema.json, offline and the same on every machine:
#
#   bash scripts/generate.sh           write both, without what no longer has a source
#   bash scripts/generate.sh --check   write nothing; fail on stale output, lint or format
set -euo pipefail
cd "$(dirname "$0")/.."

buf=node_modules/.bin/buf
[ -x "$buf" ] || { echo "generate.sh: run npm ci first" >&2; exit 1; }

# A whole new tree first, so that nobody meets a half-written one. In node_modules, where no tool looks and
# from where it can be renamed.
work=$(mktemp -d node_modules/.generate.XXXXXX)
trap 'rm -rf "$work"' EXIT
"$buf" generate --output "$work"
fresh=$work/src/generated
node scripts/run-ts.mjs scripts/policy-schema.ts >"$work/policy.schema.json"

if [ "${1:-}" = --check ]; then
  "$buf" lint
  "$buf" format --diff --exit-code
  if ! diff -r -u src/generated "$fresh" >"$work/diff"; then
    head -n 60 "$work/diff"
    echo "generate.sh: src/generated is stale, run npm run generate" >&2
    exit 1
  fi
  if ! diff -u policy.schema.json "$work/policy.schema.json" >"$work/diff"; then
    head -n 60 "$work/diff"
    echo "generate.sh: policy.schema.json is stale, run npm run generate" >&2
    exit 1
  fi
else
  if ! diff -r -q src/generated "$fresh" >/dev/null 2>&1; then
    rm -rf src/generated
    mv "$fresh" src/generated
  fi
  # Over the old one, so that a failure above leaves it whole.
  cp "$work/policy.schema.json" policy.schema.json
fi
