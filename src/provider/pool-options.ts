import { randomBytes } from 'node:crypto';
import { CapabilityMismatchError, createInputError, type Fault } from '../core/error.js';
import { accept, aFunction, checkOptions, isRecord, type Rule, TIMER_MS } from '../policy/rule.js';
import { pattern, whole } from '../policy/schema.js';
import type { FlatPolicy, IsolationPolicy, ResolvedPolicy } from '../policy/types.js';
import { checkRuntimeChoice } from '../spec/runtime.js';
import { type CreateOptions, parseCreateOptions, type SessionOptions } from './create-options.js';
import type { ResolvedOptions } from './options.js';
import { listSessionFiles } from './session-files.js';

/** What the sessions of a pool are, and how many of them are kept. */
export interface PoolOptions
  extends Pick<SessionOptions, 'image' | 'runtime' | 'executor' | 'pull' | 'env' | 'metadata'> {
  /** Of every session. Its `secrets` and what it allows of the environment are given to a session when it is taken. */
  policy?: IsolationPolicy | FlatPolicy;
  /**
   * Processes of one host and daemon with a pool of this name take each other's sessions before they make one. Defaults to
   * a random name, which is nobody else's.
   */
  name?: string;
  /** Sessions that are kept ready. Defaults to 1. */
  min?: number;
  /** The most that there are at once, ready and being made; one that is taken counts no more. Defaults to `min` + 4. */
  max?: number;
  /** MiB that the limits of all of them may come to, which lowers `max`; the policy needs `resources.memoryMb`. */
  memoryMb?: number;
  /** Ms after which one that nobody has taken is removed. Defaults to 600,000. */
  maxAgeMs?: number;
  /** Sessions that are made at once while nobody waits. Defaults to 2. */
  refillConcurrency?: number;
  /** Sessions that are begun in a second while nobody waits. Defaults to 10. */
  refillPerSecond?: number;
  /**
   * Sessions of the pool share a process of runc's shim, at most so many each; true is 16. Its end stops all of them. Defaults
   * to false: each has its own.
   */
  sharedShim?: boolean | number;
  /** Ms for which a take waits that names no other. Defaults to 60,000. */
  waitMs?: number;
  /** Told what fails while sessions are made ahead or removed; `stats` counts it in any case. */
  onError?: (error: unknown) => void;
}

/** Of what a session of a pool may be when it is taken; what it is already may be said again. */
export type TakeOptions = CreateOptions & {
  /** Ms to wait for a session where none is ready. Defaults to the pool's. */
  waitMs?: number;
};

type Own =
  | 'name'
  | 'min'
  | 'max'
  | 'memoryMb'
  | 'maxAgeMs'
  | 'refillConcurrency'
  | 'refillPerSecond'
  | 'sharedShim'
  | 'waitMs'
  | 'onError';

export interface ResolvedPool extends Required<Omit<Pick<PoolOptions, Own>, 'onError' | 'memoryMb' | 'sharedShim'>> {
  /** Sessions that one shim may serve; undefined where each has its own. */
  shimWidth?: number;
  onError?: PoolOptions['onError'];
  /** As one that is created would be given it. */
  common: CreateOptions;
}

export const waitRule = whole(0, TIMER_MS, 'of ms');

const rules: Record<Own, Rule> = {
  name: pattern(
    '^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$',
    'at most 61 letters and digits, with single . _ - between them',
    61,
  ),
  min: whole(0, 1_000),
  max: whole(1, 1_000),
  memoryMb: whole(1, undefined, 'of MiB'),
  maxAgeMs: whole(1_000, TIMER_MS, 'of ms'),
  refillConcurrency: whole(1, 100),
  refillPerSecond: whole(1, 1_000),
  sharedShim: accept(
    (value) => typeof value === 'boolean' || (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 100),
    'true, false, or a whole number of sessions from 1 to 100',
  ),
  waitMs: waitRule,
  onError: aFunction,
};

/**
 * Sessions of a pool that one shim serves where no other number is asked for: four fifths of what sharing can save, and
 * fewer than the 24 starts at once at which a shim all but stops, were each of them at one.
 */
