import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { listNamesSync } from '../core/absent.js';

/** Of `startTime`: USER_HZ, which is 100 wherever this runs. */
export const TICKS_PER_SECOND = 100;

/** What /proc/PID/stat says of a process on this host (proc(5)). */
export interface ProcessStat {
  pid: number;
  parent: number;
  /** R, S, D, Z (zombie), ... */
  state: string;
  /** Clock ticks since boot; with the pid it names one process for as long as the machine is up. */
  startTime: number;
}

/** Undefined when there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  const stat = readOptional(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // Counted from behind the command's name, which may hold blanks and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] as string, parent: Number(fields[1]), startTime: Number(fields[19]) };
}

/** Pids of everything that runs on this host. */
export function listProcesses(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** What one thread of a process started and is there, the latest last; one may be missing while others end (proc_pid_children(5)). */
export function listChildren(pid: number, thread = pid): number[] {
  const children = readOptional(`/proc/${pid}/task/${thread}/children`) ?? '';
  return children.split(' ').filter(Boolean).map(Number);
}

/** Children, and what they started (proc_pid_children(5)); one whose parent ended between two looks may be missing. */
export function listDescendants(pid: number): number[] {
  const threads = listNamesSync(`/proc/${pid}/task`);
  const children = threads.flatMap((thread) => listChildren(pid, Number(thread)));
  return children.flatMap((child) => [child, ...listDescendants(child)]);
}

/** Where a link leads; undefined where it is gone. */
export function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Program and arguments, as the process shows them; empty when it is gone. */
export function readCommand(pid: number): string[] {
  return readOptional(`/proc/${pid}/cmdline`)?.split('\0').slice(0, -1) ?? [];
}

/** Path of the program that it runs, as seen from its own root; undefined when it is gone. */
export function readProgram(pid: number): string | undefined {
  return readVisible(() => readlinkSync(`/proc/${pid}/exe`), undefined);
}

/** True when the process was started with `NAME=value` in its environment; a process may wipe that. */
export function hasEnv(pid: number, entry: string): boolean {
  return readOptional(`/proc/${pid}/environ`)?.split('\0').includes(entry) ?? false;
}

/** A file of /proc or of a cgroup; undefined when what it tells of is gone. */
export function readOptional(path: string): string | undefined {
  return readPresent(() => readFileSync(path, 'utf8'));
}

/** The same for another way to read one. */
export function readPresent<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ESRCH: the process ended between open and read. ENODEV: so did the cgroup.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENODEV') return undefined;
    throw error;
  }
}

/** An attribute of a security module, such as `attr/apparmor/current`; undefined where the host has no such module. */
export function readAttribute(path: string): string | undefined {
  try {
    return readOptional(path)?.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined;
    throw error;
  }
}

/** Of other processes and their files: what is gone or is none of ours to look at (ptrace(2)), or no link, tells nothing. */
export function readVisible<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'ESRCH', 'EACCES', 'EPERM', 'EINVAL'].includes(code)) return otherwise;
    throw error;
  }
}
