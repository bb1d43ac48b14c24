import { posix } from 'node:path';
import { isWithin } from '../policy/mounts.js';
import { readOptional } from './proc.js';

/** A line of /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  id: string;
  /** The mount that it is in or, at the same place, upon. */
  parent: string;
  /** Of the file system, as `major:minor`. */
  device: string;
  /** What of the file system is mounted. */
  root: string;
  /** Relative to the root directory of the process. */
  point: string;
  /** Of this mount, such as ro and nosuid; not those of its file system. */
  options: string[];
  type: string;
  /** Of the file system, whoever mounts it, such as `size=64k`. */
  superOptions: string[];
}

/** The mounts that a process sees, in the order in which they were made; none of a process that is gone. */
export function readMountTable(pid: number | 'self' = 'self'): MountEntry[] {
  return parseMountTable(readOptional(`/proc/${pid}/mountinfo`) ?? '');
}

export function parseMountTable(text: string): MountEntry[] {
  return text.split('\n').filter(Boolean).map(parseEntry);
}

function parseEntry(line: string): MountEntry {
  const [before = '', after = ''] = line.split(' - ');
  const [id = '', parent = '', device = '', root = '', point = '', options = ''] = before.split(' ').map(readOctal);
  const [type = '', , superOptions = ''] = after.split(' ').map(readOctal);
  const both = { options: options.split(','), superOptions: superOptions.split(',') };
  return { id, parent, device, root, point, type, ...both };
}

/** Blank, tab, line feed and backslash are written as octal numbers. */
function readOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Mount points below a directory, the deepest first. */
export function listMounts(directory: string): string[] {
  return readMountTable()
    .map(({ point }) => point)
    .filter((point) => point.startsWith(`${directory}/`))
    .sort()
    .reverse();
}

/** What is seen at a place: of several mounts there, the one on top. */
export function findTop(table: readonly MountEntry[], point: string): MountEntry | undefined {
  const there = table.filter((entry) => entry.point === point);
  return there.find(({ id }) => there.every(({ parent }) => parent !== id));
}

/** The mount that a path of this process's own is on. */
export function findMount(own: readonly MountEntry[], path: string): MountEntry | undefined {
  const above = own.filter(({ point }) => isWithin(path, point));
  const longest = Math.max(...above.map(({ point }) => point.length));
  return findTop(above, above.find(({ point }) => point.length === longest)?.point ?? '');
}

/** Which part of which file system a path of this process's own is, as mountinfo would name it. */
export function locate(own: readonly MountEntry[], path: string): string | undefined {
  const mount = findMount(own, path);
  if (mount === undefined) return undefined;
  return `${mount.device} ${posix.join(mount.root, posix.relative(mount.point, path))}`;
}
