import { CapabilityMismatchError } from '../core/error.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';

/** Ids of the host, `size` of them from `uid` on, that a root file system's own ids from 0 on are seen as. */
export interface IdRange {
  uid: number;
  size: number;
}

/** Labels by which overlayfs of containerd 2 mounts the layers with other ids; older ones ignore them. */
export function describeIdMap(range: IdRange | undefined): Record<string, string> {
  if (range === undefined) return {};
  const map = `0:${range.uid}:${range.size}`;
  return { 'containerd.io/snapshot/uidmapping': map, 'containerd.io/snapshot/gidmapping': map };
}

/** Throws `CapabilityMismatchError` where the labels had no effect: by the mounts alone it can be told. */
export function checkIdMap(mounts: readonly Mount[], range: IdRange | undefined): void {
  if (range === undefined) return;
  const map = `0:${range.uid}:${range.size}`;
  const isMapped = ({ options }: Mount) => ['uidmap', 'gidmap'].every((name) => options.includes(`${name}=${map}`));
  if (mounts.every(isMapped)) return;
  const expected = 'false, as the snapshotter of this containerd did not map the ids of its layers';
  throw new CapabilityMismatchError('containerd', [{ path: 'userns', value: range, expected }]);
}
