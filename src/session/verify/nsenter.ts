import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Check, check } from './check.js';

/** What is to be read, and by which command in which namespaces of the session's init. */
interface Reading {
  field: string;
  expected: string;
  namespaces: readonly ('ipc' | 'net' | 'uts')[];
  command: readonly string[];
  source: string;
  /** Of what the command prints, its last line break left out. Defaults to all of it. */
  read?: (text: string) => string;
}

/** /proc shows the namespaces of whoever reads it, so that only a process in the session's sees its own. */
export async function checkInside(pid: number, reading: Reading): Promise<Check> {
  const { field, expected, namespaces, command, source, read = (text) => text } = reading;
  try {
    const enter = namespaces.map((kind) => `--${kind}=/proc/${pid}/ns/${kind}`);
    const { stdout } = await promisify(execFile)('nsenter', [...enter, ...command]);
    return check(field, expected, read(stdout.trimEnd()), source);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return check(field, expected, undefined, code === 'ENOENT' ? 'this host has no nsenter(1)' : message.trim());
  }
}
