import { randomBytes } from 'node:crypto';
import { withCleanup } from '../core/cleanup.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { DiffService } from '../generated/github.com/containerd/containerd/api/services/diff/v1/diff.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import type { Channel } from '../rpc/channel.js';
import type { TypedBlob } from './document.js';
import type { Leased } from './lease.js';
import { OCI_LAYER } from './media-type.js';
import { removeSnapshot } from './unpack.js';

/** A layer in the content store, held by nothing but the lease. */
export interface DiffLayer {
  blob: TypedBlob;
  /** Digest of the layer uncompressed. */
  diffId: string;
}

/** How a difference is made. */
export interface DiffOptions {
  /** `gzip` makes it smaller, and takes about ten times as long. Defaults to `none`. */
  compression?: 'none' | 'gzip' | undefined;
  /** An abort rejects with `canceled`, and nothing is left. */
  signal?: AbortSignal | undefined;
}

/** Runs `work` with a read-only view of a committed snapshot, or of nothing where its name is empty. */
export async function withView<T>(
  channel: Channel,
  snapshotter: string,
  parent: string,
  work: (mounts: Mount[]) => Promise<T>,
): Promise<T> {
  const key = `cadre.dev/view/${randomBytes(8).toString('hex')}`;
  return withCleanup(async (undo) => {
    const { mounts } = await undo.acquire(
      'view',
      () => channel.unary(SnapshotsService.view, { snapshotter, key, parent, labels: {} }),
      () => removeSnapshot(channel, snapshotter, key),
    );
    return work(mounts);
  });
}

/** Lets the daemon compare two file systems and write what makes `right` of `left` into the content store. */
export async function writeDiff(
  { channel }: Leased,
  { left, right }: { left: Mount[]; right: Mount[] },
  { compression = 'none', signal }: DiffOptions = {},
): Promise<DiffLayer> {
  const mediaType = compression === 'gzip' ? `${OCI_LAYER}+gzip` : OCI_LAYER;
  // Without a name the daemon makes one up, and takes back what it began when it fails.
  const request = { left, right, mediaType, ref: '', labels: {}, sourceDateEpoch: undefined };
  const { diff } = await channel.unary(DiffService.diff, request, { signal, deadlineMs: null });
  const blob = { mediaType, digest: diff?.digest ?? '', size: Number(diff?.size ?? 0n) };
  if (compression === 'none') return { blob, diffId: blob.digest };
  const { info } = await channel.unary(ContentService.info, { digest: blob.digest }, { signal });
  return { blob, diffId: info?.labels['containerd.io/uncompressed'] ?? '' };
}
