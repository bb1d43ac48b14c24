import { HOST_NETWORK } from './ports.js';
import { isRecord } from './rule.js';
import type { NetworkRules, ResolvedPolicy, ResourceLimits } from './types.js';

/** What a policy can ask for that a place may lack. A field whose values are honoured one by one has a name for each. */
export const features = [
  'networkMode.none',
  'networkMode.allowlist',
  'networkMode.full',
  'network.name',
  'network.host',
  'network.allow',
  'network.dns',
  'network.ports',
  'network.bandwidthKbps',
  'envAllowlist',
  'secrets',
  'mounts.bind',
  'mounts.tmpfs',
  'mounts.volume',
  'readOnlyRootfs',
  'user',
  'noNewPrivileges',
  'capabilities',
  'seccomp.default',
  'seccomp.strict',
  'seccomp.unconfined',
  'seccomp.path',
  'apparmor',
  'userns',
  'sysctls',
  'healthCheck',
  'resources.cpuShares',
  'resources.cpus',
  'resources.diskMb',
  'resources.ioWeight',
  'resources.memoryMb',
  'resources.memorySwapMb',
  'resources.oomScoreAdj',
  'resources.pidsLimit',
  'resources.timeoutMs',
  'resources.ulimits',
] as const;

/** A field of a policy, or one value of it, that a place may lack. */
export type Feature = (typeof features)[number];

export interface Demand {
  feature: Feature;
  /** Of the canonical form. */
  path: string;
  value: unknown;
  /** Nobody asked for it: it is what a session has if it can be had. */
  isDefault?: boolean;
}

/** Fields that are honoured as a whole. A false one, an empty list and an empty object ask for nothing. */
const whole = [
  'envAllowlist',
  'secrets',
  'readOnlyRootfs',
  'user',
  'noNewPrivileges',
  'capabilities',
  'apparmor',
  'userns',
  'sysctls',
  'healthCheck',
] as const;

/** Their values are nobody's to read. */
const hidden: readonly string[] = ['envAllowlist', 'secrets'];

/** Everything that a policy asks for, and what it has without asking. */
export function listDemands({ asked, networkMode, mounts }: ResolvedPolicy): Demand[] {
  const { seccomp = 'default', resources = {} } = asked;
  // Rules of what it lies upon mean nothing to a session without a network.
  const network = networkMode === 'none' ? {} : (asked.network ?? {});
  const fields = whole.filter((field) => isAsked(asked[field]));
  const rules = Object.entries(network).filter(([, value]) => isAsked(value));
  const limits = Object.entries(resources).filter(([, value]) => isAsked(value));
  return [
    { feature: `networkMode.${networkMode}`, path: 'networkMode', value: networkMode },
    ...fields.map(
      (field): Demand => ({
        feature: field,
        path: field,
        value: hidden.includes(field) ? '[hidden]' : asked[field],
      }),
    ),
    {
      feature: `seccomp.${typeof seccomp === 'object' ? 'path' : seccomp}`,
      path: 'seccomp',
      value: seccomp,
      isDefault: asked.seccomp === undefined,
    },
    ...mounts.map(
      ({ type = 'bind' }, index): Demand => ({
        feature: `mounts.${type}`,
        path: `mounts[${index}]`,
        value: type,
      }),
    ),
    ...rules.map(
      ([key, value]): Demand => ({
        feature: value === HOST_NETWORK ? 'network.host' : `network.${key as keyof NetworkRules}`,
        path: `network.${key}`,
        value,
      }),
    ),
    ...limits.map(
      ([key, value]): Demand => ({
        feature: `resources.${key as keyof ResourceLimits}`,
        path: `resources.${key}`,
        value,
      }),
    ),
  ];
}

function isAsked(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return isRecord(value) ? Object.keys(value).length > 0 : value !== undefined && value !== false;
}
