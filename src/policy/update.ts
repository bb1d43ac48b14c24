import { CapabilityMismatchError, createInputError, type Fault } from '../core/error.js';
import { findMismatches, type Place } from './capabilities.js';
import { parsePolicy } from './parse.js';
import { isRecord } from './rule.js';
import type { NetworkMode, ResolvedPolicy, ResourceLimits } from './types.js';

/** Limits that belong to a control group, and so can change while a session runs; the others are each process's own. */
const liveLimits: readonly string[] = [
  'memoryMb',
  'memorySwapMb',
  'cpus',
  'cpuShares',
  'pidsLimit',
  'ioWeight',
] satisfies (keyof ResourceLimits)[];

/** Of the rules of an allowlist. */
const ALLOW = 'network.allow';

/** Whether `session.update()` can change what a policy has at this path. */
export function isLive(path: string): boolean {
  return path === ALLOW || liveLimits.some((key) => path === `resources.${key}`);
}

/** What a session has, as far as it matters to what it may become. */
export interface UpdateBase {
  /** Its limit of memory: one of swap alone goes beyond it. */
  memoryBytes?: number | undefined;
  networkMode: NetworkMode;
  /** Where it runs. */
  place: Place;
}

/**
 * Reads a change to a running session, by the rules of the policy. Throws `invalid-argument` for wrong values, and
 * `CapabilityMismatchError` for what only a new session can have and for limits that none has where it runs.
 */
export function parseUpdate(patch: unknown, { memoryBytes, networkMode, place }: UpdateBase): ResolvedPolicy {
  const { resources, network, ...others } = isRecord(patch) ? patch : {};
  const limits = isRecord(resources) ? resources : {};
  const isBase = memoryBytes !== undefined && limits.memoryMb === undefined && limits.memorySwapMb !== undefined;
  const beside = { ...(isBase ? { memory: memoryBytes } : {}), ...(network === undefined ? {} : { networkMode }) };
  const resolved = parsePolicy(isRecord(patch) ? { ...beside, ...patch } : patch);
  const asked = listGiven(limits);
  const rules = listGiven(isRecord(network) ? network : {});
  const fixed = [
    ...listGiven(others).map(([path]) => refuse(path, '[given]', 'resources and network.allow alone')),
    ...asked.filter(([key]) => !liveLimits.includes(key)).map(refuseIn('resources', `one of ${liveLimits.join(', ')}`)),
    ...rules.filter(([key]) => key !== 'allow').map(refuseIn('network', 'allow alone')),
  ];
  const paths = fixed.map(({ path }) => path);
  // The rest of what it resolves to are defaults, and not what this session has.
  const isAsked = ({ path }: Fault) => path.startsWith('resources.') && !paths.includes(path);
  const faults = [...fixed, ...findMismatches(resolved, place).filter(isAsked)];
  if (faults.length > 0) throw new CapabilityMismatchError('containerd', faults);
  if (asked.length > 0 || rules.length > 0) return resolved;
  throw createInputError('update', [
    { path: 'resources', value: resources, expected: `one of ${liveLimits.join(', ')}, or ${ALLOW} beside it` },
  ]);
}

function listGiven(given: object): [string, unknown][] {
  return Object.entries(given).filter(([, value]) => value !== undefined);
}

function refuse(path: string, value: unknown, live: string): Fault {
  return { path, value, expected: `${live}, as it takes a new session` };
}

function refuseIn(parent: string, live: string) {
  return ([key, value]: [string, unknown]): Fault => refuse(`${parent}.${key}`, value, live);
}
