import { join } from 'node:path';
import { hasCode } from '../core/error.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { removeRootfs } from '../image/rootfs.js';
import { classifyRuntime } from '../policy/runtimes.js';
import { packJson } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import { RUNC } from '../spec/runtime.js';
import { isLive, isStillOurs, isUnclaimed, readClaim } from './claim.js';
import type { SessionContext } from './context.js';
import { drainFifos } from './fifo-drain.js';
import { findByName } from './find.js';
import { endGuest } from './guest.js';
import { lockId, lockName } from './id-lock.js';
import { endOwnShims } from './leftovers.js';
import { removeSessionFiles } from './network.js';
import { type SessionRecord, SPEC_TYPE } from './record.js';
import { removeGroupSocket, removeSocket } from './shim-socket.js';
import { removeContainer, removeLease, removeRecord, removeTask } from './teardown.js';
import { noteUse } from './volume-directory.js';

/** Everything that a session's creation acquires, in the order of its undo. */
export async function removeSession(context: SessionContext, record: SessionRecord): Promise<void> {
  await lockName(context, record, () => unmakeSession(context, record));
}

async function unmakeSession(context: SessionContext, record: SessionRecord): Promise<void> {
  const { channel } = context;
  const { id, snapshotter } = record;
  const steps = [
    () => removeStuckTask(context, record),
    () => removeRecord(channel, id),
    () => noteUse(context, record.volumes),
    () => removeSessionFiles(context, id),
    () => removeRootfs(channel, { key: id, snapshotter }),
  ];
  for (const step of steps) {
    if (!(await isStillOurs(channel, record))) return;
    await step();
  }
  await unmakeDeadLease(channel, id);
}

/** What is left of a session without a record: its files, its snapshot and the lease of its creation. */
export function removeRemains(context: SessionContext, id: string): Promise<boolean> {
  return lockId(context, id, () => unmakeRemains(context, id));
}

async function unmakeRemains(context: SessionContext, id: string): Promise<boolean> {
  const { channel, snapshotter } = context;
  const steps = [
    () => removeSessionFiles(context, id),
    () => removeRootfs(channel, { key: id, snapshotter }),
    () => removeLease(channel, id),
  ];
  for (const step of steps) {
    if (!isUnclaimed(await readClaim(channel, id))) return false;
    await step();
  }
  return true;
}

/** The lease of a creation whose process has ended, whether the session of the id is its own or not. */
export function removeDeadLease(context: SessionContext, id: string): Promise<boolean> {
  return lockId(context, id, () => unmakeDeadLease(context.channel, id));
}

async function unmakeDeadLease(channel: Channel, id: string): Promise<boolean> {
  const { creation } = await readClaim(channel, id);
  if (creation === undefined || isLive({ creation })) return false;
  await removeLease(channel, id);
  return true;
}

/** Removes what stands in the way of a new session of this id and name. False when someone answers for it. */
export async function clearDead(context: SessionContext, id: string, name?: string): Promise<boolean> {
  // One that came from a pool has an id that its name does not tell.
  const holder = name === undefined ? undefined : await findByName(context.channel, name);
  if (holder !== undefined && holder.record.id !== id && !(await clear(context, holder.record.id))) return false;
  return clear(context, id);
}

async function clear(context: SessionContext, id: string): Promise<boolean> {
  const claim = await readClaim(context.channel, id);
  if (isLive(claim)) return false;
  if (claim.record === undefined) await removeRemains(context, id);
  else {
    await removeSession(context, claim.record);
    await context.audit.tell({ action: 'reap', sessionId: id }, { outcome: 'done' });
  }
  return true;
}

/** The task with all that writes for it, whoever read that, and what its shim cannot remove when it was killed. */
export async function removeSessionTask(
  { channel, directory }: SessionContext,
  { id, asked }: Pick<SessionRecord, 'id'> & Partial<Pick<SessionRecord, 'asked'>>,
  initPid?: number,
): Promise<void> {
  await drainFifos(join(directory, id), () => removeTask(channel, id, initPid));
  const { address, namespace } = channel;
  removeSocket({ address, namespace, id });
  if (asked?.shimGroup !== undefined) await removeGroupSocket({ address, namespace, id: asked.shimGroup });
}

/** The same, with a shim and a guest that stayed when the creation never returned: containerd does not know of them. */
export async function removeStuckTask(context: SessionContext, record: SessionRecord, initPid?: number): Promise<void> {
  const { id, runtime } = record;
  await removeSessionTask(context, record, initPid);
  // runc's shim never stays, and to look for it takes as long as to destroy a session.
  if (runtime === RUNC) return;
  await endOwnShims(context.channel, id);
  const { address, namespace } = context.channel;
  if (classifyRuntime(runtime) === 'kata') await endGuest({ id, address, namespace });
}

/**
 * A task whose record was removed while it was still being created is listed and cannot be reached. With a record of
 * the id it can.
 */
export async function removeOrphanTask(context: SessionContext, id: string): Promise<boolean> {
  const { channel } = context;
  if (!(await isRecreated(channel, id))) return false;
  await removeSessionTask(context, { id });
  await removeContainer(channel, id);
  return true;
}

/** Without a spec, an image and labels it is a handle on the task and nothing that could be run. */
async function isRecreated(channel: Channel, id: string): Promise<boolean> {
  try {
    await channel.unary(ContainersService.create, {
      container: {
        id,
        labels: {},
        image: '',
        runtime: { name: RUNC, options: undefined },
        spec: packJson(SPEC_TYPE, {}),
        snapshotter: '',
        snapshotKey: '',
        createdAt: undefined,
        updatedAt: undefined,
        extensions: {},
        sandbox: '',
      },
    });
    return true;
  } catch (error) {
    // Someone has made a session of the name meanwhile, or the same repair.
    if (hasCode(error, 'already-exists')) return false;
    throw error;
  }
}
