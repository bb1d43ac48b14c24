import { posix } from 'node:path';
import { readOptional } from '../proc.js';

/** A line of /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export interface MountEntry {
  id: string;
  parent: string;
  /** Of the file system, as `major:minor`. */
  device: string;
  /** What of the file system is mounted. */
  root: string;
  /** Where, as the process sees it. */
  point: string;
  /** Of this mount: `ro`, `nosuid`, ... */
  options: string[];
  type: string;
  /** Of the file system, whoever mounts it: `ro`, `size=64k`, ... */
  superOptions: string[];
}

export function readMountTable(pid: number | 'self'): MountEntry[] {
  return parseMountTable(readOptional(`/proc/${pid}/mountinfo`) ?? '');
}

export function parseMountTable(text: string): MountEntry[] {
  return text.split('\n').filter(Boolean).map(parseEntry);
}

function parseEntry(line: string): MountEntry {
  const [before = '', after = ''] = line.split(' - ');
  const [id = '', parent = '', device = '', root = '', point = '', options = ''] = before.split(' ').map(readOctal);
  const [type = '', , superOptions = ''] = after.split(' ').map(readOctal);
  return {
    id,
    parent,
    device,
    root,
    point,
    options: options.split(','),
    type,
    superOptions: superOptions.split(','),
  };
}

/** Blanks and the like stand there in octal. */
function readOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}

/** What is seen at a place: of several mounts there, the one on top. */
export function findTop(table: readonly MountEntry[], point: string): MountEntry | undefined {
  const there = table.filter((entry) => entry.point === point);
  return there.find(({ id }) => there.every(({ parent }) => parent !== id));
}

/** Which part of which file system a path of this process's own is, as mountinfo would name it. */
export function locate(own: readonly MountEntry[], path: string): string | undefined {
  const above = own.filter(({ point }) => isWithin(path, point));
  const longest = Math.max(...above.map(({ point }) => point.length));
  const mount = findTop(above, above.find(({ point }) => point.length === longest)?.point ?? '');
  if (mount === undefined) return undefined;
  return `${mount.device} ${posix.join(mount.root, posix.relative(mount.point, path))}`;
}

export function isWithin(path: string, directory: string): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`);
}
