import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findMismatches } from '../../src/policy/capabilities.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { ContainerdProvider } from '../../src/provider/provider.js';
import type { CanonicalPolicy, IsolationProvider } from './framework.js';

/** The framework's own comparison, as it documents it: field by field, a fallback only where it is allowed. */
function negotiatePolicy(
  provider: IsolationProvider,
  policy: CanonicalPolicy,
  {
    allowFallbackToHost = false,
    hostProvider,
  }: { allowFallbackToHost?: boolean; hostProvider?: IsolationProvider } = {},
): { provider: IsolationProvider; mismatched: string[] } {
  const { mounts, networkModes, envAllowlist, secrets, resources } = provider.capabilities();
  const mismatched = [
    ...(policy.mounts?.length && !mounts ? ['mounts'] : []),
    ...(policy.networkMode !== undefined && !networkModes.includes(policy.networkMode) ? ['networkMode'] : []),
    ...(policy.envAllowlist?.length && !envAllowlist ? ['envAllowlist'] : []),
    ...(policy.secrets?.length && !secrets ? ['secrets'] : []),
    ...(policy.resources !== undefined && !resources ? ['resources'] : []),
  ];
  if (mismatched.length === 0) return { provider, mismatched };
  if (allowFallbackToHost && hostProvider !== undefined) return { provider: hostProvider, mismatched };
  throw new Error(`${provider.name} cannot honour ${mismatched.join(', ')}`);
}

const options = { image: 'x', address: '/nowhere/c.sock' };

test('before anything is connected, what is known is told and what is not is left open', () => {
  const { place, unsupported } = new ContainerdProvider(options).capabilities();
  expect(place).toMatchObject({ runtime: 'runc', snapshotter: 'overlayfs', cpus: expect.any(Number) });
  expect(place.containerd).toBeUndefined();
  expect(Object.keys(unsupported)).not.toContain('resources.memoryMb');
  const kata = new ContainerdProvider({ ...options, runtime: 'io.containerd.kata.v2' }).capabilities();
  expect(kata.unsupported).toHaveProperty('resources.pidsLimit');
});

test('the framework refuses a policy when this provider would, and falls back only where it may', () => {
  const provider = new ContainerdProvider(options);
  const { place } = provider.capabilities();
  const hostProvider = { ...provider, name: 'host' } as unknown as IsolationProvider;
  const policies = fc.record(
    {
      networkMode: fc.constantFrom<Required<CanonicalPolicy>['networkMode']>('none', 'allowlist', 'full'),
      mounts: fc.constantFrom<Required<CanonicalPolicy>['mounts']>([], [{ path: '/srv', readOnly: true }]),
      envAllowlist: fc.constantFrom<string[]>([], ['A']),
      secrets: fc.constantFrom<Required<CanonicalPolicy>['secrets']>([], [{ name: 'a', value: 'b' }]),
      resources: fc.constantFrom<Required<CanonicalPolicy>['resources']>(
        {},
        { memoryMb: 64, pidsLimit: 64, timeoutMs: 5 },
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(policies, (policy) => {
      const refused = findMismatches(parsePolicy(policy), place).map(({ path }) => path.replace(/\[0\]$/, ''));
      if (refused.length === 0) {
        expect(negotiatePolicy(provider, policy).provider).toBe(provider);
      } else {
        expect(() => negotiatePolicy(provider, policy, { hostProvider })).toThrow(/containerd cannot honour/);
        const fallback = negotiatePolicy(provider, policy, { allowFallbackToHost: true, hostProvider });
        expect(fallback.provider).toBe(hostProvider);
        expect(fallback.mismatched.sort()).toEqual(refused.sort());
      }
    }),
  );
});
