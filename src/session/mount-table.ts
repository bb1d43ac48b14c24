import { readFileSync } from 'node:fs';

/** A line of /proc/PID/mountinfo (proc(5)). */
export interface MountEntry {
  /** Relative to the root directory of the process. */
  point: string;
  /** Of this mount, such as ro and nosuid; not those of its file system. */
  options: string[];
}

/** The mounts that a process sees, in the order in which they were made. */
export function readMountTable(pid: number | 'self' = 'self'): MountEntry[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [, , , , point = '', options = ''] = line.split(' ');
    return { point: readOctal(point), options: options.split(',') };
  });
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
