import { DriverError, hasCode } from '../core/error.js';
import { isDaemonAway } from '../rpc/errors.js';
import type { ExecProcess } from './executor.js';
import type { KillReport } from './kill-tree.js';

/** What an execution asks of the session that it runs in. */
export interface ExecutionHost {
  killTree(process: ExecProcess): Promise<KillReport>;
  /** Whether the kernel killed it, or what it started, for want of memory. `killed`: SIGKILL ended the command. */
  wasOomKilled(process: ExecProcess, killed: boolean): Promise<boolean>;
  /** Throws when the session is no more. */
  assertAlive(): void;
  /** Whether the pids of what runs are those of the session's own processes, and not the shim's word for a guest. */
  seesProcesses(): boolean;
  /** Aborted when the session is destroyed, and nothing can come of it any more. */
  readonly closed: AbortSignal;
  /** Keeps an eye on the freeing of an exec, which goes on after its result was given. */
  track(release: Promise<void>): void;
}

/** The process ended, but when it did nobody could tell how: never a made-up exit code. */
export function describeLostExit(error: unknown, execId: string): unknown {
  // Of a daemon that is away nothing is lost: the process runs on.
  if (!hasCode(error, 'not-found', 'unavailable') || isDaemonAway(error)) return error;
  return new DriverError('data-loss', `exec ${execId} ended and its exit code is lost`, {
    operation: 'exec',
    cause: error,
  });
}
