import { randomBytes } from 'node:crypto';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError, type ErrorCode, hasCode } from '../core/error.js';
import { DiffService } from '../generated/github.com/containerd/containerd/api/services/diff/v1/diff.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import type { Channel } from '../rpc/channel.js';
import { ensureLabels, setLabels } from './content.js';
import type { TypedBlob } from './document.js';
import { computeChainIds, type Image } from './image.js';
import type { Leased } from './lease.js';
import { findSnapshot } from './snapshot.js';
import { UnpackBudget } from './unpack-budget.js';

export const DEFAULT_SNAPSHOTTER = 'overlayfs';

/** How layers are unpacked. */
export interface UnpackOptions {
  /** Defaults to `overlayfs`. */
  snapshotter?: string | undefined;
  /**
   * Bytes that the unpacked layers may take together. Unpacking stops within about a second of exceeding it, so that a
   * few kilobytes cannot fill the disk. Defaults to 50 GiB.
   */
  maxUnpackedBytes?: number | undefined;
  /** An abort rejects with `canceled`; there is no name then. What was downloaded is kept for a day, for the next pull. */
  signal?: AbortSignal | undefined;
}

export interface UnpackWork extends UnpackOptions {
  /** Names the image in messages. Defaults to its name. */
  subject?: string;
  /** Resolves when a layer is in the store. Defaults to all being there. */
  waitFor?: (layer: TypedBlob) => Promise<unknown>;
  /** Called with the number of layers that are unpacked. */
  onLayer?: (unpacked: number) => void;
}

interface Layer {
  /** For messages. */
  name: string;
  blob: TypedBlob;
  diffId: string;
  chainId: string;
  /** Chain id of the layers below; empty for the lowest. */
  parent: string;
}

const operation = 'unpack image';
/** A snapshot is walked when it is committed and when it is removed: with many files this takes long. */
export const SLOW_MS = 120_000;
/** The daemon reports what it met in a layer as UNKNOWN, in the words of Go's libraries. */
const applyFailures: [RegExp, ErrorCode][] = [
  [/no space left|disk quota/, 'resource-exhausted'],
  [/unexpected EOF|archive\/tar|invalid (tar header|checksum|header)|gzip|flate|zstd|not found/, 'data-loss'],
  [/file exists|not a directory|breakout/, 'data-loss'],
];

/**
 * Unpacks the layers of an image that are not unpacked yet, and ties the snapshots to the image for the garbage
 * collector. Others may unpack the same image at the same time: the first to finish a layer wins, the rest use it.
 * Throws `data-loss` that names the layer when it does not unpack to what the image's config says.
 */
export async function unpackImage(leased: Leased, image: Image, work: UnpackWork = {}): Promise<void> {
  const { snapshotter = DEFAULT_SNAPSHOTTER, subject = image.name, waitFor, onLayer, signal } = work;
  const chain = computeChainIds(image.diffIds);
  if (image.chainId === '') return;
  if (!(await holdSnapshot(leased, snapshotter, image.chainId, signal))) {
    const budget = new UnpackBudget(leased.channel, snapshotter, work.maxUnpackedBytes);
    const find = (chainId: string) => holdSnapshot(leased, snapshotter, chainId, signal);
    let parentIsOurs = false;
    let noted: Promise<void> = Promise.resolve();
    for (const [i, blob] of image.layers.entries()) {
      const [diffId = '', chainId = '', parent = ''] = [image.diffIds[i], chain[i], chain[i - 1]];
      const name = `layer ${i + 1} (${blob.digest}) of ${subject}`;
      const layer = { name, blob, diffId, chainId, parent };
      let isOurs = false;
      // What another made meanwhile is looked for, as nobody says that it stays; on what we made just now there is nothing.
      while (!isOurs && (parentIsOurs || !(await find(chainId)))) {
        parentIsOurs = false;
        await waitFor?.(blob);
        isOurs = await unpackLayer(leased.channel, { layer, snapshotter, budget, signal });
      }
      parentIsOurs = isOurs;
      await noted;
      // While the next one is unpacked: layers wait for each other, and a call to a busy daemon takes tens of milliseconds.
      noted = noteLayer(leased.channel, { layer, budget, isOurs, signal });
      noted.catch(() => undefined);
      onLayer?.(i + 1);
    }
    await noted;
  }
  onLayer?.(image.layers.length);
  const labels = { [`containerd.io/gc.ref.snapshot.${snapshotter}`]: image.chainId };
  await ensureLabels(leased.channel, image.configDigest, labels, { signal });
}

