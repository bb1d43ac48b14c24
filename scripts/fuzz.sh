#!/usr/bin/env bash
# What `npm run fuzz` runs: the readers of both ends of the supervisor's channel on arbitrary input, and the supervisor's
# own tests on one that is built with the address and undefined-behaviour sanitizers. Ends with 1 for a crash, a hang,
# growth, or an answer that is none.
#
#   npm run fuzz -- [--seconds N] [--seed N] [--native]
#
# N is of processor time for each end, 60 unless said; --native leaves out the host's end, which the unit tests have.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
seed=
native=
while [ $# -gt 0 ]; do
  case $1 in
    --native) native=1; shift; continue ;;
    --seconds) seconds=${2:?--seconds needs a number} ;;
    --seed) seed=${2:?--seed needs a number} ;;
    *) echo "fuzz: unknown argument: $1" >&2; exit 2 ;;
  esac
  shift 2
done

# Where addresses are spread widely, this generation of sanitizers does not find its own.
fixed=()
if setarch -R true 2>/dev/null; then fixed=(setarch -R); fi

mkdir -p native/build
gcc -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
  -Dfork=fuzz_fork -Dvfork=fuzz_fork -Dkill=fuzz_kill -Dpipe2=fuzz_pipe2 \
  -o native/build/frames native/fuzz/frames.c native/{job,ring,run,files,channel,relay,kill}.c
(
  ulimit -n 1024
  "${fixed[@]}" native/build/frames "$seconds" ${seed:+"$seed"}
)

bash scripts/build-native.sh sanitize
# What looks for leaks is a tracer, and nobody traces the supervisor.
export ASAN_OPTIONS=detect_leaks=0
CADRE_TEST_SUPERVISOR=$PWD/native/build/supervisor "${fixed[@]}" npx vitest run --project containerd-1.6 \
  test/session/supervisor/{program,channel}.e2e.test.ts
[ -z "$native" ] || exit 0
if [ -n "$seed" ]; then export CADRE_SEED=$seed; fi
CADRE_FUZZ_SECONDS=$seconds npx vitest run --project unit test/session/supervisor/fuzz.test.ts