const SHIM_WIDTH = 16;

/** A session's own command would run before its environment and secrets are there; the others are the taker's. */
const takers = ['name', 'command', 'tty', 'stdin', 'ttlMs', 'signal', 'onProgress'];

/** Completes and checks the options; throws `CapabilityMismatchError` for what a session of a pool cannot have. */
export function resolvePool(given: PoolOptions, { base, worktreePath, runtime }: ResolvedOptions): ResolvedPool {
  const { policy: nested = {}, ...flat } = isRecord(given) ? (given as PoolOptions) : {};
  const isOwn = ([key, value]: [string, unknown]) => value !== undefined && Object.hasOwn(rules, key);
  const own: Pick<PoolOptions, Own> = Object.fromEntries(Object.entries(flat).filter(isOwn));
  const rest = Object.fromEntries(Object.entries(flat).filter(([key]) => !Object.hasOwn(rules, key)));
  checkOptions('pool options', isRecord(given) ? own : given, rules);
  const common = { ...nested, ...rest } as CreateOptions;
  const { min = 1, name = `pool-${randomBytes(6).toString('hex')}`, sharedShim = false } = own;
  const shimGroup = sharedShim === false ? {} : { shimGroup: name };
  const refused = [
    ...findGiven(common),
    ...checkRuntimeChoice({ runtime: common.runtime ?? runtime, ...shimGroup })
      .filter(({ path }) => path === 'shimGroup')
      .map((fault) => ({ ...fault, path: 'sharedShim', value: sharedShim })),
  ];
  if (refused.length > 0) throw new CapabilityMismatchError('containerd', refused);
  const { policy } = parseCreateOptions(common, base);
  // Secrets may come with a take, and nothing may hide their place.
  listSessionFiles({ ...policy, secrets: [...policy.secrets, { name: 'taken', value: '' }] }, worktreePath);
  const { max, faults } = boundSize({ ...own, min }, policy);
  if (faults.length > 0) throw createInputError('pool options', faults);
  const { maxAgeMs = 600_000, refillConcurrency = 2, refillPerSecond = 10, waitMs = 60_000, onError } = own;
  const rate = { maxAgeMs, refillConcurrency, refillPerSecond, waitMs };
  const shared = sharedShim === false ? {} : { shimWidth: sharedShim === true ? SHIM_WIDTH : sharedShim };
  const told = onError === undefined ? {} : { onError };
  return { name, min, max, ...rate, ...shared, ...told, common: { ...common, ...shimGroup } };
}

function findGiven(common: CreateOptions): Fault[] {
  const expected: Record<string, string> = {
    ...Object.fromEntries(
      takers.map((key) => [key, 'nothing, as sessions of a pool are there before anyone takes them']),
    ),
    shimGroup: 'sharedShim, which bounds how many sessions share one',
  };
  const given = Object.entries(common).filter(([key, value]) => value !== undefined && Object.hasOwn(expected, key));
  return given.map(([path]) => ({ path, value: '[given]', expected: expected[path] as string }));
}

function boundSize(
  { min, max = min + 4, memoryMb }: Pick<PoolOptions, 'max' | 'memoryMb'> & { min: number },
  policy: ResolvedPolicy,
) {
  const faults: Fault[] = [];
  if (max < min) faults.push({ path: 'max', value: max, expected: `at least min, which is ${min}` });
  const limit = policy.asked.resources?.memoryMb;
  if (memoryMb === undefined) return { max, faults };
  if (limit === undefined) {
    faults.push({ path: 'memoryMb', value: memoryMb, expected: 'a policy with resources.memoryMb beside it' });
    return { max, faults };
  }
  const least = limit * Math.max(min, 1);
  if (memoryMb < least)
    faults.push({ path: 'memoryMb', value: memoryMb, expected: `at least ${least}, for ${Math.max(min, 1)} sessions` });
  return { max: Math.min(max, Math.floor(memoryMb / limit)), faults };
}
