import { MIB, policyKeys } from './fields.js';
import type { FlatPolicy, IsolationPolicy, ResolvedPolicy } from './types.js';

/** A policy in one form, and which of its paths were given under a name of the flat one. */
export interface CanonicalPolicy extends Pick<ResolvedPolicy, 'aliases'> {
  policy: IsolationPolicy;
}

/** A copy of the policy in what has been checked: the caller may change its own. JSON also leaves out what is undefined. */
export function readCanonical(checked: object): CanonicalPolicy {
  const entries = Object.entries(checked).filter(([key]) => Object.hasOwn(policyKeys, key));
  return normalise(JSON.parse(JSON.stringify(Object.fromEntries(entries))));
}

/** Cores, which may be given as millicores: 500m. */
export function readCores(cpu: unknown): unknown {
  return typeof cpu === 'string' ? Number(cpu.slice(0, -1)) / 1000 : cpu;
}

/** Bytes are divided by a power of two, which loses nothing. */
function normalise({ memory, cpu, networkIsolation, ...policy }: IsolationPolicy & FlatPolicy): CanonicalPolicy {
  const cores = cpu ?? policy.resources?.cpus;
  const resources = {
    ...policy.resources,
    ...(memory === undefined ? {} : { memoryMb: memory / MIB }),
    ...(cores === undefined ? {} : { cpus: Number(readCores(cores)) }),
  };
  return {
    policy: {
      ...policy,
      ...(networkIsolation === undefined ? {} : { networkMode: networkIsolation ? 'none' : 'full' }),
      ...(Object.keys(resources).length === 0 ? {} : { resources }),
    },
    aliases: {
      ...(memory === undefined ? {} : { 'resources.memoryMb': 'memory' }),
      ...(cpu === undefined ? {} : { 'resources.cpus': 'cpu' }),
      ...(networkIsolation === undefined ? {} : { networkMode: 'networkIsolation' }),
    },
  };
}
