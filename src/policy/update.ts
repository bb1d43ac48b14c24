import { CapabilityMismatchError, createInputError, type Fault } from '../core/error.js';
import { parsePolicy } from './parse.js';
import { isRecord } from './rule.js';
import type { ResolvedPolicy, ResourceLimits } from './types.js';

/** Limits that belong to a control group, and so can change while a session runs; the others are each process's own. */
const liveLimits: readonly string[] = [
  'memoryMb',
  'memorySwapMb',
  'cpus',
  'cpuShares',
  'pidsLimit',
  'ioWeight',
] satisfies (keyof ResourceLimits)[];

/** Whether `session.update()` can change what a policy has at this path. */
export function isLive(path: string): boolean {
  return liveLimits.some((key) => path === `resources.${key}`);
}

/**
 * Reads a change to a running session, by the rules of the policy. Throws `invalid-argument` for wrong values, and
 * `CapabilityMismatchError` for what only a new session can have. `memoryBytes` is the limit that there is: a limit of
 * swap alone goes beyond it.
 */
export function parseUpdate(patch: unknown, memoryBytes?: number): ResolvedPolicy {
  const { resources } = isRecord(patch) ? patch : {};
  const limits = isRecord(resources) ? resources : {};
  const isBase = memoryBytes !== undefined && limits.memoryMb === undefined && limits.memorySwapMb !== undefined;
  const resolved = parsePolicy(isRecord(patch) && isBase ? { memory: memoryBytes, ...patch } : patch);
  const asked = Object.entries(limits).filter(([, value]) => value !== undefined);
  const faults = [...findFixed(patch, 'resources'), ...asked.flatMap(([key, value]) => findFixedLimit(key, value))];
  if (faults.length > 0) throw new CapabilityMismatchError('containerd', faults);
  if (asked.length > 0) return resolved;
  throw createInputError('update', [
    { path: 'resources', value: resources, expected: `one of ${liveLimits.join(', ')}` },
  ]);
}

function findFixed(patch: unknown, live: string): Fault[] {
  const others = Object.entries(patch as object).filter(([key, value]) => key !== live && value !== undefined);
  return others.map(([path]) => ({ path, value: '[given]', expected: `${live} alone, as it takes a new session` }));
}

function findFixedLimit(key: string, value: unknown): Fault[] {
  if (liveLimits.includes(key)) return [];
  return [{ path: `resources.${key}`, value, expected: `one of ${liveLimits.join(', ')}, as it takes a new session` }];
}
