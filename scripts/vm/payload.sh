#!/usr/bin/env bash
# Make the guest's second disk, of this working tree as it is:
#
#   bash scripts/vm/payload.sh FILE [[ARGUMENT_OF_VITEST...] --end]...
#
# It holds the tree, node_modules without what only checks need, the packed package, Node, the containerd generations that
# Debian bookworm has not, and the guest's init.
set -euo pipefail
disk=$1
shift
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd
work=$(mktemp -d "$disk.XXXXXX")
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/repo" "$work/bin" "$work/cache/cadre-containerd"
cp scripts/vm/init.sh "$work/init"
chmod 755 "$work/init"
printf '%s\n' "$@" >"$work/arguments"
cp -L "$(node -p process.execPath)" "$work/bin/node"

git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$work/repo"
tar -cf - \
  --exclude=node_modules/{node-24,@biomejs,@bufbuild/buf*,@microsoft,@arethetypeswrong,@typescript,typescript,knip,dprint-node} \
  node_modules | tar -xf - -C "$work/repo"
# A worker of vitest has a minute to start, which no option changes: too little for an emulated processor of a busy host.
pool=$(grep -l '^const START_TIMEOUT = 6e4;$' "$work"/repo/node_modules/vitest/dist/chunks/*.js) || {
  echo "payload.sh: vitest's START_TIMEOUT is not where it was" >&2
  exit 1
}
sed -i -E 's/^const ((WORKER_)?START_TIMEOUT) = .*;$/const \1 = 6e5;/' "$pool"
mkdir -p "$work/repo/native/bin"
cp native/bin/* "$work/repo/native/bin/"
# What users install is what runs there (CADRE_TEST_PACKAGE), and dist is that too.
package=node_modules/@cadre-dev/runtime-provider-containerd
mkdir -p "$work/repo/$package"
npm pack --silent --ignore-scripts --pack-destination "$work" >/dev/null
tar -xf "$work"/*.tgz -C "$work/repo/$package" --strip-components=1
rm "$work"/*.tgz
ln -s "$package/dist" "$work/repo/dist"

for generation in 1.7 2.1; do
  bin=containerd-$generation/usr/bin
  mkdir -p "$work/cache/cadre-containerd/$bin"
  cp "$cache/$bin"/{containerd,containerd-shim-runc-v2,ctr} "$work/cache/cadre-containerd/$bin/"
done

# Room for what tests write beside the sources.
mke2fs -q -t ext4 -d "$work" "$disk" 2G >/dev/null
