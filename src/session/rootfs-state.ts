import { withCleanup } from '../core/cleanup.js';
import { DriverError, hasCode } from '../core/error.js';
import { withLock } from '../core/lock.js';
import { describeOwner, isOwnerAlive } from '../core/owner.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { listUnfinishedForks, releaseForkPoint } from '../image/fork-point.js';
import { copyRootMode } from '../image/mounts.js';
import { findSnapshot } from '../image/snapshot.js';
import type { Channel } from '../rpc/channel.js';
import type { SessionContext } from './context.js';
import { findById } from './find.js';
import { setLabel } from './labels.js';
import { type Frozen, pauseTask, resumeTask } from './pause.js';
import { LABEL, type SessionRecord } from './record.js';
import { settleSpare } from './spare.js';
import { hasStopped, readMounts, readTask, type TaskState } from './task.js';

/**
 * Runs `work` while no other process starts, forks or commits the session, and with its record and its root file system in
 * place: a move or a fork that broke off between two steps is put right first.
 */
export function withRootfs<T>(
  { channel }: SessionContext,
  { id, snapshotter }: SessionRecord,
  work: () => Promise<T>,
): Promise<T> {
  return withLock([channel.address, channel.namespace, 'rootfs', id], async () => {
    await settleSpare(channel, id);
    if ((await findSnapshot(channel, snapshotter, id)) === undefined) await restoreRootfs(channel, snapshotter, id);
    return work();
  });
}

async function restoreRootfs(channel: Channel, snapshotter: string, id: string): Promise<void> {
  const fork = (await listUnfinishedForks(channel, snapshotter)).find(({ source }) => source === id);
  if (fork === undefined) return;
  await goOnFrom(channel, { snapshotter, key: id, parent: fork.name });
  await releaseForkPoint(channel, snapshotter, fork.name);
}

/** Gives a session a writable snapshot again. The container's record holds it, and it the fork point. */
export async function goOnFrom(
  channel: Channel,
  snapshot: { snapshotter: string; key: string; parent: string },
): Promise<void> {
  try {
    await channel.unary(SnapshotsService.prepare, { ...snapshot, labels: {} }, { idempotent: true });
  } catch (error) {
    // The answer to the first try was lost.
    if (!hasCode(error, 'already-exists')) throw error;
  }
  await copyRootMode(await readMounts(channel, snapshot.snapshotter, snapshot.key));
}

/** Ends a fork, wherever it broke off: the session gets its root file system back, and the fork point is let go. */
export async function finishFork(
  context: SessionContext,
  record: SessionRecord | undefined,
  name: string,
): Promise<void> {
  const { channel, snapshotter } = context;
  const isThere = record !== undefined && (await findById(channel, record.id)) !== undefined;
  if (isThere) await withRootfs(context, record, async () => undefined);
  await releaseForkPoint(channel, snapshotter, name);
}

/**
 * What a session with a user namespace writes has the host's ids on disk, and its image's layers have their own: no
 * snapshot on top of both has one map for all of it.
 */
export function refuseMapped({ id, asked }: SessionRecord, operation: string): void {
  if (asked.policy.userns === undefined) return;
  const message = `session ${id} has a user namespace (userns), so that its files are owned by ids of the host: no ${operation}`;
  throw new DriverError('failed-precondition', message, { operation });
}

/**
 * Runs `work` while nothing in the session runs, and tells it whether it is merely paused. The session bears the mark of
 * who paused it meanwhile: `endPause` is for a process that came to its end in between.
 */
export async function whileStill<T>(channel: Channel, id: string, work: (state: TaskState) => Promise<T>): Promise<T> {
  const { state, pid } = await readTask(channel, id);
  if (state !== 'running') return work(state);
  return withCleanup(async (undo) => {
    await undo.acquire(
      'mark of the pause',
      () => markPause(channel, id, describeOwner()),
      () => markPause(channel, id, ''),
    );
    try {
      await undo.acquire(
        'pause',
        () => pauseTask(channel, id),
        () => resume(channel, { id, pid }),
      );
    } catch (error) {
      if (!(await hasStopped(channel, id))) throw error;
      return work('stopped');
    }
    return work('paused');
  });
}

async function markPause(channel: Channel, id: string, owner: string): Promise<void> {
  const found = await findById(channel, id);
  if (found !== undefined) await setLabel(channel, found.container, LABEL.pausedBy, owner);
}

/** Whether a process that has ended left the session paused, or was about to. */
export function isLeftPaused({ labels }: { labels: Record<string, string> }): boolean {
  const { [LABEL.pausedBy]: owner } = labels;
  return owner !== undefined && owner !== '' && !isOwnerAlive(owner);
}

/** Resumes a session that a process left paused which has ended. False when there is nothing to be done any more. */
export function endPause(context: SessionContext, record: SessionRecord): Promise<boolean> {
  const { channel } = context;
  const { id } = record;
  return withRootfs(context, record, async () => {
    const found = await findById(channel, id);
    if (found === undefined || !isLeftPaused(found.container)) return false;
    const { state, pid } = await readTask(channel, id);
    if (state === 'paused') await resume(channel, { id, pid });
    await markPause(channel, id, '');
    return true;
  });
}

/** One that was killed or resumed meanwhile has nothing to be resumed. Any other is not left paused by one lost call. */
async function resume(channel: Channel, frozen: Frozen): Promise<void> {
  try {
    await resumeTask(channel, frozen);
  } catch {
    if ((await readTask(channel, frozen.id)).state === 'paused') await resumeTask(channel, frozen);
  }
}
