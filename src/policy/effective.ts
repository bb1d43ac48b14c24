import { createHash } from 'node:crypto';
import { normaliseUlimit } from './names.js';
import type { ResolvedPolicy } from './types.js';

/**
 * What a policy comes to, by path, with its defaults and in one spelling: two that ask for the same have the same. Of
 * secrets there are the names and never the values.
 */
export function listEffective(policy: ResolvedPolicy): ReadonlyMap<string, unknown> {
  const { networkMode, readOnlyRootfs, noNewPrivileges, capabilities, resources, asked } = policy;
  const { mounts = [], secrets = [], resources: limits = {}, capabilities: _, network, ...rest } = asked;
  const { ulimits = [], ...others } = limits;
  const entries: [string, unknown][] = [
    ...Object.entries({
      seccomp: 'default',
      ...rest,
      userns: policy.userns,
      networkMode,
      readOnlyRootfs,
      noNewPrivileges,
    }),
    ...Object.entries(network ?? {}).map(([key, value]): [string, unknown] => [`network.${key}`, value]),
    ['capabilities.add', listCapabilities(capabilities.add)],
    ['capabilities.drop', listCapabilities(capabilities.drop)],
    ...mounts.map((mount): [string, unknown] => [`mounts.${mount.target ?? mount.path}`, { type: 'bind', ...mount }]),
    ...secrets.map(({ name, as = 'file' }): [string, unknown] => [`secrets.${name}`, { as }]),
    ...Object.entries({ ...others, pidsLimit: resources.pidsLimit }).map(([key, value]): [string, unknown] => [
      `resources.${key}`,
      value,
    ]),
    ...ulimits.map(({ type, soft, hard }): [string, unknown] => [
      `resources.ulimits.${normaliseUlimit(type)}`,
      { soft, hard },
    ]),
  ];
  return new Map(entries.filter(([, value]) => value !== undefined).sort(([one], [other]) => (one < other ? -1 : 1)));
}

/** Names what a policy comes to: SHA-256, in hex. Values of secrets have no part in it. */
export function hashPolicy(policy: ResolvedPolicy): string {
  const text = JSON.stringify([...listEffective(policy)].map(([path, value]) => [path, sortKeys(value)]));
  return createHash('sha256').update(text).digest('hex');
}

function listCapabilities(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.toUpperCase().replace(/^CAP_/, '')))].sort();
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sortKeys(item)]));
}
