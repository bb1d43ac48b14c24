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
      profile: 'default',
      networkMode: 'full',
      readOnlyRootfs: false,
      noNewPrivileges: true,
      capabilities: { add: [], drop: [] },
      seccomp: 'default',
      sysctls: {},
      mounts: [],
      envAllowlist: [],
      secrets: [],
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
    [{ resources: { pidsLimit: 7 } }, 'resources.pidsLimit', 7],
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
    [{ networkIsolation: true, networkMode: 'full' }, 'networkIsolation', true],
    [{ resources: { cpus: 0.001 } }, 'resources.cpus', 0.001],
    [{ cpu: '9m' }, 'cpu', '9m'],
    [{ cpu: 1, resources: { cpus: 2 } }, 'cpu', 1],
    [{ capabilities: { drop: ['NET_RWA'] } }, 'capabilities.drop[0]', 'NET_RWA'],
    [{ capabilities: { add: ['ALL'] } }, 'capabilities.add[0]', 'ALL'],
    [{ mounts: new Array(1) }, 'mounts[0]', undefined],
    [{ resources: new Map([['memoryMb', 64]]) }, 'resources', new Map([['memoryMb', 64]])],
    [Object.create({ memory: 'x' }), 'policy', {}],
    [new Date(0), 'policy', new Date(0)],
    [null, 'policy', null],
    ['none', 'policy', '[hidden]'],
    [undefined, 'policy', undefined],
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
      { a: 'topsecret' },
    ]) {
      for (const policy of [
        { secrets },
        { secret: secrets },
        // A text alone in a known field is shown, as it is what was meant for that field.
        ...(typeof secrets === 'string' ? [] : [{ mounts: secrets }, { network: secrets, x: 1 }]),
        { resources: [{ secrets }] },
        [{ secrets }],
        JSON.stringify({ secrets }),
      ]) {
        const error = fail(policy);
        expect(JSON.stringify([error.message, error.faults])).not.toContain('topsecret');
      }
    }
  });

  test('a fault of each kind, all in one error', () => {
    const faults = {
      memory: 2 ** 30,
      resources: { memoryMb: 64, cpus: 0, ulimits: [{ type: 'core', soft: 2, hard: 1 }] },
    };
    expect(fail(faults).faults.map(({ path }) => path)).toEqual([
      'resources.cpus',
      'memory',
      'resources.ulimits[0].soft',
    ]);
  });

  test('both forms may meet where they say the same', () => {
    const { networkMode, resources } = parsePolicy({
      memory: 2 ** 26,
      cpu: '1500m',
      networkIsolation: true,
      networkMode: 'none',
      resources: { memoryMb: 64, cpus: 1.5 },
    });
    expect({ networkMode, resources }).toMatchObject({
      networkMode: 'none',
      resources: { memoryBytes: 2 ** 26, cpus: 1.5 },
    });
  });

  test('a limit is given once, under either spelling', () => {
    const ulimits = ['nofile', 'RLIMIT_NOFILE'].map((type) => ({ type, soft: 1, hard: 1 }));
    expect(fail({ resources: { ulimits } }).faults).toMatchObject([{ path: 'resources.ulimits[1].type' }]);
  });

  test('unknown fields are named inside a field of several forms too', () => {
    expect(fail({ seccomp: { paht: '/x' }, userns: { uid: 65_536, size: 65_536, gid: 1 } })).toMatchObject({
      mismatchedAttributes: ['seccomp.paht', 'userns.gid', 'seccomp.path'],
    });
  });

  test("a range of ids is whole: none of the host's own accounts, room for those of an image, an end", () => {
    const find = (uid: number, size: number) => fail({ userns: { uid, size } }).faults.map(({ path }) => path);
    expect(find(0, 65_535)).toEqual(['userns.uid', 'userns.size']);
    expect(find(65_535, 65_536)).toEqual(['userns.uid']);
    expect(find(2 ** 32 - 65_536, 65_536)).toEqual(['userns.uid', 'userns.size']);
    expect(find(2 ** 32 - 65_537, 65_537)).toEqual(['userns.size']);
    const last = { uid: 2 ** 32 - 65_537, size: 65_536 };
    expect(parsePolicy({ userns: last }).userns).toEqual(last);
    expect(parsePolicy({ userns: true }).userns).toEqual({ uid: 0x7000_0000, size: 65_536 });
    expect(parsePolicy({ userns: false })).not.toHaveProperty('userns');
  });

  test('a key that would break the line is quoted and cut', () => {
    expect(fail({ 'a\nb': 1 })).toMatchObject({ mismatchedAttributes: ['["a\\nb"]'] });
    expect(fail({ [`${'x'.repeat(1_000_000)}`]: 1 }).faults[0]?.path.length).toBeLessThan(100);
  });

  test('later changes of what was given change nothing', () => {
    const given = { mounts: [{ path: '/x', type: 'tmpfs', readOnly: true }], user: undefined };
    const resolved = parsePolicy(given);
    given.mounts.pop();
    expect(resolved.mounts).toHaveLength(1);
    expect(resolved.asked).not.toHaveProperty('user');
  });

  test('MiB are MiB, whatever their number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 2 ** 31 }), fc.integer({ min: 10, max: 99_999_999 }), (mb, milli) => {
        const canonical = parsePolicy({ resources: { memoryMb: mb, memorySwapMb: mb } }).resources;
        const flat = parsePolicy({ memory: mb * 2 ** 20, cpu: `${milli}m` }).resources;
        expect(canonical).toMatchObject({ memoryBytes: mb * 2 ** 20, memorySwapBytes: mb * 2 ** 20 });
        expect(flat).toMatchObject({ memoryBytes: mb * 2 ** 20, cpus: milli / 1000 });
      }),
    );
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
      fc.property(fc.oneof(fc.dictionary(keys, fc.jsonValue()), fc.anything()), (policy) => {
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
        mounts: [
          { path: '/x', type: 'tmpfs', readOnly: false },
          { path: '/srv', readOnly: true },
          { path: 'cache', target: '/cache', type: 'volume', readOnly: false },
        ],
        envAllowlist: ['A'],
        secrets: [{ name: 'a', value: 'b' }],
      }),
    ).toEqual([]);
    expect(find({ envAllowlist: [], secrets: [], userns: false })).toEqual([]);
  });

  test('an empty object asks for nothing', () => {
    expect(find({ network: {} })).toEqual([]);
  });

  test('a limit is shown in the unit that it was given in', () => {
    expect(findMismatches(parsePolicy({ resources: { memoryMb: 2048 } }), host)).toEqual([
      { path: 'resources.memoryMb', value: 2048, expected: 'at most 1024 MiB, which this host has' },
    ]);
    expect(findMismatches(parsePolicy({ memory: 2 ** 31 }), host)).toMatchObject([{ path: 'memory', value: 2 ** 31 }]);
  });

  test('a limit of swap where the kernel counts none', () => {
    const policy = parsePolicy({ resources: { memoryMb: 64, memorySwapMb: 0 } });
    expect(findMismatches(policy, { ...host, swapAccounting: true })).toEqual([]);
    expect(findMismatches(policy, { ...host, swapAccounting: false })).toMatchObject([
      { path: 'resources.memorySwapMb', value: 0 },
    ]);
  });

  test('a weight that would do nothing', () => {
    const policy = parsePolicy({ resources: { ioWeight: 500 } });
    expect(findMismatches(policy, { ...host, ioWeight: true })).toEqual([]);
    expect(findMismatches(policy, { ...host, ioWeight: false })).toMatchObject([
      { path: 'resources.ioWeight', value: 500, expected: expect.stringContaining('not all disks of this host are') },
    ]);
  });

  test('a filter of system calls where there can be none', () => {
    const without = (policy: unknown) => findMismatches(parsePolicy(policy), { ...host, seccomp: false });
    expect(without({})).toMatchObject([{ path: 'seccomp', value: 'default' }]);
    expect(without({ seccomp: 'strict' })).toMatchObject([{ path: 'seccomp', value: 'strict' }]);
    expect(without({ seccomp: 'unconfined' })).toEqual([]);
  });

  test('a tmpfs on what the session stands on, by its target or else its path', () => {
    const paths = ['/proc', '/proc/x', '/process', '/dev', '/sys/fs/cgroup', '/dev/shm', '/device'];
    const mounts = paths.map((path) => ({ path, type: 'tmpfs', readOnly: false }));
    expect(find({ mounts })).toEqual(['mounts[0]', 'mounts[1]', 'mounts[3]', 'mounts[4]']);
    expect(find({ mounts: [{ path: '/a', target: '/proc/a', type: 'tmpfs', readOnly: true }] })).toEqual(['mounts[0]']);
  });

  test('every field that is not, by the name it was given', () => {
    expect(
      find({
        networkMode: 'allowlist',
        network: { name: 'other', ports: [80], bandwidthKbps: 1000 },
        healthCheck: { test: ['true'] },
        resources: { diskMb: 5, cpus: 3, memoryMb: 2048 },
      }).sort(),
    ).toEqual([
      'healthCheck',
      'network.bandwidthKbps',
      'network.name',
      'network.ports',
      'resources.cpus',
      'resources.diskMb',
      'resources.memoryMb',
    ]);
    expect(find({ networkIsolation: false, cpu: 3, memory: 2 ** 31 })).toEqual(['cpu', 'memory']);
  });
});

