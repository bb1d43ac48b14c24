import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CapabilityMismatchError, DriverError } from '../../src/core/error.js';
import { findMismatches } from '../../src/policy/capabilities.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { suggestKey } from '../../src/policy/suggest.js';

function fail(policy: unknown): DriverError {
  try {
    parsePolicy(policy);
  } catch (error) {
    if (error instanceof DriverError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('parsePolicy', () => {
  test('fills in the defaults', () => {
    expect(parsePolicy({})).toEqual({
      networkMode: 'none',
      readOnlyRootfs: false,
      noNewPrivileges: true,
      capabilities: { add: [], drop: [] },
      seccomp: 'default',
      mounts: [],
      resources: { pidsLimit: 512, ulimits: [] },
      asked: {},
      aliases: {},
    });
  });

  test('reads MiB, cores and millicores', () => {
    expect(parsePolicy({ resources: { memoryMb: 256, memorySwapMb: 64, cpus: 1.5 } }).resources).toMatchObject({
      memoryBytes: 268_435_456,
      memorySwapBytes: 67_108_864,
      cpus: 1.5,
    });
    expect(parsePolicy({ cpu: '500m' }).resources.cpus).toBe(0.5);
    expect(parsePolicy({ cpu: 2 }).resources.cpus).toBe(2);
  });

  test('the flat form says the same as the canonical one', () => {
    const flat = parsePolicy({ memory: 268_435_456, cpu: 1, networkIsolation: true, readOnlyRootfs: true });
    const canonical = parsePolicy({ networkMode: 'none', readOnlyRootfs: true, resources: { memoryMb: 256, cpus: 1 } });
    const { asked: _a, aliases: _b, ...rest } = flat;
    expect(canonical).toMatchObject(rest);
  });

  test.each([
    [{ resources: { memoryMb: -1 } }, 'resources.memoryMb', -1],
    [{ resources: { memoryMb: 0.5 } }, 'resources.memoryMb', 0.5],
    [{ resources: { memoryMb: '256' } }, 'resources.memoryMb', '256'],
    [{ resources: { memoryMb: Number.NaN } }, 'resources.memoryMb', Number.NaN],
    [{ resources: { cpus: Number.POSITIVE_INFINITY } }, 'resources.cpus', Number.POSITIVE_INFINITY],
    [{ resources: { pidsLimit: 0 } }, 'resources.pidsLimit', 0],
    [{ resources: { timeoutMs: 2 ** 31 } }, 'resources.timeoutMs', 2 ** 31],
    [{ resources: { memorySwapMb: 1 } }, 'resources.memorySwapMb', 1],
    [{ resources: [] }, 'resources', []],
    [{ resources: { ulimits: [{ type: 'nofile', soft: 2, hard: 1 }] } }, 'resources.ulimits[0].soft', 2],
    [{ resources: { ulimits: [{ type: 'files', soft: 1, hard: 1 }] } }, 'resources.ulimits[0].type', 'files'],
    [{ networkMode: 'host' }, 'networkMode', 'host'],
    [{ mounts: [{ path: '/a/../b', readOnly: true }] }, 'mounts[0].path', '/a/../b'],
    [{ mounts: [{ path: '/a' }] }, 'mounts[0].readOnly', undefined],
    [{ user: 'a\0b' }, 'user', 'a\0b'],
    [{ readOnlyRootfs: 'yes' }, 'readOnlyRootfs', 'yes'],
    [{ seccomp: 'off' }, 'seccomp', 'off'],
    [{ capabilities: { add: ['CAP KILL'] } }, 'capabilities.add[0]', 'CAP KILL'],
    [{ cpu: '5x' }, 'cpu', '5x'],
    [{ cpu: '0m' }, 'cpu', '0m'],
    [{ memory: 1, resources: {} }, 'memory', 1],
    [{ memory: 2 ** 28, resources: { memoryMb: 1024 } }, 'memory', 2 ** 28],
    [{ networkIsolation: true, networkMode: 'none' }, 'networkIsolation', true],
    [null, 'policy', null],
    ['none', 'policy', 'none'],
  ])('%j: a fault at %s', (policy, path, value) => {
    expect(fail(policy)).toMatchObject({ code: 'invalid-argument', faults: [{ path, value }] });
  });

  test('unknown fields, at every level, with what was meant; wrong values beside them', () => {
    const error = fail({
      memoryMb: 1,
      readonlyRootfs: true,
      resources: { pidLimit: 1, cpus: -1 },
      mounts: [{ path: '/a', readOnly: true, size: 1 }],
    });
    expect(error).toBeInstanceOf(CapabilityMismatchError);
    expect(error.faults.map(({ path, suggestion }) => [path, suggestion])).toEqual([
      ['memoryMb', 'memory'],
      ['readonlyRootfs', 'readOnlyRootfs'],
      ['resources.pidLimit', 'pidsLimit'],
      ['mounts[0].size', undefined],
      ['resources.cpus', undefined],
    ]);
  });

  test('a prototype key is an unknown field, not a way in', () => {
    expect(fail(JSON.parse('{"__proto__": {"readOnlyRootfs": true}}'))).toMatchObject({
      mismatchedAttributes: ['__proto__'],
    });
    expect(fail({ constructor: 1 })).toMatchObject({ mismatchedAttributes: ['constructor'] });
  });

  test('the value of a secret is in no message', () => {
    for (const secrets of [
      'topsecret',
      [{ name: '', value: 'topsecret' }],
      [{ name: 'a', value: 'topsecret\0' }],
      [{ name: 'a', vlaue: 'topsecret' }],
    ]) {
      const error = fail({ secrets });
      expect(JSON.stringify([error.message, error.faults])).not.toContain('topsecret');
    }
  });

  test('whatever comes in, a policy or a DriverError comes out', () => {
    const keys = fc.constantFrom(
      'resources',
      'memory',
      'cpu',
      'mounts',
      'secrets',
      'user',
      'seccomp',
      'capabilities',
      'networkMode',
      'x',
    );
    fc.assert(
      fc.property(fc.dictionary(keys, fc.jsonValue()), (policy) => {
        try {
          expect(parsePolicy(policy).resources.pidsLimit).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(DriverError);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('findMismatches', () => {
  const host = { cpus: 2, memoryBytes: 2 ** 30 };
  const find = (policy: unknown) => findMismatches(parsePolicy(policy), host).map(({ path }) => path);

  test('nothing for what is enforced', () => {
    expect(
      find({
        networkMode: 'none',
        user: '1',
        seccomp: 'unconfined',
        resources: { memoryMb: 1024, cpus: 2, cpuShares: 5, oomScoreAdj: 1 },
        mounts: [{ path: '/x', type: 'tmpfs', readOnly: false }],
      }),
    ).toEqual([]);
    expect(find({ envAllowlist: [], secrets: [], userns: false })).toEqual([]);
  });

  test('every field that is not, by the name it was given', () => {
    expect(
      find({
        networkMode: 'allowlist',
        network: { allow: ['example.org'] },
        envAllowlist: ['A'],
        secrets: [{ name: 'a', value: 'b' }],
        apparmor: 'p',
        userns: true,
        healthCheck: { test: ['true'] },
        seccomp: 'strict',
        mounts: [{ path: '/x', readOnly: true }],
        resources: { ioWeight: 5, diskMb: 5, cpus: 3, memoryMb: 2048 },
      }).sort(),
    ).toEqual([
      'apparmor',
      'envAllowlist',
      'healthCheck',
      'mounts[0]',
      'network',
      'networkMode',
      'resources.cpus',
      'resources.diskMb',
      'resources.ioWeight',
      'resources.memoryMb',
      'seccomp',
      'secrets',
      'userns',
    ]);
    expect(find({ networkIsolation: false, cpu: 3, memory: 2 ** 31 })).toEqual(['networkIsolation', 'cpu', 'memory']);
  });
});

test.each([
  ['timeout', ['timeoutMs', 'cwd'], 'timeoutMs'],
  ['memroy', ['memory', 'cpu'], 'memory'],
  ['zzz', ['memory', 'cpu'], undefined],
])('suggestKey(%s)', (key, known, expected) => {
  expect(suggestKey(key, known)).toBe(expected);
});
