#!/usr/bin/env bash
# proto/ -> src/generated/, and the fields of the policy and of the isolation block -> their schemas, offline and the same on
# every machine:
#
#   bash scripts/generate.sh           write all, without what no longer has a source
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
schemas=(policy.schema.json isolation.schema.json)
node scripts/run-ts.mjs scripts/schemas.ts "$work"

if [ "${1:-}" = --check ]; then
  "$buf" lint
  "$buf" format --diff --exit-code
  if ! diff -r -u src/generated "$fresh" >"$work/diff"; then
    head -n 60 "$work/diff"
    echo "generate.sh: src/generated is stale, run npm run generate" >&2
    exit 1
  fi
  for schema in "${schemas[@]}"; do
    diff -u "$schema" "$work/$schema" >"$work/diff" && continue
    head -n 60 "$work/diff"
    echo "generate.sh: $schema is stale, run npm run generate" >&2
    exit 1
  done
else
  if ! diff -r -q src/generated "$fresh" >/dev/null 2>&1; then
    rm -rf src/generated
    mv "$fresh" src/generated
  fi
  # Over the old one, so that a failure above leaves it whole.
  for schema in "${schemas[@]}"; do cp "$work/$schema" "$schema"; done
fi
