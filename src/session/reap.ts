import { join } from 'node:path';
import { listNames } from '../core/absent.js';
import { isOwnerAlive } from '../core/owner.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { Status } from '../generated/github.com/containerd/containerd/api/types/task/task.js';
import { listUnfinishedForks } from '../image/fork-point.js';
import { listSnapshots } from '../image/snapshot.js';
import { removeIdleNetwork } from '../network/networks.js';
import { describeFailure } from './audit/auditor.js';
import { isLive, isUnclaimed, listCreations, readClaim } from './claim.js';
import { readFifoOwner, type SessionContext } from './context.js';
import { removeDirectory } from './directory.js';
import { listIds, listSpares, scanRecords } from './find.js';
import { endGuest } from './guest.js';
import { readHolder } from './held.js';
import { endShim, findCgroups, findShims, isLeftAlone, removeBundle, removeCgroup } from './leftovers.js';
import { trimLogs } from './logs.js';
import { reapIdle } from './pool/share.js';
import { ID_PREFIX } from './record.js';
import { removeDeadLease, removeOrphanTask, removeRemains, removeSession } from './remove.js';
import { endPause, finishFork, isLeftPaused, withRootfs } from './rootfs-state.js';

/** What containerd does not know of may be what it is just starting, while it is younger. */
const MIN_AGE_MS = 10_000;

/** What a reaper removed and resumed, by id (shims by pid, cgroups by path), and what it could not remove. */
export interface ReapReport {
  /** Expired ones, and those whose owner has ended. */
  sessions: string[];
  /** Tasks whose record was gone. */
  tasks: string[];
  /** Snapshots, FIFOs and leases of creations that did not come to a record. */
  remains: string[];
  /**
   * Sessions that are not removed, but put right: a process that has ended had paused them for a commit, fork or diff, or
   * was about to move them to another runtime.
   */
  resumed: string[];
  /** Processes of shims whose session is gone. */
  shims: number[];
  /** Control groups of sessions that containerd does not know of. */
  cgroups: string[];
  /** What resisted and is tried again by the next run. */
  failures: { what: string; error: unknown }[];
}

export interface ReapOptions {
  now?: Date;
  minAgeMs?: number;
}

/**
 * Removes what no one answers for any more: sessions past their expiry, sessions without one whose owner has ended,
 * half-created ones, and what containerd itself does not know of. Nothing else is touched; any process may run it, and
 * several at once.
 */