test.each([
  ['timeout', ['timeoutMs', 'cwd'], 'timeoutMs'],
  ['memroy', ['memory', 'cpu'], 'memory'],
  ['zzz', ['memory', 'cpu'], undefined],
])('suggestKey(%s)', (key, known, expected) => {
  expect(suggestKey(key, known)).toBe(expected);
});

describe('sysctls', () => {
  test('those of a namespace are taken, those of the host are refused by name, with the nearest there is', () => {
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.sem': '250 32000 100 128' };
    expect(parsePolicy({ sysctls }).sysctls).toEqual(sysctls);
    const wrong = [
      'kernel.core_pattern',
      'vm.panic_on_oom',
      'kernel.hostname',
      'net.core.rmem_max',
      'net/core/somaxconn',
    ];
    const refused = Object.fromEntries(wrong.map((name) => [name, '1']));
    expect(() => parsePolicy({ sysctls: { ...refused, 'net.core.somaxcon': '1', 'kernel.shmall': '1\n2' } })).toThrow(
      expect.objectContaining({
        mismatchedAttributes: [...wrong, 'net.core.somaxcon', 'kernel.shmall'].map((name) => `sysctls["${name}"]`),
        faults: expect.arrayContaining([expect.objectContaining({ suggestion: 'net.core.somaxconn' })]),
      }),
    );
  });
});
