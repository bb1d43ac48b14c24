import { chmod, stat } from 'node:fs/promises';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';

/**
 * The same file system, to be mounted a second time while it is in use: an overlay's writable layer becomes its topmost
 * read-only one, as one layer that two overlays write to is undefined (Documentation/filesystems/overlayfs.rst).
 */
export function makeReadOnly(mounts: readonly Mount[]): Mount[] {
  return mounts.map((mount) => {
    const { options } = mount;
    if (mount.type !== 'overlay') return { ...mount, options: [...options.filter((option) => option !== 'rw'), 'ro'] };
    const layers = [readOption(options, 'upperdir'), readOption(options, 'lowerdir')].filter((layer) => layer !== '');
    const kept = options.filter((option) => !/^(upperdir|lowerdir|workdir)=/.test(option));
    // One layer alone is no overlay.
    if (!layers.join(':').includes(':'))
      return { ...mount, type: 'bind', source: layers.join(), options: ['rbind', 'ro'] };
    return { ...mount, options: [...kept, `lowerdir=${layers.join(':')}`] };
  });
}

/** The directory of what was written on top of a snapshot's parent; undefined where it is not kept apart. */
export function findUpper(mounts: readonly Mount[]): string | undefined {
  const [mount] = mounts;
  if (mount?.type !== 'overlay') return undefined;
  return readOption(mount.options, 'upperdir') || undefined;
}

/**
 * Gives a new snapshot's root the mode of another directory, of the root below it unless one is named: containerd makes
 * it anew with 0755. (Its owner it takes over by itself.)
 */
export async function copyRootMode(mounts: readonly Mount[], from?: string): Promise<void> {
  const upper = findUpper(mounts);
  const [below] = readOption(mounts[0]?.options ?? [], 'lowerdir').split(':');
  const source = from ?? below;
  if (upper === undefined || !source) return;
  await chmod(upper, (await stat(source)).mode & 0o7777);
}

function readOption(options: readonly string[], name: string): string {
  return options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
}
