import { Readable, Writable } from 'node:stream';
import { createInputError, type Fault } from '../core/error.js';
import { suggestKey } from '../policy/suggest.js';
import type { AttachOptions } from './attach.js';
import type { LogOptions } from './logs.js';
import type { WatchStatsOptions } from './stats.js';
import type { StopOptions } from './task.js';

type Rules<T> = Record<keyof T, [accepts: (value: unknown) => boolean, expected: string]>;

/** The longest that a timer of Node runs; a longer one would end at once. */
const TIMER_MS = 2 ** 31 - 1;

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isBoolean = (value: unknown) => typeof value === 'boolean';
const isWritable = (value: unknown) => value instanceof Writable;
const optional = (accepts: (value: unknown) => boolean) => (value: unknown) => value === undefined || accepts(value);
const signal: Rules<{ signal: unknown }>['signal'] = [
  optional((value) => value instanceof AbortSignal),
  'an AbortSignal',
];

const rules: {
  logs: Rules<LogOptions>;
  attach: Rules<AttachOptions>;
  stop: Rules<StopOptions>;
  watchStats: Rules<WatchStatsOptions>;
} = {
  logs: {
    follow: [optional(isBoolean), 'true or false'],
    tail: [optional(isCount), 'a whole number of lines'],
    signal,
  },
  attach: {
    stdin: [optional((value) => value instanceof Readable), 'a Readable'],
    stdout: [isWritable, 'a Writable'],
    stderr: [optional(isWritable), 'a Writable'],
    replay: [optional(isBoolean), 'true or false'],
    signal,
  },
  stop: {
    timeoutMs: [optional((value) => isCount(value) && (value as number) <= TIMER_MS), `whole ms from 0 to ${TIMER_MS}`],
    signal,
  },
  watchStats: {
    intervalMs: [
      (value) => isCount(value) && value !== 0 && (value as number) <= TIMER_MS,
      `whole ms from 1 to ${TIMER_MS}`,
    ],
    signal,
  },
};

/** Throws `invalid-argument` with every fault: a wrong value, a key that is missing, a key that there is not. */
export function checkMainOptions(what: keyof typeof rules, options: object): void {
  const known: Rules<Record<string, unknown>> = { ...rules[what] };
  const given = new Map<string, unknown>(Object.entries(options));
  const faults: Fault[] = [...given.keys()]
    .filter((path) => !Object.hasOwn(known, path))
    .map((path) => {
      const suggestion = suggestKey(path, Object.keys(known));
      const expected = `one of ${Object.keys(known).join(', ')}`;
      return { path, value: given.get(path), expected, ...(suggestion === undefined ? {} : { suggestion }) };
    });
  for (const [path, [accepts, expected]] of Object.entries(known)) {
    if (!accepts(given.get(path))) faults.push({ path, value: given.get(path), expected });
  }
  if (faults.length > 0) throw createInputError(`${what} options`, faults);
}
