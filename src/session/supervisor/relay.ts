import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DriverError } from '../../core/error.js';
import { makeFifos } from '../../stdio/fifo-store.js';
import type { TaskIo } from '../task.js';
import { findSupervisor, nameSocket } from './door.js';
import { Link } from './link.js';

const run = promisify(execFile);
/** For how long a relay that another process starts may take to listen, in ms. */
const LISTEN_MS = 5_000;
const POLL_MS = 5;

/**
 * The streams of a supervisor that no socket of this host leads to, and the process that serves them, see
 * native/relay.c. It outlives this one. What was kept for an earlier start of the session is not meant for this one.
 */
export async function prepareRelay(directory: string): Promise<TaskIo> {
  const [stdin, stdout] = [join(directory, 'channel.in'), join(directory, 'channel.out')];
  await Promise.all(
    [stdin, stdout, nameSocket(directory), nameState(directory)].map((path) => rm(path, { force: true })),
  );
  await makeFifos([stdin, stdout]);
  await startRelay(directory);
  // Nothing is ever written to stderr. Kata's shims read stdin to the end of its last writer, and are one by this.
  return { stdin, stdout, stderr: stdin, terminal: false };
}

/** Connects to it; one that was killed is started again, and the supervisor goes on with it where the last one was. */
export async function openRelayed(directory: string): Promise<Link> {
  const hasEnded = () => hasSessionEnded(directory);
  for (const until = Date.now() + LISTEN_MS; ; await sleep(POLL_MS)) {
    if (hasEnded()) throw new DriverError('failed-precondition', 'the session does not run', { operation: 'exec' });
    try {
      return await Link.open(nameSocket(directory), hasEnded);
    } catch (error) {
      const { code } = ((error as DriverError).cause ?? {}) as NodeJS.ErrnoException;
      if (!['ECONNREFUSED', 'ENOENT'].includes(code ?? '') || Date.now() >= until) throw error;
      await startRelay(directory);
    }
  }
}

/** Resolves when it listens, or another is about to: one at a time has the streams. */
async function startRelay(directory: string): Promise<void> {
  try {
    await run(findSupervisor() as string, ['--relay', '--', directory], { env: {}, cwd: '/' });
  } catch (cause) {
    const { message } = cause as Error;
    throw new DriverError('unavailable', `the relay of the supervisor does not start: ${message.trim()}`, {
      operation: 'supervisor',
      cause,
    });
  }
}

/** Where a relay says that the session's streams have ended; it is locked for as long as one is there. */
function nameState(directory: string): string {
  return join(directory, 'relay');
}

function hasSessionEnded(directory: string): boolean {
  try {
    return readFileSync(nameState(directory), 'utf8') === 'ended';
  } catch {
    // It is no more, and the session with it.
    return true;
  }
}
