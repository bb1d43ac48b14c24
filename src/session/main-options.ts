import { Readable, Writable } from 'node:stream';
import { abortSignal, accept, checkOptions, type Rule, TIMER_MS } from '../policy/rule.js';
import { boolean, text, whole } from '../policy/schema.js';
import type { AttachOptions } from './attach.js';
import type { LogOptions } from './logs.js';
import type { WatchStatsOptions } from './stats.js';
import type { StartOptions, StopOptions } from './task.js';

const writable = accept((value) => value instanceof Writable, 'a Writable');

const rules: {
  logs: Record<keyof LogOptions, Rule>;
  attach: Record<keyof AttachOptions, Rule>;
  start: Record<keyof StartOptions, Rule>;
  stop: Record<keyof StopOptions, Rule>;
  watchStats: Record<keyof WatchStatsOptions, Rule>;
} = {
  logs: { follow: boolean, tail: whole(0, undefined, 'of lines'), signal: abortSignal },
  attach: {
    stdin: accept((value) => value instanceof Readable, 'a Readable'),
    stdout: writable,
    stderr: writable,
    replay: boolean,
    signal: abortSignal,
  },
  start: { runtime: text() },
  stop: { timeoutMs: whole(0, TIMER_MS, 'of ms'), signal: abortSignal },
  watchStats: { intervalMs: whole(1, TIMER_MS, 'of ms'), signal: abortSignal },
};

const required: Partial<Record<keyof typeof rules, string[]>> = { attach: ['stdout'], watchStats: ['intervalMs'] };

/** Throws `invalid-argument` with every fault: a wrong value, a key that is missing, a key that there is not. */
export function checkMainOptions(what: keyof typeof rules, options: object): void {
  checkOptions(`${what} options`, options, rules[what], required[what]);
}
