import { hasCode } from '../core/error.js';
import {
  type Info,
  SnapshotsService,
} from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import type { Channel } from '../rpc/channel.js';

/** A snapshot is walked when it is measured: with many files this takes long. */
const WALK_MS = 120_000;

/** Bytes that a snapshot takes by itself, without those below it; undefined when there is none of that name. */
export async function readSnapshotUsage(
  channel: Channel,
  snapshotter: string,
  key: string,
): Promise<number | undefined> {
  try {
    const { size } = await channel.unary(SnapshotsService.usage, { snapshotter, key }, { deadlineMs: WALK_MS });
    return Number(size);
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** What the snapshotter knows of a snapshot; undefined when there is none of that name. */
export async function findSnapshot(
  channel: Channel,
  snapshotter: string,
  key: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Info | undefined> {
  try {
    return (await channel.unary(SnapshotsService.stat, { snapshotter, key }, { signal })).info;
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** All snapshots of the namespace that pass containerd's filters. */
export async function* listSnapshots(
  channel: Channel,
  snapshotter: string,
  filters: string[] = [],
): AsyncGenerator<Info, void, undefined> {
  for await (const { info } of channel.serverStream(SnapshotsService.list, { snapshotter, filters })) yield* info;
}
