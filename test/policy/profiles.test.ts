import { expect, test } from 'vitest';
import { buildBase } from '../../src/policy/defaults.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { builtInProfiles, mergePolicies } from '../../src/policy/profiles.js';

test('profile < provider < policy: objects field by field, lists and all else whole', () => {
  const base = buildBase({
    profile: 'own',
    profiles: {
      own: {
        user: 'agent',
        readOnlyRootfs: true,
        seccomp: { path: '/own.json' },
        capabilities: { add: ['SYS_TIME'], drop: ['KILL'] },
        mounts: [{ path: '/a', type: 'tmpfs', readOnly: true }],
        resources: { memoryMb: 64, memorySwapMb: 8, pidsLimit: 32 },
        network: { dns: ['192.0.2.1'], ports: [1, 2] },
      },
    },
    policy: { cpu: '500m', resources: { pidsLimit: 64 }, capabilities: { add: ['SYS_NICE'] } },
  });
  const { profile, asked } = parsePolicy(
    {
      memory: 2 ** 25,
      readOnlyRootfs: false,
      user: undefined,
      seccomp: 'default',
      network: { ports: [3] },
      mounts: [],
    },
    { base },
  );
  expect({ profile, asked }).toEqual({
    profile: 'own',
    asked: {
      user: 'agent',
      readOnlyRootfs: false,
      seccomp: 'default',
      capabilities: { add: ['SYS_NICE'], drop: ['KILL'] },
      mounts: [],
      resources: { memoryMb: 32, memorySwapMb: 8, pidsLimit: 64, cpus: 0.5 },
      network: { dns: ['192.0.2.1'], ports: [3] },
    },
  });
  expect(parsePolicy({ profile: 'strict' }, { base }).asked).toMatchObject({
    ...builtInProfiles.strict,
    capabilities: { add: ['SYS_NICE'], drop: ['ALL'] },
    resources: { pidsLimit: 64, cpus: 0.5, memoryMb: 512 },
  });
});

test('merging is the same in any grouping, and nothing merged is nothing changed', () => {
  const [a, b, c] = Object.values(builtInProfiles) as [object, object, object];
  expect(mergePolicies(mergePolicies(a, b), c)).toEqual(mergePolicies(a, mergePolicies(b, c)));
  for (const policy of [a, b, c]) {
    expect(mergePolicies(policy, {})).toEqual(policy);
    expect(mergePolicies({}, policy)).toEqual(policy);
    expect(mergePolicies(policy, policy)).toEqual(policy);
  }
});

test('every built-in profile is a right policy, and none can be changed through one', () => {
  for (const profile of Object.keys(builtInProfiles)) {
    const { asked } = parsePolicy({ profile });
    expect(asked).toEqual(builtInProfiles[profile as keyof typeof builtInProfiles]);
  }
  parsePolicy({ profile: 'strict' }).capabilities.drop.push('X');
  expect(parsePolicy({ profile: 'strict' }).capabilities.drop).toEqual(['ALL']);
});

test.each([
  [{ profile: 'strct' }, { path: 'profile', value: 'strct', suggestion: 'strict' }],
  [{ profile: '__proto__' }, { path: 'profile', value: '__proto__' }],
  [{ profile: 5 }, { path: 'profile', value: 5 }],
])('%j: no such profile', (policy, fault) => {
  expect(() => parsePolicy(policy)).toThrow(
    expect.objectContaining({ code: 'invalid-argument', faults: [expect.objectContaining(fault)] }),
  );
});

test('swap needs memory beside it, wherever either comes from', () => {
  const base = buildBase({ policy: { resources: { memorySwapMb: 8 } } });
  const swap = expect.objectContaining({ faults: [expect.objectContaining({ path: 'resources.memorySwapMb' })] });
  expect(() => parsePolicy({}, { base })).toThrow(swap);
  expect(parsePolicy({ memory: 2 ** 25 }, { base }).resources).toMatchObject({ memorySwapBytes: 2 ** 23 });
  expect(parsePolicy({ profile: 'strict' }, { base }).resources).toMatchObject({ memorySwapBytes: 2 ** 23 });
});
