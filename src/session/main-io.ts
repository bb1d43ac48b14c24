import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createLogs } from './logs.js';
import type { SessionRecord } from './record.js';
import type { TaskIo } from './task.js';

const run = promisify(execFile);

/** Where whoever attaches writes; of a fixed name, as that may be another process. */
export function nameStdin(directory: string): string {
  return join(directory, 'stdin');
}

/** Files for the session's own command; a session without one has no streams at all. */
export async function prepareIo(directory: string, { command }: SessionRecord): Promise<TaskIo> {
  if (command === undefined) return { stdin: '', stdout: '', stderr: '', terminal: false };
  const logs = await createLogs(directory, command.terminal);
  const stdin = command.stdin ? nameStdin(directory) : '';
  // A session that is started again has it already.
  if (stdin !== '') await run('mkfifo', ['-m', '600', '--', stdin]).catch(ignoreExisting);
  return { stdin, ...logs, terminal: command.terminal };
}

function ignoreExisting(error: { stderr?: string }): void {
  if (!error.stderr?.includes('File exists')) throw error;
}
