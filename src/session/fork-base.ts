import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed } from '../core/error.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { withView, writeDiff } from '../image/diff.js';
import { commitForkPoint, isForkPoint, nameForkPoint } from '../image/fork-point.js';
import { withOwnLease } from '../image/lease.js';
import { copyRootMode, findUpper, makeReadOnly } from '../image/mounts.js';
import { findSnapshot } from '../image/snapshot.js';
import { applyLayer, removeSnapshot } from '../image/unpack.js';
import type { Channel } from '../rpc/channel.js';
import type { SessionContext } from './context.js';
import type { SessionRecord } from './record.js';
import { finishFork, goOnFrom, whileStill } from './rootfs-state.js';
import { readMounts } from './task.js';

/** The fork point that the forks go on from, until `undo` is run. */
export function makeBase(
  context: SessionContext,
  parent: SessionRecord,
  { undo, signal }: { undo: Cleanup; signal: AbortSignal | undefined },
): Promise<string> {
  const { channel } = context;
  const { id, snapshotter } = parent;
  const commit = async (leased: Channel, key: string) => {
    const name = nameForkPoint(id);
    await undo.acquire(
      'fork point',
      () => commitForkPoint(leased, snapshotter, { key, source: id, name }),
      () => finishFork(context, parent, name),
    );
    return name;
  };
  return whileStill(channel, id, (state) =>
    state === 'stopped' ? takeRootfs(channel, parent, commit) : copyRootfs(channel, parent, { commit, signal }),
  );
}

/** Makes a fork point of a snapshot, in the hands of the fork's undo. */
type Commit = (channel: Channel, key: string) => Promise<string>;

/** Nothing writes to it: it becomes the fork point itself, and the parent goes on from there as its forks do. */
async function takeRootfs(channel: Channel, { id, snapshotter }: SessionRecord, commit: Commit): Promise<string> {
  const below = (await findSnapshot(channel, snapshotter, id))?.parent ?? '';
  if (isForkPoint(below) && (await isUntouched(await readMounts(channel, snapshotter, id)))) return below;
  const name = await commit(channel, id);
  // Until this has come true, the undo, `withRootfs` and the reaper do it.
  await goOnFrom(channel, { snapshotter, key: id, parent: name });
  return name;
}

/** Whether nothing was written since the last fork, so that its fork point serves again. */
async function isUntouched(mounts: Awaited<ReturnType<typeof readMounts>>): Promise<boolean> {
  const upper = findUpper(mounts);
  return upper !== undefined && (await readdir(upper)).length === 0;
}

async function copyRootfs(
  channel: Channel,
  { id, snapshotter }: SessionRecord,
  { commit, signal }: { commit: Commit; signal: AbortSignal | undefined },
): Promise<string> {
  const below = (await findSnapshot(channel, snapshotter, id))?.parent ?? '';
  return withOwnLease(
    channel,
    async (leased) => {
      const current = await readMounts(channel, snapshotter, id);
      const { blob } = await withView(leased.channel, snapshotter, below, (left) =>
        writeDiff(leased, { left, right: makeReadOnly(current) }, { signal }),
      );
      const undo = new Cleanup();
      const key = `cadre.dev/copy/${randomBytes(8).toString('hex')}`;
      try {
        const { mounts } = await undo.acquire(
          'copy',
          () => leased.channel.unary(SnapshotsService.prepare, { snapshotter, key, parent: below, labels: {} }),
          () => removeSnapshot(channel, snapshotter, key),
        );
        await applyLayer(channel, `the copy of ${id}`, blob, mounts, signal);
        await copyRootMode(mounts, findUpper(current));
        return await commit(leased.channel, key);
      } catch (error) {
        const failure = await undo.run();
        throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
      }
    },
    { signal },
  );
}
