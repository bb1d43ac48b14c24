import { CapabilityMismatchError, createInputError, type Fault } from '../core/error.js';
import { findContradictions, readCores } from './contradictions.js';
import { MIB, policyKeys } from './fields.js';
import { type Findings, object, type Rules } from './rule.js';
import type { FlatPolicy, IsolationPolicy, ResolvedPolicy } from './types.js';

const PIDS_LIMIT = 512;

/**
 * Reads a policy in the canonical or the flat form from anything. Every fault is reported at once: unknown fields as a
 * `CapabilityMismatchError`, as nobody can honour them, with wrong values beside them; wrong values alone as
 * `invalid-argument`. Values of secrets are in no fault and no message. `beside` are keys that stand in the same object
 * and are no policy's: they are checked with it, and left to the caller.
 */
export function parsePolicy(input: unknown, beside: Rules = {}): ResolvedPolicy {
  const findings: Findings = { unknown: [], wrong: [] };
  object({ ...policyKeys, ...beside }).check(input, '', findings);
  const unknown = findings.unknown.map((fault) => hideSecrets(fault, true));
  const wrong = [...findings.wrong, ...findContradictions(input)].map((fault) => hideSecrets(fault, false));
  if (unknown.length > 0) throw new CapabilityMismatchError('containerd', [...unknown, ...wrong]);
  if (wrong.length > 0) throw createInputError('policy', wrong);
  const asked = Object.entries(input as object).filter(([key]) => Object.hasOwn(policyKeys, key));
  // A copy: the caller may change its own while the session is made. JSON also leaves out what is undefined.
  return resolve(JSON.parse(JSON.stringify(Object.fromEntries(asked))));
}

type Both = IsolationPolicy & FlatPolicy;

/**
 * Secrets also hide under a misspelt name, such as `secret`, and within an object that stands in the wrong place. Only
 * a text of a field that is known, and what cannot be a secret, is shown.
 */
function hideSecrets(fault: Fault, isUnknown: boolean): Fault {
  const { value, path: given } = fault;
  const path = given === '' ? 'policy' : given;
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  const mayTell = (typeof value === 'object' && value !== null && !isEmpty) || typeof value === 'function';
  const isText = typeof value === 'string' && (isUnknown || given === '');
  return { ...fault, path, value: mayTell || isText || isSecret(path, value) ? '[hidden]' : value };
}

function isSecret(path: string, value: unknown): boolean {
  return /^secrets\b/.test(path) && value !== undefined;
}

function resolve({ memory, cpu, networkIsolation, ...asked }: Both): ResolvedPolicy {
  const { memoryMb, memorySwapMb, pidsLimit, ulimits, cpuShares, oomScoreAdj, timeoutMs } = asked.resources ?? {};
  const memoryBytes = memory ?? (memoryMb === undefined ? undefined : memoryMb * MIB);
  const cores = cpu ?? asked.resources?.cpus;
  const cpus = cores === undefined ? undefined : Number(readCores(cores));
  const isolated = networkIsolation === false ? 'full' : 'none';
  return {
    networkMode: asked.networkMode ?? isolated,
    readOnlyRootfs: asked.readOnlyRootfs ?? false,
    noNewPrivileges: asked.noNewPrivileges ?? true,
    ...(asked.user === undefined ? {} : { user: asked.user }),
    capabilities: { add: asked.capabilities?.add ?? [], drop: asked.capabilities?.drop ?? [] },
    seccomp: asked.seccomp === 'unconfined' ? 'unconfined' : 'default',
    mounts: asked.mounts ?? [],
    resources: {
      pidsLimit: pidsLimit ?? PIDS_LIMIT,
      ulimits: ulimits ?? [],
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(memorySwapMb === undefined ? {} : { memorySwapBytes: memorySwapMb * MIB }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(cpuShares === undefined ? {} : { cpuShares }),
      ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
    asked,
    aliases: {
      ...(memory === undefined ? {} : { 'resources.memoryMb': 'memory' }),
      ...(cpu === undefined ? {} : { 'resources.cpus': 'cpu' }),
      ...(networkIsolation === undefined ? {} : { networkMode: 'networkIsolation' }),
    },
  };
}
