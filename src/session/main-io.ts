import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';
import { hidesProcesses } from '../spec/runtime.js';
import { makeFifos } from '../stdio/fifo-store.js';
import { createLogs } from './logs.js';
import type { SessionRecord } from './record.js';
import { prepareRelay } from './supervisor/relay.js';
import type { TaskIo } from './task.js';

/** Where whoever attaches writes; of a fixed name, as that may be another process. */
export function nameStdin(directory: string): string {
  return join(directory, 'stdin');
}

/** Files for the session's own command; a session without one has no streams at all. */
export async function prepareIo(directory: string, record: SessionRecord): Promise<TaskIo> {
  const { command } = record;
  const isRelayed = record.asked.executor === 'supervisor' && hidesProcesses(record);
  try {
    const made = command && (await createLogs(directory, command.terminal));
    // The supervisor's relay writes the logs.
    if (isRelayed) return await prepareRelay(directory);
    if (command === undefined || made === undefined) return { stdin: '', stdout: '', stderr: '', terminal: false };
    const stdin = command.stdin ? nameStdin(directory) : '';
    if (stdin !== '') await makeStdin(stdin);
    return { stdin, ...(hidesProcesses(record) ? nameLogger(made) : made), terminal: command.terminal };
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

/**
 * runc's shim alone is known to append to files: others take FIFOs and programs (runtime-v2 of containerd, "binary" URI).
 * A FIFO would end with this process; a program is the shim's. It is given the streams as 3 and 4, says by closing 5
 * that it is there, and is told by SIGTERM that it is to end, before all is written.
 */
function nameLogger({ stdout, stderr }: Pick<TaskIo, 'stdout' | 'stderr'>): Pick<TaskIo, 'stdout' | 'stderr'> {
  const copies = [`cat <&3 >>${quote(stdout)} &`, ...(stderr === '' ? [] : [`cat <&4 >>${quote(stderr)} &`])];
  const script = `trap '' TERM; exec 5>&-; ${copies.join(' ')} wait`;
  const uri = `binary:///bin/sh?${new URLSearchParams({ '-c': script })}`;
  return { stdout: uri, stderr: stderr === '' ? '' : uri };
}

/** For a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

async function makeStdin(path: string): Promise<void> {
  // What was written and not read before it was started again is not meant for the new command.
  await rm(path, { force: true });
  await makeFifos([path]);
}
