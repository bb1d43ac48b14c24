import { readdirSync, readlinkSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readOptional, readStat } from './proc.js';

// What a crash can leave that containerd's API does not show. All of it is told to be a session's by the id alone.

const CGROUP_ROOT = '/sys/fs/cgroup';
const TERM_MS = 2_000;
const TICKS_PER_SECOND = 100;

export interface LeakedShim {
  pid: number;
  id: string;
}

/**
 * Shims of this daemon and namespace whose bundle was deleted under them (proc(5): the cwd ends in "(deleted)"). A
 * younger one than `minAgeMs` may still be starting.
 */
export function findLeakedShims(address: string, namespace: string, minAgeMs: number): LeakedShim[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)
    .flatMap((pid) => {
      const args = readOptional(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
      if (!args[0]?.includes('containerd-shim')) return [];
      const option = (name: string) => args[args.indexOf(name) + 1];
      const id = option('-id');
      const isOurs = option('-address') === address && option('-namespace') === namespace;
      return isOurs && id !== undefined && isDeserted(pid, minAgeMs) ? [{ pid, id }] : [];
    });
}

function isDeserted(pid: number, minAgeMs: number): boolean {
  const stat = readStat(pid);
  const uptime = Number(readOptional('/proc/uptime')?.split(' ')[0]);
  if (stat === undefined || stat.state === 'Z') return false;
  const ageMs = (uptime - stat.startTime / TICKS_PER_SECOND) * 1000;
  try {
    return ageMs >= minAgeMs && readlinkSync(`/proc/${pid}/cwd`).endsWith(' (deleted)');
  } catch {
    return false;
  }
}

/** SIGTERM, then SIGKILL. */
export async function endShim({ pid }: LeakedShim): Promise<void> {
  const startTime = readStat(pid)?.startTime;
  const isThere = () => {
    const stat = readStat(pid);
    return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z';
  };
  if (isThere()) process.kill(pid, 'SIGTERM');
  for (const until = Date.now() + TERM_MS; isThere() && Date.now() < until; ) await sleep(20);
  if (isThere()) process.kill(pid, 'SIGKILL');
}

/** Directories under `/<namespace>/` of every cgroup hierarchy, by session id. */
export function findCgroups(namespace: string): { id: string; path: string }[] {
  const hierarchies = [CGROUP_ROOT, ...listDirectories(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name))];
  return hierarchies.flatMap((hierarchy) => {
    const parent = join(hierarchy, namespace);
    return listDirectories(parent).map((id) => ({ id, path: join(parent, id) }));
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
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    throw error;
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
