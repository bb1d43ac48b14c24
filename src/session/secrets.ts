import { execFile } from 'node:child_process';
import { chmod, open, statfs } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DriverError } from '../core/error.js';
import { SECRETS_BYTES } from '../policy/mounts.js';
import type { SecretBinding } from '../policy/types.js';
import { isKernelAtLeast } from '../spec/host.js';
import { hidesProcesses } from '../spec/runtime.js';
import type { OciUser } from '../spec/types.js';
import { describeFileFailure, makeDirectory } from './directory.js';
import type { SessionRecord } from './record.js';

const run = promisify(execFile);

/** Magic numbers of file systems that are in memory alone (statfs(2)). */
const inMemory = [0x01021994, 0x858458f6];

/** Where a session's secrets are on the host, for root alone: the directory of the session leads to it. */
export function nameSecrets(directory: string): string {
  return join(directory, 'secrets');
}

/** Nothing can be mounted into a session that runs, so that one which is to be given secrets later has their place. */
export function hasSecretsMount(record: SessionRecord, secrets: readonly SecretBinding[]): boolean {
  return secrets.length > 0 || (record.pool !== undefined && !hidesProcesses(record));
}

/**
 * Writes secrets for the session to mount, readable for its user alone. They are in memory, and in no record: the
 * directory is on a tmpfs, or becomes one.
 */
export async function writeSecrets(
  directory: string,
  secrets: readonly SecretBinding[],
  { uid, gid }: OciUser,
): Promise<void> {
  const path = nameSecrets(directory);
  await makeDirectory(path);
  if (!(await isInMemory(path))) await mountMemory(path);
  try {
    for (const { name, value } of secrets) {
      await using file = await open(join(path, name), 'wx', 0o400);
      await file.chown(uid, gid);
      await file.writeFile(value);
    }
    // Who else is in the session sees the names.
    await chmod(path, 0o755);
  } catch (cause) {
    throw describeFileFailure('secrets cannot be written', cause);
  }
}

/** A host that was restarted has none of them, and may have an empty directory of their name. */
export async function isInMemory(path: string): Promise<boolean> {
  return inMemory.includes((await statfs(path)).type);
}

async function mountMemory(path: string): Promise<void> {
  // Room for the blocks that files of any size fill. What is never swapped is on no disk (tmpfs.rst, since Linux 6.4).
  const noSwap = isKernelAtLeast(os.release(), 6, 4) ? ',noswap' : '';
  const options = `size=${2 * SECRETS_BYTES},mode=0700,nosuid,nodev,noexec${noSwap}`;
  try {
    await run('mount', ['-t', 'tmpfs', '-o', options, 'cadre-secrets', path]);
  } catch (cause) {
    const message = `secrets need a tmpfs, which cannot be mounted on ${path}`;
    throw new DriverError('failed-precondition', message, { operation: 'mount tmpfs', cause });
  }
  if (!(await isInMemory(path))) throw new DriverError('failed-precondition', `${path} is not in memory`);
}
