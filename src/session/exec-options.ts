import type { Readable } from 'node:stream';
import type { KillReport } from './kill-tree.js';

/** How a command is run inside a session. Keys that are not listed here are refused. */
export interface ExecOptions {
  /** Added to the environment of the session; a key of both has this value. */
  env?: Record<string, string>;
  /** Absolute and clean. Defaults to the session's working directory. */
  cwd?: string;
  /** Ms after which the whole tree of the command is killed. Defaults to the policy's `resources.timeoutMs`, else none. */
  timeoutMs?: number;
  /** `name`, `uid`, `uid:gid` or `name:group`. Defaults to the session's user. */
  user?: string;
  /** Ends the command as a timeout does; the result has `isCanceled`. */
  signal?: AbortSignal;
  /** What the command reads, up to its end. Without it and without `stdin: 'pipe'` the command reads EOF at once. */
  input?: string | Uint8Array | Readable;
  stdin?: 'ignore' | 'pipe';
  /** A terminal, of 80 columns and 24 rows unless said. It merges stderr into stdout and ends lines with CRLF. */
  tty?: boolean | { cols: number; rows: number };
  /** Text as it comes; never half a character. */
  onStdout?: (chunk: string) => void;
  onStderr?: (chunk: string) => void;
  /** What a timeout or an abort sends. Defaults to SIGKILL, which ends the whole tree. */
  killSignal?: NodeJS.Signals;
  /** Ms between SIGTERM and the kill of the tree. Defaults to 5000. */
  forceKillAfterDelayMs?: number;
  /** Bytes kept of each stream; what is beyond is counted in `truncated`, the command runs on. Defaults to 16 MiB. */
  maxBuffer?: number;
  /**
   * Ms without output after which streams that a background child still holds are no longer waited for, counted from
   * the end of the command. Defaults to 2500.
   */
  drainMs?: number;
}

export const execDefaults = { maxBuffer: 16 * 1024 * 1024, drainMs: 2_500, forceKillAfterDelayMs: 5_000 };

export interface ExecResult {
  execId: string;
  /** The command's own; 128 + n when signal n ended it; 124 after a timeout. */
  exitCode: number;
  stdout: string;
  stderr: string;
  timedOut?: boolean;
  /** The signal that ended the command, as far as its exit code tells. */
  signal?: NodeJS.Signals;
  durationMs: number;
  isCanceled: boolean;
  /** The kernel ended it for want of memory. */
  oomKilled: boolean;
  /** Bytes beyond `maxBuffer`. */
  truncated: { stdout: number; stderr: number };
  /** What the kill of a timeout, an abort or `kill()` reached. */
  kill?: KillReport;
}
