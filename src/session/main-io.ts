import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';
import { makeFifos } from '../stdio/fifo-store.js';
import { createLogs } from './logs.js';
import type { SessionRecord } from './record.js';
import type { TaskIo } from './task.js';

/** Where whoever attaches writes; of a fixed name, as that may be another process. */
export function nameStdin(directory: string): string {
  return join(directory, 'stdin');
}

/** Files for the session's own command; a session without one has no streams at all. */
export async function prepareIo(directory: string, { command }: SessionRecord): Promise<TaskIo> {
  if (command === undefined) return { stdin: '', stdout: '', stderr: '', terminal: false };
  try {
    const logs = await createLogs(directory, command.terminal);
    const stdin = command.stdin ? nameStdin(directory) : '';
    if (stdin !== '') await makeStdin(stdin);
    return { stdin, ...logs, terminal: command.terminal };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT' || /No space left|quota exceeded/.test(message);
    throw new DriverError(
      isFull ? 'resource-exhausted' : 'unavailable',
      `the files of the command's output cannot be made in ${directory}: ${message}`,
      { operation: 'prepare output', cause },
    );
  }
}

async function makeStdin(path: string): Promise<void> {
  // What was written and not read before it was started again is not meant for the new command.
  await rm(path, { force: true });
  await makeFifos([path]);
}
