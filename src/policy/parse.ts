import { CapabilityMismatchError, createInputError } from '../core/error.js';
import { readCanonical } from './canonical.js';
import { findContradictions, findLoneSwap } from './contradictions.js';
import { layBase, nameProfile, type PolicyBase, plainBase } from './defaults.js';
import { MIB, policyKeys } from './fields.js';
import { findIdleRules } from './ports.js';
import { mergePolicies } from './profiles.js';
import { type Findings, isRecord, object, type Rules } from './rule.js';
import type { Layer, ResolvedPolicy } from './types.js';

const PIDS_LIMIT = 512;
/**
 * Above what useradd gives to users (SUB_UID_MAX of login.defs) and what systemd gives to containers, and below what it
 * keeps for files of others (UIDS-GIDS.md, "Summary").
 */
const USERNS = { uid: 1_879_048_192, size: 65_536 };

export interface ParseOptions {
  /** Keys that stand in the same object and are no policy's: they are checked with it, and left to the caller. */
  beside?: Rules;
  /** Defaults to the built-in profiles alone. */
  base?: PolicyBase;
}

/**
 * Reads a policy in the canonical or the flat form from anything, and lays it upon its profile and the provider's own
 * policy. Every fault is reported at once: unknown fields as a `CapabilityMismatchError`, as nobody can honour them,
 * with wrong values beside them; wrong values alone as `invalid-argument`. Values of secrets are in no fault and no
 * message.
 */
export function parsePolicy(input: unknown, { beside = {}, base = plainBase }: ParseOptions = {}): ResolvedPolicy {
  const { unknown, wrong }: Findings = { unknown: [], wrong: [] };
  const keys = { ...policyKeys, profile: nameProfile(Object.keys(base.profiles)), ...beside };
  object(keys).check(input, '', { unknown, wrong });
  const named = isRecord(input) && typeof input.profile === 'string' ? input.profile : undefined;
  const profile = named ?? base.profile;
  const lower = layBase(base, profile);
  wrong.push(...findContradictions(input), ...findLoneSwap(input, lower), ...findIdleRules(input, lower));
  // What is given instead of an object has no path of its own.
  const faults = [...unknown, ...wrong].map((fault) => ({ ...fault, path: fault.path || 'policy' }));
  if (unknown.length > 0) throw new CapabilityMismatchError('containerd', faults);
  if (wrong.length > 0) throw createInputError('policy', faults);
  const { policy, aliases } = readCanonical(input as object);
  const { profile: _, ...asked } = mergePolicies(lower, policy);
  return { profile, ...resolve(asked), asked, aliases };
}

function resolve(asked: Layer): Omit<ResolvedPolicy, 'profile' | 'asked' | 'aliases'> {
  const { memoryMb, memorySwapMb, cpus, pidsLimit, ulimits, cpuShares, oomScoreAdj, ioWeight, timeoutMs } =
    asked.resources ?? {};
  return {
    networkMode: asked.networkMode ?? 'full',
    readOnlyRootfs: asked.readOnlyRootfs ?? false,
    noNewPrivileges: asked.noNewPrivileges ?? true,
    ...(asked.user === undefined ? {} : { user: asked.user }),
    capabilities: { add: asked.capabilities?.add ?? [], drop: asked.capabilities?.drop ?? [] },
    seccomp: asked.seccomp ?? 'default',
    ...(asked.apparmor === undefined ? {} : { apparmor: asked.apparmor }),
    ...(asked.userns ? { userns: asked.userns === true ? USERNS : asked.userns } : {}),
    sysctls: asked.sysctls ?? {},
    mounts: asked.mounts ?? [],
    envAllowlist: asked.envAllowlist ?? [],
    secrets: asked.secrets ?? [],
    resources: {
      pidsLimit: pidsLimit ?? PIDS_LIMIT,
      ulimits: ulimits ?? [],
      ...(memoryMb === undefined ? {} : { memoryBytes: memoryMb * MIB }),
      ...(memorySwapMb === undefined ? {} : { memorySwapBytes: memorySwapMb * MIB }),
      ...(cpus === undefined ? {} : { cpus: Number(cpus) }),
      ...(cpuShares === undefined ? {} : { cpuShares }),
      ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
      ...(ioWeight === undefined ? {} : { ioWeight }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
  };
}
