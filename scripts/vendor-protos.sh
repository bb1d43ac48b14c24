#!/usr/bin/env bash
# Fetch the vendors' own .proto files of three containerd generations, as Debian packages them:
#
#   bash scripts/vendor-protos.sh
#
# Prints "GENERATION FAMILY VERSION DIRECTORY" for each, separated by tabs. A second run fetches nothing;
# delete the cache directory to look for newer packages. Never mixed with proto/, which is our own text.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd/protos

# grpc-proto left Debian after bookworm. The health protocol is the same in all generations.
packages="
1.6 containerd bookworm golang-github-containerd-containerd-dev
1.6 cgroups bookworm golang-github-containerd-cgroups-dev
1.6 googleapis bookworm golang-github-gogo-googleapis-dev
1.6 grpc bookworm grpc-proto
1.7 containerd trixie golang-github-containerd-containerd-dev
1.7 cgroups trixie golang-github-containerd-cgroups-dev
1.7 googleapis trixie golang-github-gogo-googleapis-dev
2.x containerd forky golang-github-containerd-containerd-api-dev
2.x cgroups forky golang-github-containerd-cgroups-dev
2.x googleapis forky golang-github-gogo-googleapis-dev
"

# The suites are independent and mostly wait for the network.
while read -r generation family suite package; do
  [ -z "$generation" ] || printf '%s\0' "$suite" "$package" "$cache/$generation/$family"
done <<<"$packages" | xargs -0 -n 3 -P 3 bash "$scripts/debs.sh"

while read -r generation family _; do
  [ -n "$generation" ] || continue
  read -r _ version _ <"$cache/$generation/$family/.deb-version"
  printf '%s\t%s\t%s\t%s\n' "$generation" "$family" "$version" "$cache/$generation/$family"
done <<<"$packages"
