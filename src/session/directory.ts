import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DriverError, type ErrorCode } from '../core/error.js';

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
    const { code = '', message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw new DriverError(codes[code] ?? 'unavailable', `the session's directory cannot be made: ${message}`, {
      operation: 'make directory',
      cause,
    });
  }
}

/** Removes it with all that is in it. */
export async function removeDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
