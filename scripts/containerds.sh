#!/usr/bin/env bash
# Fetch the containerd generations that bookworm does not have, beside the installed 1.6, without installing them:
#
#   bash scripts/containerds.sh
#
# They come to rest where test/support/containerd-binary.ts looks for them. Nothing is started.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd

# generation, the Debian suite that has it
while read -r generation suite; do
  dest=$cache/containerd-$generation
  bash scripts/debs.sh "$suite" containerd "$dest"
  # Said now and plainly: a suite moves on, and a newer libc may be asked for.
  version=$("$dest/usr/bin/containerd" --version | cut -d' ' -f3)
  case $version in
    "$generation".* | v"$generation".*) echo "containerd $version in $dest" ;;
    *) echo "containerds.sh: wanted containerd $generation, Debian $suite has $version" >&2; exit 1 ;;
  esac
done <<'LIST'
1.7 trixie
2.1 forky
LIST
