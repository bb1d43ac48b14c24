import { randomBytes } from 'node:crypto';
import { hasCode } from '../core/error.js';
import { describeOwner, isOwnerAlive, OWNER_LABEL } from '../core/owner.js';
import {
  Kind,
  SnapshotsService,
} from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import type { Channel } from '../rpc/channel.js';
import { collectGarbage } from './lease.js';
import { findSnapshot, listSnapshots } from './snapshot.js';
import { SLOW_MS } from './unpack.js';

/**
 * A fork point is a committed snapshot below a session and its forks. Its name keeps it out of the reaper's hands, and
 * it goes with the last snapshot on top of it. While a fork is under way nothing may be on top of it yet: a label keeps
 * it then, with the owner that is at it.
 */
const PREFIX = 'cadre.dev/fork/';
const ROOT_LABEL = 'containerd.io/gc.root';
/** The session whose root file system it was taken from. */
const SOURCE_LABEL = 'cadre.dev/fork-of';

export function isForkPoint(name: string): boolean {
  return name.startsWith(PREFIX);
}

export function nameForkPoint(source: string): string {
  return `${PREFIX}${source}/${randomBytes(6).toString('hex')}`;
}

/** Turns a snapshot that no one writes to into a fork point, which is kept until `releaseForkPoint`. */
export async function commitForkPoint(
  channel: Channel,
  snapshotter: string,
  { key, source, name }: { key: string; source: string; name: string },
): Promise<void> {
  const labels = {
    [ROOT_LABEL]: new Date().toISOString(),
    [OWNER_LABEL]: describeOwner(),
    [SOURCE_LABEL]: source,
  };
  const request = { snapshotter, name, key, labels, parent: '' };
  await channel.unary(SnapshotsService.commit, request, { deadlineMs: SLOW_MS });
}

/** From now on it is kept by what is on top of it alone. */
export async function releaseForkPoint(channel: Channel, snapshotter: string, name: string): Promise<void> {
  // An empty value takes a label away.
  const info = {
    name,
    parent: '',
    kind: Kind.UNKNOWN,
    createdAt: undefined,
    updatedAt: undefined,
    labels: { [ROOT_LABEL]: '' },
  };
  const request = { snapshotter, info, updateMask: [`labels.${ROOT_LABEL}`] };
  try {
    await channel.unary(SnapshotsService.update, request, { idempotent: true });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
  await removeForkPoint(channel, snapshotter, name);
}

/** Removes a fork point that nothing is on top of, and those below it. Any other snapshot is left alone. */
export async function removeForkPoint(channel: Channel, snapshotter: string, name: string): Promise<void> {
  if (!(await removeDownwards(channel, snapshotter, name))) await removeUnusedForkPoints(channel, snapshotter);
}

/** False when one was collected before it told what was below it. */
async function removeDownwards(channel: Channel, snapshotter: string, name: string): Promise<boolean> {
  for (let next = name; isForkPoint(next); ) {
    const info = await findSnapshot(channel, snapshotter, next);
    if (info === undefined) return false;
    if (ROOT_LABEL in info.labels) return true;
    try {
      await channel.unary(SnapshotsService.remove, { snapshotter, key: next }, { deadlineMs: SLOW_MS });
    } catch (error) {
      if (hasCode(error, 'failed-precondition')) {
        await collectUncovered(channel, snapshotter, next);
        return true;
      }
      // Another process or the collector was faster, and need not have looked below.
      if (!hasCode(error, 'not-found')) throw error;
    }
    next = info.parent;
  }
  return true;
}

/**
 * The collector does not strike what it takes off the snapshot below, which containerd then refuses to remove as if something
 * were on top of it: where nothing is, the collector alone can take it, and those below it.
 */
async function collectUncovered(channel: Channel, snapshotter: string, name: string): Promise<void> {
  for await (const _above of listSnapshots(channel, snapshotter, [`parent==${JSON.stringify(name)}`])) return;
  await collectGarbage(channel);
}

/** Removes every fork point that nothing is on top of. */
export async function removeUnusedForkPoints(channel: Channel, snapshotter: string): Promise<void> {
  const names: string[] = [];
  for await (const { name } of listSnapshots(channel, snapshotter, [`name~=^${PREFIX}`])) names.push(name);
  for (const name of names) await removeDownwards(channel, snapshotter, name);
}

/** A fork that has not come to its end. */
export interface UnfinishedFork {
  /** Of the fork point. */
  name: string;
  /** Id of the session that it was taken from. */
  source: string;
  /** The process that was at it has ended. */
  isAbandoned: boolean;
}

export async function listUnfinishedForks(channel: Channel, snapshotter: string): Promise<UnfinishedFork[]> {
  const forks: UnfinishedFork[] = [];
  for await (const { name, labels } of listSnapshots(channel, snapshotter, [`labels."${ROOT_LABEL}"`])) {
    const { [OWNER_LABEL]: owner = '', [SOURCE_LABEL]: source = '' } = labels;
    if (isForkPoint(name)) forks.push({ name, source, isAbandoned: !isOwnerAlive(owner) });
  }
  return forks;
}
