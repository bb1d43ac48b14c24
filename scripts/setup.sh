#!/usr/bin/env bash
# Make a fresh Debian machine with Node and npm ready: missing Debian packages, npm dependencies, bin/, dist/.
#
#   bash scripts/setup.sh           what the demo needs
#   bash scripts/setup.sh --tests   what the tests need as well
#
# A second run finds nothing to do but the build. No daemon of the system is started or stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() {
  echo "setup: $1" >&2
  exit 1
}
[ "$(uname -s)" = Linux ] || refuse "needs Linux, as containerd runs sessions in its namespaces and cgroups; this is $(uname -s)"
[ "$(id -u)" = 0 ] || refuse "needs root, as containerd, mounts and cgroups do; run it as root, for instance with sudo"
command -v node npm >/dev/null || refuse "needs Node 20.19 or newer with npm"
node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
' || refuse "needs Node 20.19 or newer; this is $(node --version)"

packages=(containerd runc busybox-static catatonit containernetworking-plugins iproute2 iptables gcc musl-tools)
case ${1:-} in
  '') ;;
  --tests) packages+=(crun docker-registry openssl zstd buildah strace git tmux zsh fish libc6-dev golang-github-opencontainers-specs-dev) ;;
  *) refuse "unknown argument: $1" ;;
esac

bash scripts/packages.sh "${packages[@]}"

# By content: git writes files in any order, so that dates tell nothing.
is_installed() {
  node -e '
    const { readFileSync } = require("node:fs");
    const read = (path) => JSON.parse(readFileSync(path, "utf8")).packages;
    const [wanted, found] = [read("package-lock.json"), read("node_modules/.package-lock.json")];
    const names = Object.keys(wanted).filter((name) => name && !(wanted[name].optional && !found[name]));
    process.exit(names.every((name) => found[name]?.version === wanted[name].version) ? 0 : 1);
  ' 2>/dev/null
}
if ! is_installed; then
  echo "setup: npm ci"
  npm ci --no-audit --no-fund --loglevel=error
fi

npm run --silent build:native
npm run --silent build
