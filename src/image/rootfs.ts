import { DriverError, hasCode } from '../core/error.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import type { Channel } from '../rpc/channel.js';
import { removeForkPoint, removeUnusedForkPoints } from './fork-point.js';
import type { Image } from './image.js';
import { withOwnLease } from './lease.js';
import { copyRootMode } from './mounts.js';
import { findSnapshot } from './snapshot.js';
import { DEFAULT_SNAPSHOTTER, removeSnapshot, type UnpackOptions, unpackImage } from './unpack.js';

export interface PrepareRootfsOptions extends UnpackOptions {
  image: Image;
  /** Name of the committed snapshot to go on from. Defaults to the image's layers. */
  base?: string | undefined;
  /** Name of the new snapshot, unique in the namespace. */
  key: string;
  /** Labels of the new snapshot. */
  labels?: Record<string, string>;
}

/**
 * Makes a writable snapshot on top of an image's layers, unpacking those that are not yet, and returns its mounts, to
 * be handed on as they are. The caller's lease must hold it until a container refers to it: nothing else does.
 * Throws `already-exists` when there is a snapshot of this name.
 */
export async function prepareRootfs(channel: Channel, options: PrepareRootfsOptions): Promise<Mount[]> {
  const { image, base, key, snapshotter = DEFAULT_SNAPSHOTTER, labels = {}, maxUnpackedBytes, signal } = options;
  const request = { snapshotter, key, parent: base ?? image.chainId, labels };
  const prepare = async () => (await channel.unary(SnapshotsService.prepare, request, { signal })).mounts;
  try {
    const mounts = await prepare();
    if (base !== undefined) await copyRootMode(mounts);
    return mounts;
  } catch (error) {
    if (hasCode(error, 'already-exists')) throw describeTaken(key, error);
    if (!hasCode(error, 'not-found') || base !== undefined) throw error;
  }
  // While the lease of the unpacking lives, no one can take the layers away from under the snapshot.
  return withOwnLease(
    channel,
    async (leased) => {
      await unpackImage(leased, image, { snapshotter, maxUnpackedBytes, signal });
      return prepare();
    },
    { signal },
  );
}

export interface RemoveRootfsOptions {
  key: string;
  /** Defaults to `overlayfs`. */
  snapshotter?: string | undefined;
}

/**
 * Removes a snapshot and all that was written to it, with the fork points that only it had below it. One that is not
 * there is success.
 */
export async function removeRootfs(channel: Channel, options: RemoveRootfsOptions): Promise<void> {
  const { key, snapshotter = DEFAULT_SNAPSHOTTER } = options;
  const info = await findSnapshot(channel, snapshotter, key);
  // Without its container the snapshot is garbage: collected before us, it tells no more what was below it.
  if (info === undefined) return removeUnusedForkPoints(channel, snapshotter);
  await removeSnapshot(channel, snapshotter, key);
  await removeForkPoint(channel, snapshotter, info.parent);
}

function describeTaken(key: string, cause: DriverError): DriverError {
  return new DriverError('already-exists', `there is a snapshot ${key} already`, {
    operation: 'prepare rootfs',
    cause,
  });
}