export async function reapLeftovers(
  context: SessionContext,
  { now = new Date(), minAgeMs = MIN_AGE_MS }: ReapOptions = {},
): Promise<ReapReport> {
  const { channel } = context;
  const report: ReapReport = {
    sessions: [],
    tasks: [],
    remains: [],
    resumed: [],
    shims: [],
    cgroups: [],
    failures: [],
  };
  const attempt = async <T>(what: string, list: T[], item: T, remove: () => unknown): Promise<void> => {
    try {
      if ((await remove()) !== false) list.push(item);
    } catch (error) {
      report.failures.push({ what: `${what} ${item}`, error });
    }
  };

  for (const [id, undo] of context.unfinished) {
    await attempt('session', report.sessions, id, async () => {
      const failure = await undo.run();
      if (failure !== undefined) throw failure.error;
      context.unfinished.delete(id);
    });
  }

  // The order closes the race with a creation, which makes its lease first and drops it when the container is there:
  // whatever is seen here and in none of the lists that follow the tasks was left.
  const shims = findShims(channel.address, channel.namespace, minAgeMs);
  const cgroups = findCgroups(channel.namespace, minAgeMs);
  const tasks = await listTasks(context);
  const names = await listNames(context.directory);
  const remains = [...names.map(readHolder), ...(await listOwnSnapshots(context))];
  const creations = await listCreations(channel);
  const { found, unreadable } = await scanRecords(channel);
  const known = new Set([...(await listIds(channel)), ...found.map(({ record }) => record.id)]);
  report.failures.push(...unreadable.map(({ id, error }) => ({ what: `session ${id}`, error })));

  for (const { record, container } of found) {
    const creation = creations.find(({ id }) => id === record.id);
    const isUnstarted = tasks.get(record.id) === Status.CREATED && !isOwnerAlive(record.owner);
    if (isLive({ creation, record }, now) && !isUnstarted) {
      if (isLeftPaused(container))
        await attempt('pause of', report.resumed, record.id, () => endPause(context, record));
      continue;
    }
    await attempt('session', report.sessions, record.id, () =>
      record.pool === undefined ? removeSession(context, record) : reapIdle(context, record.id),
    );
  }
  for (const id of await listSpares(channel)) {
    const record = found.find(({ record }) => record.id === id)?.record;
    if (record === undefined) continue;
    await attempt('move of', report.resumed, id, () => withRootfs(context, record, async () => undefined));
  }
  for (const { name, source } of (await listUnfinishedForks(channel, context.snapshotter)).filter(
    ({ isAbandoned }) => isAbandoned,
  )) {
    const record = found.find(({ record }) => record.id === source)?.record;
    await attempt('fork point', report.remains, name, () => finishFork(context, record, name));
  }
  // Logs grow on while no process of their session lives.
  for (const { record } of found.filter(({ record }) => record.command !== undefined)) {
    await attempt('logs of', [], record.id, () => trimLogs(join(context.directory, record.id)));
  }
  const isLeft = (id: string) => id.startsWith(ID_PREFIX) && !known.has(id);
  for (const id of [...tasks.keys()].filter(isLeft)) {
    await attempt('task', report.tasks, id, () => removeOrphanTask(context, id));
  }
  for (const { id } of creations.filter((creation) => !isLive({ creation }))) {
    if (known.has(id)) await attempt('lease', report.remains, id, () => removeDeadLease(context, id));
    else remains.push(id);
  }
  for (const id of new Set(remains.filter(isLeft))) {
    await attempt('remains of', report.remains, id, () => removeRemains(context, id));
  }
  for (const name of names) {
    const owner = readFifoOwner(name);
    if (owner === undefined || isOwnerAlive(owner)) continue;
    await attempt('unused FIFOs', report.remains, name, () => removeDirectory(join(context.directory, name)));
  }
  await attempt('default network of', [], context.directory, () => removeIdleNetwork(context.directory));
  for (const { id } of creations) known.add(id);
  const isUnknown = (id: string) => isLeft(id) && !tasks.has(id);
  for (const shim of shims.filter(({ id }) => isUnknown(id))) {
    if (!isLeftAlone(shim)) continue;
    await attempt('shim', report.shims, shim.pid, async () => {
      // Its id may have come again, and with it be given this shim.
      if (!isUnclaimed(await readClaim(channel, shim.id))) return false;
      await endShim(shim);
      await removeBundle(shim);
      await endGuest(shim);
    });
  }
  for (const { path } of cgroups.filter(({ id }) => isUnknown(id))) {
    await attempt('cgroup', report.cgroups, path, () => removeCgroup(path));
  }
  for (const sessionId of report.sessions) await context.audit.tell({ action: 'reap', sessionId }, { outcome: 'done' });
  for (const { what, error } of report.failures) {
    const [, sessionId] = /^session (\S+)$/.exec(what) ?? [];
    if (sessionId !== undefined) await context.audit.tell({ action: 'reap', sessionId }, describeFailure(error));
  }
  return report;
}

async function listTasks({ channel }: SessionContext): Promise<Map<string, Status>> {
  const { tasks } = await channel.unary(TasksService.list, { filter: '' });
  return new Map(tasks.map(({ id, containerId, status }) => [containerId || id, status]));
}

async function listOwnSnapshots({ channel, snapshotter }: SessionContext): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of listSnapshots(channel, snapshotter, [`name~=^${ID_PREFIX}`])) names.push(name);
  return names;
}
