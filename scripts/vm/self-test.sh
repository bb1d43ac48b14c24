#!/usr/bin/env bash
# That `npm run test:vm` tells the truth: a guest whose tests pass is good; one with a broken test, one that hangs and
# one that dies are not, and are reported as such. Nothing of them is left.
#
#   npm run test:vm:self
set -euo pipefail
cd "$(dirname "$0")/../.."
TMPDIR=$(mktemp -d)
export TMPDIR
log=$TMPDIR.log
trap 'rm -rf "$TMPDIR" "$log"' EXIT
failed=0

check() { # case, expected status, minutes, what is told
  local status=0 remains
  bash scripts/vm/run.sh --config=scripts/vm/self-test/vitest.config.ts --minutes="$3" "$1" >"$log" 2>&1 || status=$?
  remains=$(ls "$TMPDIR" | grep cadre-vm || true; pgrep -f "qemu-system-x86_64 .*$TMPDIR" || true)
  if [ "$status" = "$2" ] && grep -q "$4" "$log" && [ -z "$remains" ]; then
    echo "self-test: $1: as expected (${SECONDS}s)"
  else
    failed=1
    tail -n 60 "$log"
    echo "self-test: $1: status $status, expected $2 and '$4'; left: ${remains:-nothing}" >&2
  fi
}

check good 0 6 '1 passed, 0 failed, 0 skipped in the guest'
check broken 1 6 'FAILED in the guest: .*vitest ended with 1'
check hanging 1 3 'the guest is about to hang'
check dying 1 6 'the guest did not come to the end of its tests'
exit "$failed"
