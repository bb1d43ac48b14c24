import { readCanonical } from './canonical.js';
import { findContradictions } from './contradictions.js';
import { layerKeys } from './fields.js';
import { builtInProfiles, mergePolicies } from './profiles.js';
import { dictionary, isRecord, object, type Rule } from './rule.js';
import { suggestKey } from './suggest.js';
import type { FlatPolicy, IsolationPolicy, Layer } from './types.js';

/** What the policies of one provider lie upon. */
export interface PolicyDefaults {
  /** Name of the profile of a policy that names none. Defaults to `default`. */
  profile?: string;
  /** Profiles beside the built-in ones. */
  profiles?: Readonly<Record<string, Layer & FlatPolicy>>;
  /** Above the profile and below the policy of each session. */
  policy?: Layer & FlatPolicy;
}

/** The same, checked and in the canonical form. */
export interface PolicyBase {
  profile: string;
  profiles: Readonly<Record<string, Layer>>;
  policy: Layer;
}

export const plainBase: PolicyBase = { profile: 'default', profiles: builtInProfiles, policy: {} };

const builtInNames = Object.keys(builtInProfiles);

const layer: Rule = {
  check(value, path, findings) {
    object(layerKeys).check(value, path, findings);
    const prefix = (fault: { path: string }) => `${path}.${fault.path}`;
    findings.wrong.push(...findContradictions(value).map((fault) => ({ ...fault, path: prefix(fault) })));
  },
};

/** What each of the defaults has to be; which profiles there are depends on them. */
export function listDefaultRules(profiles: unknown): Record<keyof PolicyDefaults, Rule> {
  return {
    profile: nameProfile([...builtInNames, ...(isRecord(profiles) ? Object.keys(profiles) : [])]),
    profiles: dictionary(
      new RegExp(`^(?!(?:${builtInNames.join('|')})$)[A-Za-z0-9][A-Za-z0-9._-]{0,60}$`),
      `a name of at most 61 letters, digits and . _ - other than ${builtInNames.join(', ')}`,
      layer,
    ),
    policy: layer,
  };
}

/** One of the profiles that there are. */
export function nameProfile(names: readonly string[]): Rule {
  return {
    check(value, path, { wrong }) {
      if (typeof value === 'string' && names.includes(value)) return;
      const suggestion = typeof value === 'string' ? suggestKey(value, names) : undefined;
      const fault = { path, value, expected: `one of ${names.join(', ')}` };
      wrong.push(suggestion === undefined ? fault : { ...fault, suggestion });
    },
  };
}

/** Of defaults that their rules accept. */
export function buildBase({ profile = 'default', profiles = {}, policy = {} }: PolicyDefaults): PolicyBase {
  const own = Object.entries(profiles).map(([name, given]) => [name, readCanonical(given).policy] as const);
  return {
    profile,
    profiles: { ...builtInProfiles, ...Object.fromEntries(own) },
    policy: readCanonical(policy).policy,
  };
}

/** The profile of that name with the provider's policy upon it, as a copy that whoever gets it may change. */
export function layBase({ profiles, policy }: PolicyBase, profile: string): IsolationPolicy {
  const named = Object.hasOwn(profiles, profile) ? profiles[profile] : undefined;
  return structuredClone(mergePolicies(named ?? {}, policy));
}
