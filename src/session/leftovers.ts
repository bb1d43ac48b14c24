import { execFile } from 'node:child_process';
import { existsSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isAbsent } from '../core/absent.js';
import { locateCgroup, nameCgroup } from '../spec/cgroup-path.js';
import { killGroup, listPids } from './cgroup.js';
import { listMounts } from './mount-table.js';
import {
  listDescendants,
  listProcesses,
  readCommand,
  readLink,
  readOptional,
  readStat,
  TICKS_PER_SECOND,
} from './proc.js';
import { listServed, removeSocket } from './shim-socket.js';

// What a crash can leave that containerd's API does not show. All of it is told to be a session's by the id alone.

const run = promisify(execFile);
const CGROUP_ROOT = '/sys/fs/cgroup';
const RUNC_ROOT = '/run/containerd/runc';
const TERM_MS = 2_000;

/** A running shim. */
export interface Shim {
  pid: number;
  startTime: number;
  id: string;
  address: string;
  namespace: string;
  /** Its directory below containerd's state, which may be deleted already. */
  bundle: string;
}

/** The shims of one daemon and namespace that are at least `minAgeMs` old. */
export function findShims(address: string, namespace: string, minAgeMs: number): Shim[] {
  const uptimeMs = Number(readOptional('/proc/uptime')?.split(' ')[0]) * 1000;
  const isOldEnough = ({ startTime }: Shim) => uptimeMs - (startTime / TICKS_PER_SECOND) * 1000 >= minAgeMs;
  return listShims().filter((shim) => shim.address === address && shim.namespace === namespace && isOldEnough(shim));
}

/** Those of this host, of whatever daemon. */
export function listShims(): Shim[] {
  return listProcesses().flatMap((pid) => {
    const args = readCommand(pid);
    if (!args[0]?.includes('containerd-shim')) return [];
    const option = (name: string) => args[args.indexOf(name) + 1];
    const [id, address, namespace] = [option('-id'), option('-address'), option('-namespace')];
    if (id === undefined || address === undefined || namespace === undefined) return [];
    const stat = readStat(pid);
    // It works in its bundle; of a deleted directory proc(5) says so behind the name.
    const bundle = readLink(`/proc/${pid}/cwd`)?.replace(/ \(deleted\)$/, '');
    if (stat === undefined || stat.state === 'Z' || bundle === undefined) return [];
    return [{ pid, startTime: stat.startTime, id, address, namespace, bundle }];
  });
}

/**
 * Of a shim whose id nobody knows: true when it serves nobody else. It bears the id of the first of those that share it,
 * which may go before the others. Where containerd has not let go of it either, it may have a creation that is given up:
 * that has processes, and is containerd's to end. One without any was given up before it had something to do, and stays
 * for ever, seen on 1.6.
 */
export function isLeftAlone(shim: Shim): boolean {
  const served = listServed(shim);
  return served.length === 0 || (served.every((id) => id === shim.id) && listDescendants(shim.pid).length === 0);
}

/** SIGTERM, then SIGKILL; with it goes what it still kept running. */
export async function endShim({ pid, startTime, id, namespace }: Shim): Promise<void> {
  const isThere = () => {
    const stat = readStat(pid);
    return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z';
  };
  if (isThere()) process.kill(pid, 'SIGTERM');
  for (const until = Date.now() + TERM_MS; isThere() && Date.now() < until; ) await sleep(20);
  if (isThere()) process.kill(pid, 'SIGKILL');
  for (const path of findGroups(namespace, id)) {
    if (killGroup(path)) continue;
    for (const member of listPids(path)) sendKill(member);
  }
}

/** The shims that were started for this id, but those by which containerd reaches another session as well. */
export async function endOwnShims(
  { address, namespace }: { address: string; namespace: string },
  id: string,
): Promise<void> {
  for (const shim of findShims(address, namespace, 0).filter((found) => found.id === id)) {
    if (listServed(shim).some((served) => served !== id)) continue;
    await endShim(shim);
    await removeBundle(shim);
  }
}

/** The daemon may be at the same: what it starts to clear up after a shim writes there (ENOTEMPTY). */
const removal = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 };

/** What is left on disk of a shim that has ended. */
export async function removeBundle({ id, address, namespace, bundle }: Shim): Promise<void> {
  const work = readLink(join(bundle, 'work'));
  // Nothing is deleted through a mount: what lies behind it may be anyone's.
  for (const point of listMounts(bundle)) await run('umount', ['--', point]);
  for (const path of [bundle, work]) {
    if (path?.endsWith(join('io.containerd.runtime.v2.task', namespace, id))) await rm(path, removal);
  }
  await rm(join(RUNC_ROOT, namespace, id), removal);
  removeSocket({ address, namespace, id });
}

/** Of one session, in every hierarchy, whoever made them: this driver's own below its namespace, or a scope of systemd. */
export function findGroups(namespace: string, id: string): string[] {
  const places = [false, true].map((systemd) => locateCgroup(nameCgroup(namespace, id, { systemd })));
  return listHierarchies()
    .flatMap((hierarchy) => places.map((place) => join(hierarchy, place)))
    .filter((path) => existsSync(path));
}

function listHierarchies(): string[] {
  return [CGROUP_ROOT, ...listDirectories(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name))];
}

/**
 * Directories under `/<namespace>/` of every cgroup hierarchy, by session id; scopes go with their last process, by systemd.
 * The kernel dates them from the first look at them, so that only a later look finds one old enough.
 */
export function findCgroups(namespace: string, minAgeMs: number): { id: string; path: string }[] {
  const born = Date.now() - minAgeMs;
  return listHierarchies().flatMap((hierarchy) => {
    const parent = join(hierarchy, namespace);
    const found = listDirectories(parent).map((id) => ({ id, path: join(parent, id) }));
    return found.filter(({ path }) => (statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? born) <= born);
  });
}

/** Removes a cgroup that is empty; one that still holds processes is left for the next time, which is false. */
export function removeCgroup(path: string): boolean {
  try {
    for (const child of listDirectories(path)) removeCgroup(join(path, child));
    rmdirSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isAbsent(error)) return true;
    if (code === 'EBUSY') return false;
    throw error;
  }
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function listDirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
