#!/usr/bin/env bash
# Install the Debian packages that are missing: bash scripts/packages.sh PACKAGE...
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: needs ${missing[*]}, and finds no apt-get to install them: this is made for Debian" >&2
  exit 1
fi
# Debian starts a service as it installs it, unless this file says no: ours are private, the host keeps its peace.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -e "$policy" ]; then
  trap 'rm -f "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Some other apt may be at work on a machine that has just booted.
apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  exit 1
fi
