import type { Fault } from '../core/error.js';
import { readCores } from './canonical.js';
import { MIB } from './fields.js';
import { findMountContradictions, findSecretContradictions } from './mounts.js';
import { normaliseUlimit } from './names.js';
import { findNetworkContradictions } from './ports.js';
import { isRecord } from './rule.js';
import type { IsolationPolicy } from './types.js';

/**
 * Values that are each right and cannot all be meant. It is read from anything, as these are reported together with
 * values that are wrong by themselves.
 */
export function findContradictions(input: unknown): Fault[] {
  if (!isRecord(input)) return [];
  const { memory, cpu, networkIsolation, networkMode } = input;
  const resources = isRecord(input.resources) ? input.resources : {};
  const { memoryMb, cpus } = resources;
  const mode = networkIsolation === true ? 'none' : 'full';
  return [
    ...findDisagreement('memory', memory, 'resources.memoryMb', memoryMb, Number(memoryMb) * MIB === memory),
    ...findDisagreement('cpu', cpu, 'resources.cpus', cpus, readCores(cpu) === readCores(cpus)),
    ...findDisagreement('networkIsolation', networkIsolation, 'networkMode', networkMode, networkMode === mode),
    ...findUlimitFaults(resources.ulimits),
    ...findLateIds(input.userns),
    ...findMountContradictions(input.mounts),
    ...findSecretContradictions(input.secrets),
    ...findNetworkContradictions(input.network),
  ];
}

/** The last id is none: it stands for "no change" (chown(2)). */
function findLateIds(userns: unknown): Fault[] {
  const { uid, size } = isRecord(userns) ? userns : {};
  const most = 2 ** 32 - 1 - Number(uid);
  if (!(Number(size) > most)) return [];
  return [{ path: 'userns.size', value: size, expected: `at most ${Math.max(most, 0)}, as ids end at 4294967294` }];
}

/** Swap is counted together with memory; either may come from what the policy lies upon. */
export function findLoneSwap(input: unknown, { resources: base = {} }: IsolationPolicy): Fault[] {
  const { memory, resources } = isRecord(input) ? input : {};
  const { memoryMb = memory, memorySwapMb } = { ...base, ...(isRecord(resources) ? resources : {}) };
  if (memorySwapMb === undefined || memoryMb !== undefined) return [];
  return [{ path: 'resources.memorySwapMb', value: memorySwapMb, expected: 'a limit of memory beside it' }];
}

/** Both forms may meet in one policy, as long as they say the same. */
function findDisagreement(path: string, value: unknown, other: string, otherValue: unknown, agrees: boolean): Fault[] {
  if (value === undefined || otherValue === undefined || agrees) return [];
  return [{ path, value, expected: `the same as ${other}, or one of the two alone` }];
}

function findUlimitFaults(ulimits: unknown): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<string>();
  for (const [index, ulimit] of Array.isArray(ulimits) ? ulimits.entries() : []) {
    if (!isRecord(ulimit)) continue;
    const { type, soft, hard } = ulimit;
    const path = `resources.ulimits[${index}]`;
    if (typeof soft === 'number' && typeof hard === 'number' && soft > hard) {
      faults.push({ path: `${path}.soft`, value: soft, expected: `at most the hard limit, ${hard}` });
    }
    if (typeof type !== 'string') continue;
    // The runtime specification makes a second one of the same type an error of the whole spec.
    if (seen.has(normaliseUlimit(type)))
      faults.push({ path: `${path}.type`, value: type, expected: 'each limit once' });
    seen.add(normaliseUlimit(type));
  }
  return faults;
}
