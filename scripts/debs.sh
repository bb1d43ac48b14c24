#!/usr/bin/env bash
# Unpack one package of one Debian suite, without installing it:
#
#   bash scripts/debs.sh SUITE PACKAGE DEST_DIR
#
# Does nothing when DEST_DIR already holds that package. DEST_DIR/.deb-version then says
# "PACKAGE VERSION SUITE". DEST_DIR appears in one rename, so a directory that exists is complete.
#
# The machine's own apt is asked which mirror to use and is not changed: sources, lists and archives
# live in a private directory, so no root is needed and the host keeps its one suite.
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: debs.sh SUITE PACKAGE DEST_DIR" >&2
  exit 2
fi
suite=$1 package=$2 dest=$3
scripts=$(cd "$(dirname "$0")" && pwd)
marker=$dest/.deb-version

is_complete() {
  [ -f "$marker" ] || return 1
  local found at
  read -r found _ at <"$marker"
  if [ "$found $at" != "$package $suite" ]; then
    echo "debs.sh: $dest holds $found of $at, not $package of $suite" >&2
    exit 1
  fi
}

is_complete && exit 0

for tool in apt-get dpkg-deb flock; do
  command -v "$tool" >/dev/null || { echo "debs.sh: needs $tool (a Debian machine)" >&2; exit 1; }
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || { echo "debs.sh: needs the package debian-archive-keyring" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadre-containerd/apt/$suite
mkdir -p "$cache/lists/partial" "$cache/archives/partial" "$(dirname "$dest")"

# One at a time for each suite: apt's lists are shared, and two callers may want the same package.
exec 9>"$cache/lock"
flock 9
is_complete && exit 0
if [ -e "$dest" ] && ! rmdir "$dest" 2>/dev/null; then
  echo "debs.sh: $dest exists and was not made by this script" >&2
  exit 1
fi

private_apt() {
  apt-get -qq \
    -o Dir::State="$cache" -o Dir::State::Lists="$cache/lists" -o Dir::State::status="$cache/status" \
    -o Dir::Cache="$cache" -o Dir::Cache::archives="$cache/archives" \
    -o Dir::Etc::sourcelist="$cache/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

refresh() {
  local mirror
  mirror=$(bash "$scripts/mirror.sh")
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$cache/sources.list"
  : >"$cache/status"
  private_apt update
  touch "$cache/refreshed"
}

work=$(mktemp -d "$dest.partial.XXXXXX")
trap 'rm -rf "$work"' EXIT
download() { (cd "$work" && private_apt download "$package"); }

# Lists a day old may name a version the mirror has already dropped: one fresh look, then give up.
if [ -z "$(find "$cache/refreshed" -mtime -1 2>/dev/null)" ]; then
  refresh
  download
else
  download 2>/dev/null || { refresh && download; }
fi

debs=("$work"/*.deb)
mkdir "$work/root"
dpkg-deb -x "${debs[0]}" "$work/root"
echo "$package $(dpkg-deb -f "${debs[0]}" Version) $suite" >"$work/root/.deb-version"
mv -T "$work/root" "$dest"
