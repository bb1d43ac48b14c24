import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { isDaemonAway } from '../rpc/errors.js';
import type { OutputChunk } from '../stdio/merge.js';
import { findShims } from './leftovers.js';
import { type LogOptions, nameLog, openLogs, readLogs } from './logs.js';
import { listDescendants, readLink, readStat } from './proc.js';
import { listServed } from './shim-socket.js';

/** For how long a daemon that is away is waited for, in ms: the command and its shim live on without it. */
const AWAY_MS = 120_000;
/** For how long a shim may take to write what was in its pipes when the command ended, in ms. */
const WRITE_MS = 10_000;
const POLL_MS = 5;

/** The end of a session's own command, as those who read its output need to know it. */
export interface CommandEnd {
  /** True once it has ended and all that it wrote is in the logs. Throws when that cannot be known any more. */
  hasEnded(): boolean;
  /** Rejects with `data-loss` when it ended while nobody could note how. */
  exitCode: Promise<number>;
}

export function watchEnd(channel: Channel, id: string, directory: string, signal?: AbortSignal): CommandEnd {
  let end: { failure?: unknown } | undefined;
  const exitCode = waitForExit(channel, id, directory, signal);
  exitCode.then(
    () => {
      end = {};
    },
    (failure) => {
      end = isDaemonAway(failure) ? { failure } : {};
    },
  );
  return {
    exitCode,
    hasEnded() {
      if (end?.failure !== undefined) throw end.failure;
      return end !== undefined;
    },
  };
}

async function waitForExit(
  channel: Channel,
  id: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const target = { containerId: id, execId: '' };
  const options = { deadlineMs: null, retryMs: AWAY_MS, signal };
  for (;;) {
    const asked = Date.now();
    try {
      const { exitStatus } = await channel.unary(TasksService.wait, target, options);
      await waitUntilWritten(channel, id, directory);
      return exitStatus;
    } catch (error) {
      if (isDaemonAway(error)) {
        // The channel's patience counts from the call, which may have waited for hours before the daemon went.
        if (Date.now() - asked < AWAY_MS) throw error;
        continue;
      }
      if (!hasCode(error, 'not-found', 'unavailable', 'unknown')) throw error;
      await waitUntilWritten(channel, id, directory);
      throw new DriverError('data-loss', `the command of session ${id} ended and its exit code is lost`, {
        cause: error,
      });
    }
  }
}

/** The logs of a session's own command, which may run. */
export async function* readSessionLogs(
  channel: Channel,
  id: string,
  directory: string,
  { follow = false, tail, signal }: LogOptions,
): AsyncGenerator<OutputChunk, void, undefined> {
  const files = await openLogs(directory, tail);
  const left = new AbortController();
  const whole = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
  const hasEnded = follow ? watchEnd(channel, id, directory, whole).hasEnded : () => true;
  try {
    yield* readLogs(files, { follow, signal: whole }, hasEnded);
  } finally {
    // Whoever leaves the loop does not wait for the end any more.
    left.abort();
  }
}

/** An exit is told before the shim has copied what was still in the pipes; it closes the logs when it has. */
export async function waitUntilWritten({ address, namespace }: Channel, id: string, directory: string): Promise<void> {
  const found = findShims(address, namespace, 0);
  const own = found.filter((shim) => shim.id === id);
  // One that several sessions share bears the id of the first.
  const shims = own.length > 0 ? own : found.filter((shim) => listServed(shim).includes(id));
  const logs = [nameLog(directory, 'stdout'), nameLog(directory, 'stderr')];
  const writes = (pid: number) => listOpen(pid).some((path) => logs.includes(path));
  // A program that copies for the shim has them open for as long as there is a task: it sleeps when its pipe is empty.
  const isCopying = (pid: number) => readStat(pid)?.state !== 'S' && writes(pid);
  const isOpen = () => shims.some(({ pid }) => writes(pid) || listDescendants(pid).some(isCopying));
  for (const until = Date.now() + WRITE_MS; isOpen() && Date.now() < until; ) await sleep(POLL_MS);
}

function listOpen(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => readLink(`/proc/${pid}/fd/${fd}`) ?? []);
  } catch {
    // It has ended: nothing is written any more.
    return [];
  }
}
