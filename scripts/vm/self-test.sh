#!/usr/bin/env bash
# That `npm run test:vm` tells the truth: a guest whose tests pass is good; one with a broken test, one that hangs and
# one that dies are not, and are reported as such. What is piped to the shell of --keep runs there. Nothing of them is
# left.
#
#   npm run test:vm:self
set -euo pipefail
cd "$(dirname "$0")/../.."
TMPDIR=$(mktemp -d)
export TMPDIR
log=$TMPDIR.log
trap 'rm -rf "$TMPDIR" "$log"' EXIT
failed=0

check() { # case, expected status, minutes, what is told, arguments
  local status remains minutes
  # More of them only for a guest that did not come to its test, as on a busy machine.
  for minutes in $3; do
    status=0
    bash scripts/vm/run.sh --minutes="$minutes" "${@:5}" >"$log" 2>&1 || status=$?
    ! grep -q "$4" "$log" || break
  done
  remains=$(ls "$TMPDIR" | grep cadre-vm || true; pgrep -f "qemu-system-x86_64 .*$TMPDIR" || true)
  if [ "$status" = "$2" ] && grep -q "$4" "$log" && [ -z "$remains" ]; then
    echo "self-test: $1: as expected (${SECONDS}s)"
  else
    failed=1
    tail -n 60 "$log"
    echo "self-test: $1: status $status, expected $2 and '$4'; left: ${remains:-nothing}" >&2
  fi
}

run() { # as check
  check "$@" --config=scripts/vm/self-test/vitest.config.ts "$1"
}

run good 0 15 '1 passed, 0 failed, 0 skipped in the guest'
run broken 1 15 'FAILED in the guest: .*the tests ended with 1'
run hanging 1 "2 5 15" 'the guest is about to hang'
run dying 1 15 'the guest did not come to the end of its tests'
check keep 0 15 'kept-42' --keep --config=scripts/vm/self-test/vitest.config.ts good <<<'echo kept-$((6 * 7))'
check payload 0 15 'status 0 in the guest' --payload scripts/vm/self-test/payload
exit "$failed"
