import { isDeepStrictEqual } from 'node:util';
import { listEffective } from './effective.js';
import { parsePolicy } from './parse.js';
import type { FlatPolicy, IsolationPolicy } from './types.js';
import { isLive } from './update.js';

/** One thing that two policies do not have in common. */
export interface PolicyChange {
  /** Such as `resources.memoryMb` or `mounts./data`, by the name of the canonical form. */
  path: string;
  /** Undefined where the first policy has nothing of the kind. A value of a secret is `[hidden]`. */
  from: unknown;
  /** Undefined where the second policy has nothing of the kind. */
  to: unknown;
  /** How a session of the first policy comes to the second: by `session.update()`, or not at all. */
  needs: 'update' | 'new session';
}

/**
 * What differs between two policies, defaults and spellings aside. Nothing is looked up on any host. Throws as
 * `createSession` does for a policy that makes no sense.
 */
export function diffPolicies(from: IsolationPolicy | FlatPolicy, to: IsolationPolicy | FlatPolicy): PolicyChange[] {
  const [before, after] = [parsePolicy(from), parsePolicy(to)];
  const [old, young] = [listEffective(before), listEffective(after)];
  const paths = [...new Set([...old.keys(), ...young.keys()])].sort();
  const changes = paths
    .filter((path) => !isDeepStrictEqual(old.get(path), young.get(path)))
    .map((path) => describe(path, old.get(path), young.get(path)));
  const value = ({ asked }: typeof before, name: string) =>
    asked.secrets?.find((secret) => secret.name === name)?.value;
  const renewed = (after.asked.secrets ?? []).filter(({ name }) => {
    return value(before, name) !== undefined && value(before, name) !== value(after, name);
  });
  return [...changes, ...renewed.map(({ name }) => describe(`secrets.${name}.value`, '[hidden]', '[hidden]'))];
}

function describe(path: string, from: unknown, to: unknown): PolicyChange {
  // A limit can be given and changed, and not be taken away again.
  return { path, from, to, needs: isLive(path) && to !== undefined ? 'update' : 'new session' };
}
