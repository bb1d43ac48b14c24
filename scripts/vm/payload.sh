#!/usr/bin/env bash
# Make the guest's second disk, of this working tree as it is:
#
#   bash scripts/vm/payload.sh FILE [ARGUMENT_OF_VITEST...]
#
# It holds the tree, what it built, node_modules without what only checks need, the packed package, Node, the containerd
# generations that Debian bookworm has not, and the guest's init.
set -euo pipefail
disk=$1
shift
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd
work=$(mktemp -d "$disk.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/repo" "$work/bin" "$work/cache/cadre-containerd" "$work/package"
cp scripts/vm/init.sh "$work/init"
chmod 755 "$work/init"
printf '%s\n' "$@" >"$work/arguments"
cp -L "$(node -p process.execPath)" "$work/bin/node"

git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$work/repo"
tar -cf - dist \
  --exclude=node_modules/{node-24,@biomejs,@bufbuild/buf*,@microsoft,@arethetypeswrong,@typescript,typescript,knip,dprint-node} \
  node_modules | tar -xf - -C "$work/repo"
npm pack --silent --ignore-scripts --pack-destination "$work/package" >/dev/null

for generation in 1.7 2.1; do
  bin=containerd-$generation/usr/bin
  mkdir -p "$work/cache/cadre-containerd/$bin"
  cp "$cache/$bin/containerd" "$cache/$bin"/containerd-shim-runc-v2 "$work/cache/cadre-containerd/$bin/"
done

# Room for what tests write beside the sources.
mke2fs -q -t ext4 -d "$work" "$disk" 2G
