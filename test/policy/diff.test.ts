import { describe, expect, test } from 'vitest';
import { diffPolicies } from '../../src/index.js';
import { hashPolicy } from '../../src/policy/effective.js';
import { parsePolicy } from '../../src/policy/parse.js';
import type { FlatPolicy, IsolationPolicy } from '../../src/policy/types.js';

type Policy = IsolationPolicy | FlatPolicy;

const same: [string, Policy, Policy][] = [
  ['nothing and its defaults', {}, { networkMode: 'full', noNewPrivileges: true, resources: { pidsLimit: 512 } }],
  ['both forms', { memory: 67_108_864, cpu: '500m' }, { resources: { memoryMb: 64, cpus: 0.5 } }],
  [
    'spellings of capabilities',
    { capabilities: { add: ['CAP_KILL', 'mknod'] } },
    { capabilities: { add: ['MKNOD', 'KILL'] } },
  ],
  [
    'spellings and the order of limits',
    {
      resources: {
        ulimits: [
          { type: 'nofile', soft: 1, hard: 2 },
          { type: 'core', soft: 0, hard: 0 },
        ],
      },
    },
    {
      resources: {
        ulimits: [
          { type: 'RLIMIT_CORE', hard: 0, soft: 0 },
          { type: 'NOFILE', soft: 1, hard: 2 },
        ],
      },
    },
  ],
  [
    'a bind, said and unsaid',
    { mounts: [{ path: '/a', readOnly: true }] },
    { mounts: [{ type: 'bind', readOnly: true, path: '/a' }] },
  ],
];

test.each(same)('%s are the same', (_, one, other) => {
  expect(diffPolicies(one, other)).toEqual([]);
  expect(hashPolicy(parsePolicy(one))).toBe(hashPolicy(parsePolicy(other)));
});

const different: [string, Policy, Policy, object[]][] = [
  [
    'limits of the group, which can change live',
    { resources: { memoryMb: 64, cpus: 1 } },
    { resources: { memoryMb: 128, cpus: 1, pidsLimit: 10 } },
    [
      { path: 'resources.memoryMb', from: 64, to: 128, needs: 'update' },
      { path: 'resources.pidsLimit', from: 512, to: 10, needs: 'update' },
    ],
  ],
  [
    'a limit that is taken away, which cannot',
    { resources: { memoryMb: 64 } },
    {},
    [{ path: 'resources.memoryMb', from: 64, to: undefined, needs: 'new session' }],
  ],
  [
    'limits of processes',
    {},
    { resources: { ulimits: [{ type: 'nofile', soft: 1, hard: 2 }] } },
    [{ path: 'resources.ulimits.nofile', from: undefined, to: { soft: 1, hard: 2 }, needs: 'new session' }],
  ],
  [
    'privileges',
    { seccomp: 'unconfined' },
    { user: 'agent', capabilities: { drop: ['ALL'] } },
    [
      { path: 'capabilities.drop', from: [], to: ['ALL'], needs: 'new session' },
      { path: 'seccomp', from: 'unconfined', to: 'default', needs: 'new session' },
      { path: 'user', from: undefined, to: 'agent', needs: 'new session' },
    ],
  ],
  [
    'mounts, by where they appear',
    { mounts: [{ path: '/a', target: '/data', readOnly: true }] },
    { mounts: [{ path: '/b', target: '/data', readOnly: true }] },
    [
      {
        path: 'mounts./data',
        from: { type: 'bind', path: '/a', target: '/data', readOnly: true },
        to: { type: 'bind', path: '/b', target: '/data', readOnly: true },
        needs: 'new session',
      },
    ],
  ],
];

test.each(different)('%s', (_, from, to, changes) => {
  expect(diffPolicies(from, to)).toEqual(changes);
  expect(hashPolicy(parsePolicy(from))).not.toBe(hashPolicy(parsePolicy(to)));
});

describe('secrets', () => {
  const one: Policy = { secrets: [{ name: 'TOKEN', value: 'planted-one' }] };
  const other: Policy = { secrets: [{ name: 'TOKEN', value: 'planted-two' }] };

  test('a new value is told, and neither value is shown', () => {
    const changes = diffPolicies(one, other);
    expect(changes).toEqual([{ path: 'secrets.TOKEN.value', from: '[hidden]', to: '[hidden]', needs: 'new session' }]);
    expect(JSON.stringify([changes, diffPolicies({}, one), diffPolicies(one, {})])).not.toContain('planted');
  });

  test('their values have no part in the hash, their names have', () => {
    expect(hashPolicy(parsePolicy(one))).toBe(hashPolicy(parsePolicy(other)));
    expect(hashPolicy(parsePolicy(one))).not.toBe(hashPolicy(parsePolicy({})));
  });
});

test('the hash is the one that it was: records of older versions keep their meaning', () => {
  expect(hashPolicy(parsePolicy({ networkMode: 'none' }))).toBe(
    'fc132958b9478cf3d5638d3cfb0321b86192d656241a20cc554362cff79d2345',
  );
});