/** One that is there is held before it counts: seen alone, it could be collected a moment later. */
async function holdSnapshot(
  leased: Leased,
  snapshotter: string,
  key: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const find = () => findSnapshot(leased.channel, snapshotter, key, { signal });
  if ((await find()) === undefined) return false;
  await leased.hold({ type: `snapshots/${snapshotter}`, id: key });
  return (await find()) !== undefined;
}

interface LayerWork {
  layer: Layer;
  snapshotter: string;
  budget: UnpackBudget;
  signal: AbortSignal | undefined;
}

/** False when another was faster. */
async function unpackLayer(channel: Channel, { layer, snapshotter, budget, signal }: LayerWork): Promise<boolean> {
  const { name, blob, diffId, chainId, parent } = layer;
  const undo = new Cleanup();
  const key = `extract-${randomBytes(8).toString('hex')} ${chainId}`;
  try {
    const { mounts } = await undo.acquire(
      'extraction snapshot',
      () => channel.unary(SnapshotsService.prepare, { snapshotter, key, parent, labels: {} }, { signal }),
      () => removeSnapshot(channel, snapshotter, key),
    );
    const apply = (bounded: AbortSignal) => applyLayer(channel, name, blob, mounts, bounded);
    const applied = await budget.watch(key, name, apply, signal);
    if (applied !== diffId) {
      throw new DriverError('data-loss', `${name} unpacks to ${applied}, but its config says ${diffId}`, { operation });
    }
    if (await commitLayer(channel, { snapshotter, name: chainId, key }, signal)) return true;
  } catch (error) {
    const failure = await undo.run();
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
  const failure = await undo.run();
  if (failure !== undefined) throw failure.error;
  return false;
}

/** Counts a layer that is unpacked, and tells clients of containerd what its blob unpacks to. */
async function noteLayer(
  channel: Channel,
  { layer, budget, isOurs, signal }: Omit<LayerWork, 'snapshotter'> & { isOurs: boolean },
): Promise<void> {
  const { name, blob, diffId, chainId } = layer;
  const labels = isOurs ? { 'containerd.io/uncompressed': diffId } : {};
  await Promise.all([budget.add(chainId, name), setLabels(channel, blob.digest, labels, { signal })]);
}

/** False when another was faster, so that the snapshot under the key is of no use. */
async function commitLayer(
  channel: Channel,
  snapshot: { snapshotter: string; name: string; key: string },
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    const request = { ...snapshot, labels: {}, parent: '' };
    await channel.unary(SnapshotsService.commit, request, { signal, deadlineMs: SLOW_MS });
    return true;
  } catch (error) {
    if (hasCode(error, 'already-exists')) return false;
    throw error;
  }
}

/** Returns the digest of what was unpacked. */
export async function applyLayer(
  channel: Channel,
  name: string,
  blob: TypedBlob,
  mounts: Mount[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const diff = { ...blob, size: BigInt(blob.size), annotations: {} };
  try {
    // A large layer on a slow disk takes minutes.
    const { applied } = await channel.unary(
      DiffService.apply,
      { diff, mounts, payloads: {}, syncFs: false },
      { signal, deadlineMs: null },
    );
    return applied?.digest ?? '';
  } catch (error) {
    if (!(error instanceof DriverError) || error.code === 'canceled') throw error;
    const [, code] = applyFailures.find(([pattern]) => pattern.test(error.message)) ?? [undefined, error.code];
    throw new DriverError(code, `${name} cannot be unpacked: ${error.message}`, { operation, cause: error });
  }
}

/** Removes a snapshot; one that is not there is success. */
export async function removeSnapshot(channel: Channel, snapshotter: string, key: string): Promise<void> {
  try {
    await channel.unary(SnapshotsService.remove, { snapshotter, key }, { idempotent: true, deadlineMs: SLOW_MS });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}
