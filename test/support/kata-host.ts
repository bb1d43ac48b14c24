/** Hosts that have all that Kata stands on, as far as files tell, or all but some of it. No Kata is on them. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Holds the test double of Kata's shim, for a daemon's PATH. */
export const RECORDING_SHIM = fileURLToPath(new URL('./recording-shim', import.meta.url));

/** A daemon whose sessions on Kata run by the double, which takes input for their commands as Kata's shim does. */
export const DOUBLED = {
  path: [RECORDING_SHIM],
  env: { CADRE_INPUT: '1', CADRE_TAP: join(RECORDING_SHIM, 'tap.mjs') },
} as const;

const parts = {
  '/dev/kvm': '',
  '/dev/vhost-vsock': '',
  '/proc/cpuinfo': 'flags\t\t: fpu vmx svm\n',
  '/etc/kata-containers/configuration.toml': '',
} as const;

export type Part = keyof typeof parts;

/** Makes the files below a directory, to be given as `hostRoot`. */
export function makeKataHost(root: string, missing: readonly Part[] = []): string {
  for (const [path, text] of Object.entries(parts)) {
    if ((missing as readonly string[]).includes(path)) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** A directory with a program of Kata's shim's name; of before 2.0, it knows no -info and runs nothing. */
export function makeShim(directory: string, name = 'containerd-shim-kata-v2'): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, '#!/bin/sh\necho "flag provided but not defined: $1" >&2\nexit 2\n');
  chmodSync(path, 0o755);
  return path;
}

/** Commands that put the parts in place for a daemon alone, see `DaemonOptions.prelude`. Devices are those of null. */
export const kataPrelude = `
work=$(mktemp -d)
mount -t tmpfs tmpfs "$work"
mkdir "$work/dev" "$work/upper" "$work/work"
for name in null zero full random urandom; do cp -a "/dev/$name" "$work/dev/"; done
mknod "$work/dev/kvm" c 1 3
mknod "$work/dev/vhost-vsock" c 1 3
printf 'flags\\t\\t: fpu vmx svm\\n' >"$work/cpuinfo"
mount --bind "$work/cpuinfo" /proc/cpuinfo
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/upper,workdir=$work/work" /etc
mkdir -p /etc/kata-containers
: >/etc/kata-containers/configuration.toml
mount --bind "$work/dev" /dev
umount -l "$work"
rmdir "$work"
`;
