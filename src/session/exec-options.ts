import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { createInputError } from '../core/error.js';
import { abortSignal, accept, aFunction, checkOptions, environment, type Rule, TIMER_MS } from '../policy/rule.js';
import { boolean, oneOf, shape, shapeOr, whole } from '../policy/schema.js';
import type { KillReport } from './kill-tree.js';

/** Of a terminal, in characters. */
export interface TtySize {
  /** From 1 to 65,535. */
  cols: number;
  /** From 1 to 65,535. */
  rows: number;
}

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
  /** Ends the command as a timeout does; the result has `isCanceled`. Aborted before it runs: rejects `canceled`. */
  signal?: AbortSignal;
  /** What the command reads, up to its end. A Readable that fails ends the command and rejects. Without it and without `stdin: 'pipe'` the command reads EOF at once. */
  input?: string | Uint8Array | Readable;
  /** `pipe` connects `execution.stdin`. Defaults to `ignore`, which is end of input at once. */
  stdin?: 'ignore' | 'pipe';
  /** A terminal, of 80 columns and 24 rows unless said. It merges stderr into stdout and ends lines with CRLF. */
  tty?: boolean | TtySize;
  /** Text as it comes; never half a character. What it throws ends the command and rejects. */
  onStdout?: (chunk: string) => void;
  /** As `onStdout`. Never called with a terminal, which merges the streams. */
  onStderr?: (chunk: string) => void;
  /**
   * What a timeout or an abort sends. Defaults to SIGKILL, which ends the whole tree at once; with SIGTERM the command
   * may end before the rest is killed. Any other goes to the command alone, which runs on if it does not mind.
   */
  killSignal?: NodeJS.Signals;
  /** Ms between SIGTERM and the kill of the tree. Defaults to 5000. */
  forceKillAfterDelayMs?: number;
  /** Bytes kept of each stream; what is beyond is counted in `truncated`, the command runs on. Defaults to 16 MiB. */
  maxBuffer?: number;
  /**
   * Ms for which streams that a background child still holds are read on after the end of the command. What the command
   * itself wrote is there in any case, and the child lives on. Defaults to 2500.
   */
  drainMs?: number;
}

const defaults = { maxBuffer: 16 * 1024 * 1024, drainMs: 2_500, forceKillAfterDelayMs: 5_000 };

export type ResolvedExecOptions = ExecOptions & typeof defaults;

const ms = whole(0, TIMER_MS, 'of ms');
const side = whole(1, 65_535);

/** What each key accepts; `buildExecProcess` checks env, cwd and user further. */
const rules: Record<keyof ExecOptions, Rule> = {
  env: environment,
  cwd: accept(isText, 'an absolute path'),
  timeoutMs: whole(1, TIMER_MS, 'of ms'),
  user: accept(isText, 'name, uid, uid:gid or name:group'),
  signal: abortSignal,
  input: accept(
    (value) => isText(value) || value instanceof Uint8Array || value instanceof Readable,
    'a text, bytes or a Readable',
  ),
  stdin: oneOf('ignore', 'pipe'),
  tty: shapeOr('true, false or { cols, rows }', shape({ cols: side, rows: side }, ['cols', 'rows']), boolean),
  onStdout: aFunction,
  onStderr: aFunction,
  killSignal: oneOf(...Object.keys(constants.signals)),
  forceKillAfterDelayMs: ms,
  maxBuffer: whole(0, undefined, 'of bytes'),
  drainMs: ms,
};

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

/** Completes and checks options; every fault is reported at once. */
export function resolveExecOptions(options: ExecOptions, timeoutMs: number | undefined): ResolvedExecOptions {
  checkOptions('exec options', options, rules);
  if (options.input !== undefined && options.stdin === 'pipe') {
    throw createInputError('exec options', [{ path: 'stdin', value: 'pipe', expected: 'ignore, as input is given' }]);
  }
  // A key that is there without a value is as good as absent.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...(timeoutMs === undefined ? {} : { timeoutMs }), ...given };
}

/** How a command ended. */
export interface ExecResult {
  /** Unique in its session. */
  execId: string;
  /** The command's own; 128 + n when signal n ended it; 124 after a timeout. */
  exitCode: number;
  /** UTF-8; at most `maxBuffer` bytes of it. */
  stdout: string;
  /** As `stdout`. Empty with a terminal. */
  stderr: string;
  /** The deadline ended it. Absent where it did not. */
  timedOut?: boolean;
  /** The signal that ended the command, as far as its exit code tells. */
  signal?: NodeJS.Signals;
  /** From its start to the end of its output. */
  durationMs: number;
  /** `signal` ended it. */
  isCanceled: boolean;
  /** The kernel ended it, or something that it had started, for want of memory. */
  oomKilled: boolean;
  /** Bytes beyond `maxBuffer`, with those of a character that it cuts in two. */
  truncated: { stdout: number; stderr: number };
  /** What the kill of a timeout, an abort or `kill()` reached. */
  kill?: KillReport;
}
