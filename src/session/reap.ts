import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LeasesService } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { removeRootfs } from '../image/rootfs.js';
import type { SessionContext } from './context.js';
import { listRecords } from './find.js';
import { endShim, findCgroups, findLeakedShims, removeCgroup } from './leftovers.js';
import { isOwnerAlive } from './owner.js';
import { ID_PREFIX, LABEL, type SessionRecord } from './record.js';
import { removeContainer, removeDirectory, removeLease, removeTask } from './teardown.js';

/** What containerd does not know of may still be starting while it is younger. */
const MIN_AGE_MS = 10_000;

/** What a reaper removed, by id (shims by pid), and what it could not remove. */
export interface ReapReport {
  sessions: string[];
  snapshots: string[];
  leases: string[];
  shims: number[];
  directories: string[];
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
  const { channel, snapshotter } = context;
  const report: ReapReport = {
    sessions: [],
    snapshots: [],
    leases: [],
    shims: [],
    directories: [],
    cgroups: [],
    failures: [],
  };
  const attempt = async <T>(what: string, list: T[], item: T, remove: () => unknown): Promise<void> => {
    try {
      if ((await remove()) !== false) list.push(item);
    } catch (error) {
      report.failures.push({ what, error });
    }
  };

  // The order closes the race with a creation, which makes its lease first and drops it when the container is there:
  // whatever is seen here and in neither of the later two lists was left.
  const shims = findLeakedShims(channel.address, channel.namespace, minAgeMs);
  const cgroups = findCgroups(channel.namespace);
  const directories = await listDirectory(context.directory);
  const snapshots = await listSnapshots(context);
  const leases = await listLeases(context);
  const found = await listRecords(channel);

  const abandoned = leases.filter(({ owner }) => !isOwnerAlive(owner)).map(({ id }) => id);
  const dead = found.filter(({ record }) => isDead(record, now) || abandoned.includes(record.id));
  for (const { record } of dead) {
    await attempt(`session ${record.id}`, report.sessions, record.id, () =>
      removeSession({ ...context, snapshotter: record.snapshotter }, record.id),
    );
  }
  const known = new Set([...found.map(({ record }) => record.id), ...leases.map(({ id }) => id)]);
  for (const id of abandoned) {
    if (dead.some(({ record }) => record.id === id)) continue;
    await attempt(`lease ${id}`, report.leases, id, () => removeSession(context, id));
  }
  const isLeft = (id: string) => id.startsWith(ID_PREFIX) && !known.has(id);
  for (const id of snapshots.filter(isLeft)) {
    await attempt(`snapshot ${id}`, report.snapshots, id, () => removeRootfs(channel, { key: id, snapshotter }));
  }
  for (const id of directories.filter(isLeft)) {
    await attempt(`directory ${id}`, report.directories, id, () => removeDirectory(join(context.directory, id)));
  }
  for (const shim of shims.filter(({ id }) => isLeft(id))) {
    await attempt(`shim ${shim.pid}`, report.shims, shim.pid, () => endShim(shim));
  }
  for (const { path } of cgroups.filter(({ id }) => isLeft(id))) {
    await attempt(`cgroup ${path}`, report.cgroups, path, () => removeCgroup(path));
  }
  return report;
}

/** Everything that a session's creation acquires, in the order of its undo. */
export async function removeSession({ channel, snapshotter, directory }: SessionContext, id: string): Promise<void> {
  await removeTask(channel, id);
  await removeContainer(channel, id);
  await removeRootfs(channel, { key: id, snapshotter });
  await removeDirectory(join(directory, id));
  await removeLease(channel, id);
}

function isDead({ owner, expiresAt }: SessionRecord, now: Date): boolean {
  return expiresAt === undefined ? !isOwnerAlive(owner) : expiresAt <= now;
}

async function listLeases({ channel }: SessionContext): Promise<{ id: string; owner: string }[]> {
  const { leases } = await channel.unary(LeasesService.list, { filters: [`labels."${LABEL.owner}"`] });
  return leases.map(({ id, labels }) => ({ id, owner: labels[LABEL.owner] ?? '' }));
}

async function listSnapshots({ channel, snapshotter }: SessionContext): Promise<string[]> {
  const names: string[] = [];
  const stream = channel.serverStream(SnapshotsService.list, { snapshotter, filters: [`name~=^${ID_PREFIX}`] });
  for await (const { info } of stream) names.push(...info.map(({ name }) => name));
  return names;
}

async function listDirectory(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
