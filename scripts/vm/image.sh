#!/usr/bin/env bash
# Build the guest's disk, kernel and initrd, and print the directory that holds them:
#
#   bash scripts/vm/image.sh
#
# Once for each text of this file, as its hash names the directory; those of former texts go. The disk is Debian with a
# cloud kernel, containerd 1.6 and what the tests call; it holds nothing of this repository.
set -euo pipefail
cd "$(dirname "$0")"

# What the suites of the guest need of Debian.
packages=(
  linux-image-cloud-amd64 kmod iproute2 procps libstdc++6
  containerd runc crun busybox-static catatonit
  apparmor containernetworking-plugins nftables iptables
  systemd-sysv dbus gcc libc6-dev openssl
)
suite=bookworm

[ "$(uname -m)" = x86_64 ] || { echo "image.sh: the guest's kernel is for x86_64; this is $(uname -m)" >&2; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd/vm
name=image-$(sha256sum image.sh | cut -c1-16)
dest=$cache/$name
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -d "$dest" ]; then
  echo "$dest"
  exit 0
fi

mirror=$(bash ../mirror.sh)
# Whoever was killed in the middle left one.
rm -rf --one-file-system "$cache"/partial.*
work=$(mktemp -d "$cache/partial.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
echo "image.sh: building the guest's image, which is kept for the next run" >&2
# debootstrap leaves its mounts to whoever kills it: in a mount namespace of its own they go with it.
if ! unshare --mount debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
  "$suite" "$root" "$mirror" >"$work/log" 2>&1; then
  tail -n 20 "$work/log" >&2
  exit 1
fi
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}

# All that is of the tests comes on a second disk, so that a change of it needs no new image.
cat >"$root/sbin/vm-init" <<'INIT'
#!/bin/sh
mkdir -p /payload
mount -o noatime /dev/vdb /payload && exec /payload/init "$@"
echo "vm-init: no second disk"
echo o >/proc/sysrq-trigger
sleep 60
INIT
chmod 755 "$root/sbin/vm-init"

mkdir "$work/image"
cp "$root"/boot/vmlinuz-* "$work/image/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/image/initrd"
mke2fs -q -t ext4 -d "$root" "$work/image/root.ext4" 6G >/dev/null
mv -T "$work/image" "$dest"
find "$cache" -maxdepth 1 -name 'image-*' ! -name "$name" -exec rm -rf {} +
echo "$dest"
