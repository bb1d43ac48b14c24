import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { createInputError, type Fault } from '../core/error.js';
import { suggestKey } from '../policy/suggest.js';
import type { KillReport } from './kill-tree.js';

export interface TtySize {
  cols: number;
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
  stdin?: 'ignore' | 'pipe';
  /** A terminal, of 80 columns and 24 rows unless said. It merges stderr into stdout and ends lines with CRLF. */
  tty?: boolean | TtySize;
  /** Text as it comes; never half a character. What it throws ends the command and rejects. */
  onStdout?: (chunk: string) => void;
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

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown) => typeof value === 'string';
const isSize = (value: unknown) => Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536;
/** Longer ones overflow Node's timers, which then fire at once. */
const TIMER_MS = 2 ** 31 - 1;

/** What each key accepts; `buildExecProcess` checks env, cwd and user further. */
const rules: Record<keyof ExecOptions, [accepts: (value: unknown) => boolean, expected: string]> = {
  env: [(value) => typeof value === 'object' && value !== null, 'an object of texts'],
  cwd: [isText, 'an absolute path'],
  timeoutMs: [(value) => isCount(value) && value !== 0 && (value as number) <= TIMER_MS, `ms from 1 to ${TIMER_MS}`],
  user: [isText, 'name, uid, uid:gid or name:group'],
  signal: [(value) => value instanceof AbortSignal, 'an AbortSignal'],
  input: [
    (value) => isText(value) || value instanceof Uint8Array || value instanceof Readable,
    'a text, bytes or a Readable',
  ],
  stdin: [(value) => value === 'ignore' || value === 'pipe', 'ignore or pipe'],
  tty: [
    (value) =>
      typeof value === 'boolean' ||
      (typeof value === 'object' &&
        value !== null &&
        isSize((value as TtySize).cols) &&
        isSize((value as TtySize).rows)),
    'true, false or { cols, rows }, each from 1 to 65535',
  ],
  onStdout: [(value) => typeof value === 'function', 'a function'],
  onStderr: [(value) => typeof value === 'function', 'a function'],
  killSignal: [(value) => isText(value) && (value as string) in constants.signals, 'a signal name such as SIGTERM'],
  forceKillAfterDelayMs: [(value) => isCount(value) && (value as number) <= TIMER_MS, `ms from 0 to ${TIMER_MS}`],
  maxBuffer: [isCount, 'a whole number of bytes'],
  drainMs: [(value) => isCount(value) && (value as number) <= TIMER_MS, `ms from 0 to ${TIMER_MS}`],
};

/** Completes and checks options; every fault is reported at once. */
export function resolveExecOptions(options: ExecOptions, timeoutMs: number | undefined): ResolvedExecOptions {
  const faults: Fault[] = [];
  for (const [path, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, path) ? rules[path as keyof ExecOptions] : undefined;
    if (rule === undefined) faults.push(describeUnknown(path, value));
    else if (value !== undefined && !rule[0](value)) faults.push({ path, value, expected: rule[1] });
  }
  if (options.input !== undefined && options.stdin === 'pipe') {
    faults.push({ path: 'stdin', value: 'pipe', expected: 'ignore, as input is given' });
  }
  if (faults.length > 0) throw createInputError('exec options', faults);
  // A key that is there without a value is as good as absent.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...defaults, ...(timeoutMs === undefined ? {} : { timeoutMs }), ...given };
}

function describeUnknown(path: string, value: unknown): Fault {
  const known = Object.keys(rules);
  const suggestion = suggestKey(path, known);
  return { path, value, expected: `one of ${known.join(', ')}`, ...(suggestion === undefined ? {} : { suggestion }) };
}

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
  /** The kernel ended it, or something that it had started, for want of memory. */
  oomKilled: boolean;
  /** Bytes beyond `maxBuffer`, with those of a character that it cuts in two. */
  truncated: { stdout: number; stderr: number };
  /** What the kill of a timeout, an abort or `kill()` reached. */
  kill?: KillReport;
}
