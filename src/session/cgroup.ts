import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KernelFile } from './kernel-file.js';
import { readOptional, readPresent } from './proc.js';

const FREEZE_MS = 1_000;
const POLL_MS = 2;

/** The cgroup of a session as this host sees it: who is in it, and a way to stop them all at one point in time. */
export interface SessionCgroup {
  /** Every process of the session, its init included. */
  listPids(): number[];
  /** Stops them all, as far as the kernel can within a second. Every freeze needs its `release`. */
  freeze(): Promise<Freeze>;
  thaw(): void;
  isFrozen(): boolean;
  /** Keeps what `isFrozen` and `countOomKills` read open until the signal: a read then costs a tenth. */
  keepOpen(until: AbortSignal): void;
  /** How often the kernel's OOM killer took a process of the session; undefined where that is not counted. */
  countOomKills(): number | undefined;
}

/** A point in time at which the processes of a session are held. */
interface Freeze {
  /** Whether all of them are stopped at this moment. */
  isComplete(): boolean;
  /** Lets the session run on, unless it was paused before. `killed` end in any case. */
  release(killed: readonly number[]): void;
}

/**
 * Finds the cgroup through the init's own /proc entry, which is right for every cgroup driver. Undefined where it
 * cannot be seen: under Kata the pid is the hypervisor's, and in a container of our own the host's tree is hidden.
 */
export function findCgroup(initPid: number): SessionCgroup | undefined {
  const entries = readOptional(`/proc/${initPid}/cgroup`)?.trim().split('\n') ?? [];
  const v1 = findDirectory(entries, 'freezer');
  const memory = findDirectory(entries, 'memory');
  if (v1 !== undefined) return buildCgroup(v1, freezerV1, memory && join(memory, 'memory.oom_control'));
  const unified = findDirectory(entries, '');
  if (unified !== undefined) return buildCgroup(unified, freezerV2, join(unified, 'memory.events'));
  return undefined;
}

interface Freezer {
  file: string;
  frozen: string;
  thawed: string;
  /** What says whether it is frozen, and how. */
  state: string;
  isFrozen(state: string): boolean;
  /** Lets single processes of a cgroup that stays frozen meet the SIGKILL that they were sent. */
  letDie(directory: string, pids: readonly number[]): void;
}

// Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst
const freezerV1: Freezer = {
  file: 'freezer.state',
  frozen: 'FROZEN',
  thawed: 'THAWED',
  state: 'freezer.state',
  isFrozen: (state) => state.trim() === 'FROZEN',
  // Here SIGKILL waits for the thaw. A process that leaves the frozen cgroup is thawed alone, and dies without having
  // run an instruction of its own.
  letDie(directory, pids) {
    for (const pid of pids) {
      try {
        writeFileSync(join(dirname(directory), 'cgroup.procs'), String(pid));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  },
};

// Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze"
const freezerV2: Freezer = {
  file: 'cgroup.freeze',
  frozen: '1',
  thawed: '0',
  state: 'cgroup.events',
  isFrozen: (state) => /^frozen 1$/m.test(state),
  // Here SIGKILL ends frozen processes too.
  letDie: () => undefined,
};

function buildCgroup(directory: string, freezer: Freezer, oom: string | undefined): SessionCgroup {
  const write = (state: string) => writeFileSync(join(directory, freezer.file), state);
  const state = new KernelFile(join(directory, freezer.state));
  const events = oom === undefined ? undefined : new KernelFile(oom);
  const isFrozen = () => freezer.isFrozen(state.read());
  return {
    listPids: () => listPids(directory),
    async freeze() {
      const wasFrozen = isFrozen();
      write(freezer.frozen);
      for (const until = Date.now() + FREEZE_MS; !isFrozen() && Date.now() < until; ) await sleep(POLL_MS);
      return {
        isComplete: isFrozen,
        release(killed) {
          if (wasFrozen) freezer.letDie(directory, killed);
          else write(freezer.thawed);
        },
      };
    },
    thaw: () => write(freezer.thawed),
    isFrozen,
    keepOpen(until) {
      state.keepOpen(until);
      events?.keepOpen(until);
    },
    countOomKills: () => readCounter(events),
  };
}

/** The processes of a cgroup and of those below it, which a session with a delegated cgroup may have made. */
export function listPids(directory: string): number[] {
  const own = (readOptional(join(directory, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number);
  const below = existsSync(directory)
    ? readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    : [];
  return [...own, ...below.flatMap((entry) => listPids(join(directory, entry.name)))];
}

/**
 * Kills all of them and those below at one point in time, so that nothing forks away: `cgroup.kill` of cgroup-v2.rst, since
 * Linux 5.14. False where the kernel has no such thing.
 */
export function killGroup(directory: string): boolean {
  const file = join(directory, 'cgroup.kill');
  if (!existsSync(file)) return false;
  try {
    writeFileSync(file, '1');
  } catch (error) {
    // The group went meanwhile, and nobody is left in it.
    if (!['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
  return true;
}

export function findDirectory(entries: readonly string[], controller: string): string | undefined {
  for (const entry of entries) {
    const [, controllers = '', ...path] = entry.split(':');
    if (!controllers.split(',').includes(controller)) continue;
    const mount = controller === '' ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controllers}`;
    const directory = join(mount, path.join(':'));
    // The root cgroup is never a session's: acting on it would stop the host.
    if (path.join(':') !== '/' && existsSync(join(directory, 'cgroup.procs'))) return directory;
  }
  return undefined;
}

function readCounter(events: KernelFile | undefined): number | undefined {
  const count = events && readPresent(() => events.read())?.match(/^oom_kill (\d+)$/m)?.[1];
  return count ? Number(count) : undefined;
}
