#!/usr/bin/env bash
# Install the Debian packages that the bench's peers need and the machine lacks:
#
#   bash bench/setup.sh PACKAGE...
#
# No service is started: the bench runs daemons of its own.
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || { echo "no apt-get to install ${missing[*]}" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "root is needed to install ${missing[*]}" >&2; exit 1; }

# Debian starts a service as it installs it, unless this file says no.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -e "$policy" ]; then
  trap 'rm -f "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
echo "bench: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  exit 1
fi
