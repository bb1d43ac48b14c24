#!/usr/bin/env bash
# What `npm test` runs, from a fresh clone on: setup, static checks, the tests on three containerd generations and two
# Node versions, and those of the virtual machine (docs/testing.md; CADRE_SKIP_VM=1 leaves them out). Ends at the first red stage, and always with a line `N passed, N failed, N skipped`.
#
# With CADRE_TEST_MINUTES=N, 84 where CI is set, what would not end in that time is left out, the last first, and counted.
#
#   bash scripts/test.sh           everything
#   bash scripts/test.sh matrix    only the end-to-end tests, on every generation
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests have daemons of their own; these would lead the library to the system's.
unset CONTAINERD_ADDRESS CONTAINERD_NAMESPACE

work=$(mktemp -d)
export TEST_SUMMARY=$work/summary
touch "$TEST_SUMMARY"
stage=none
minutes=${CADRE_TEST_MINUTES:-${CI:+84}}

finish() {
  status=$?
  [ "$stage" = passed ] || [ "$status" -ne 0 ] || status=1
  [ "$status" -eq 0 ] || echo "FAILED at: $stage" >&2
  node scripts/test-summary.mjs "$TEST_SUMMARY" "$status" || status=1
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

enter() {
  stage=$1
  echo "== $stage (${SECONDS}s)"
}

# node binary, then the vitest projects and, behind `--`, the files. A run that adds no summary has not come to its end.
run_tests() {
  local node=$1 before projects=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    projects+=("--project=$1")
    shift
  done
  before=$(wc -l <"$TEST_SUMMARY")
  "$node" node_modules/vitest/vitest.mjs run "${projects[@]}" "${@:2}" </dev/null
  [ "$(wc -l <"$TEST_SUMMARY")" -gt "$before" ]
}

# Of a stage that takes so many hundredths of what the first one took.
has_time() {
  [ -z "$minutes" ] || [ $((SECONDS + first * $1 / 100)) -le $((minutes * 60)) ]
}

leave_out() { # what, why
  echo "$1: left out: $2"
  printf '{"passed":0,"failed":0,"failures":[],"skipped":[{"name":"%s","reason":"%s"}]}\n' "$1" "$2" >>"$TEST_SUMMARY"
}

# Name, hundredths, command.
run_in_time() {
  enter "$1"
  if has_time "$2"; then "${@:3}"; else leave_out "$1" "it would not end within $minutes minutes"; fi
}

run_task_executor() {
  CADRE_TEST_EXECUTOR=task run_tests node containerd-1.6 -- test/session/{exec-,at-once,lifecycle,main,logs.,attach,secrets,verify,stats,fork.,audit,contract} test/provider/framework test/abuse
}

run_stdio() {
  CADRE_TEST_EXECUTOR=supervisor run_tests node kata-{1.6,1.7,2.1} -- test/session/{contract,main,attach,at-once,exec-input,exec-spawn}.e2e
}

# Why the guest cannot run here; nothing where it can.
find_obstacle() {
  local memory disk
  memory=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
  disk=$(df --output=avail -m "$HOME" | tail -n 1)
  if [ -n "${CADRE_SKIP_VM:-}" ]; then echo "CADRE_SKIP_VM is set"
  elif [ "$(uname -m)" != x86_64 ]; then echo "the guest is for x86_64; this is $(uname -m)"
  elif [ "$memory" -lt 5000 ]; then echo "it needs 5000 MiB of memory; $memory are free"
  elif [ "$disk" -lt 8000 ]; then echo "it needs 8000 MiB of disk; $((disk)) are free"
  fi
}

run_guest() {
  local obstacle left=()
  obstacle=$(find_obstacle)
  # An emulated one is slow where the machine is; then what follows is left out.
  [ -z "$minutes" ] || left=(--minutes $((minutes - SECONDS / 60)))
  if [ -z "$obstacle" ]; then bash scripts/vm/run.sh "${left[@]}"; else leave_out 'the guest, scripts/vm/suites.ts' "$obstacle"; fi
}

enter 'setup'
bash scripts/setup.sh --tests
bash scripts/containerds.sh

case ${1:-} in
  '')
    enter 'static checks'
    npm run --silent check
    enter 'unit and containerd 1.6'
    first=$SECONDS
    run_tests node unit containerd-1.6 kata-1.6
    first=$((SECONDS - first))
    # Each Node with one of the two generations that differ most.
    run_in_time "unit and containerd 2.1 on Node $(node_modules/node-24/bin/node --version)" 105 \
      run_tests node_modules/node-24/bin/node unit containerd-2.1
    run_in_time 'containerd 2.1 behind the recording shim' 45 run_tests node kata-2.1
    run_in_time 'a machine with cgroup v2 and AppArmor' 40 run_guest
    run_in_time 'supervisors over stdio' 20 run_stdio
    run_in_time "fuzz of the supervisor's channel, with sanitizers" 5 npm run --silent fuzz -- --seconds 2 --native
    run_in_time 'containerd 1.6, commands started by containerd' 20 run_task_executor
    run_in_time 'containerd 1.7' 85 run_tests node containerd-1.7 kata-1.7
    ;;
  matrix)
    enter 'containerd 1.6, 1.7 and 2.1'
    run_tests node {containerd,kata}-{1.6,1.7,2.1}
    ;;
  *)
    enter "unknown argument: $1"
    exit 2
    ;;
esac
echo "== all stages passed (${SECONDS}s)"
stage=passed
