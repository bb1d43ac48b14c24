import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DriverError, type ErrorCode } from '../core/error.js';
import { listMounts, readMountTable } from './mount-table.js';

const run = promisify(execFile);
const ROUNDS = 3;

const codes: Record<string, ErrorCode> = {
  ENOSPC: 'resource-exhausted',
  EDQUOT: 'resource-exhausted',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  EROFS: 'permission-denied',
};

/** Makes the directory of a session's FIFOs and logs, for root alone; one that is there is taken as it is. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // By itself: Node's recursive mkdir reports a full disk as ENOENT.
    await mkdir(path, { mode: 0o700 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw describeFileFailure(`${path} cannot be made`, cause);
  }
}

/** What the host's file system would not do, as an error of this library. Content is in none of the system's messages. */
export function describeFileFailure(what: string, cause: unknown): DriverError {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  return new DriverError(codes[code] ?? 'unavailable', `${what}: ${message}`, { operation: 'prepare files', cause });
}

/** Removes it with all that is in it, a mount included, also one that a process which was killed had under way. */
export async function removeDirectory(path: string): Promise<void> {
  for (let round = 1; ; round++) {
    try {
      // Mounts are listed where they are, and the state root may be reached by a link.
      for (const point of listMounts(await realpath(path))) await unmount(point);
      return await rm(path, { recursive: true, force: true });
    } catch (error) {
      if (!existsSync(path)) return;
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EBUSY', 'ENOENT'].includes(code) || round === ROUNDS) throw error;
    }
  }
}

/** Emptied first: a mount may live on in a mount namespace that someone made meanwhile. */
async function unmount(point: string): Promise<void> {
  // A namespace is mounted on a file, and has nothing in it.
  const names = (await lstat(point)).isDirectory() ? await readdir(point) : [];
  for (const name of names) await rm(join(point, name), { recursive: true, force: true });
  await run('umount', ['--', point]).catch((error: unknown) => {
    // Another process of ours was faster.
    if (readMountTable('self').some((entry) => entry.point === point)) throw error;
  });
}
