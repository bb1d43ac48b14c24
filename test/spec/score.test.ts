import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import type { IsolationPolicy } from '../../src/policy/types.js';
import { type Finding, scorePolicy, weights } from '../../src/spec/score.js';
import type { OciSpec } from '../../src/spec/types.js';

const best: IsolationPolicy = {
  networkMode: 'none',
  user: '1000',
  readOnlyRootfs: true,
  capabilities: { drop: ['ALL'] },
  resources: { memoryMb: 64, cpus: 1 },
};

const score = (policy: IsolationPolicy, user = policy.user ?? '0') => scorePolicy(parsePolicy(policy), { user });

test('the documented table has every rule, with its weight', () => {
  const rows = readFileSync('docs/plan.md', 'utf8').matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm);
  expect(Object.fromEntries([...rows].map(([, rule, weight]) => [rule, Number(weight)]))).toEqual(weights);
});

test('a tight policy has no findings', () => {
  expect(score(best)).toEqual({ score: 100, findings: [] });
});

const cases: [Finding['rule'], IsolationPolicy, string][] = [
  ['host-capability', { capabilities: { add: ['CAP_SYS_ADMIN'] } }, 'capabilities.add'],
  ['added-capability', { capabilities: { add: ['net_raw'] } }, 'capabilities.add'],
  ['seccomp-unconfined', { seccomp: 'unconfined' }, 'seccomp'],
  ['writable-host-mount', { mounts: [{ path: '/srv', readOnly: false }] }, 'mounts[0]'],
  ['new-privileges', { noNewPrivileges: false }, 'noNewPrivileges'],
  ['root-user', { user: '0:7' }, 'user'],
  ['root-user', { user: 'root' }, 'user'],
  ['secret-in-env', { secrets: [{ name: 'TOKEN', value: 'planted', as: 'env' }] }, 'secrets'],
  ['network-full', { networkMode: 'full' }, 'networkMode'],
  ['no-memory-limit', { resources: { cpus: 1 } }, 'resources.memoryMb'],
  ['writable-root', { readOnlyRootfs: false }, 'readOnlyRootfs'],
  ['no-cpu-limit', { resources: { memoryMb: 64 } }, 'resources.cpus'],
  ['oom-preferred', { resources: { memoryMb: 64, cpus: 1, oomScoreAdj: -5 } }, 'resources.oomScoreAdj'],
];

test.each(cases)('%s takes its weight off', (rule, policy, path) => {
  const { score: points, findings } = score({ ...best, ...policy });
  expect(findings).toEqual([{ rule, path, weight: weights[rule], message: expect.any(String) }]);
  expect(points).toBe(100 - weights[rule]);
  expect(JSON.stringify(findings)).not.toContain('planted');
});

test.each<[string, IsolationPolicy]>([
  ['a host mount that is only read', { mounts: [{ path: '/srv', readOnly: true }] }],
  ['a tmpfs that is written', { mounts: [{ path: '/srv', type: 'tmpfs', readOnly: false }] }],
  ['a secret in a file', { secrets: [{ name: 'TOKEN', value: 'planted' }] }],
  ['an ordinary capability', { capabilities: { add: ['CHOWN'] } }],
  ['root of a user namespace', { user: 'root', userns: true }],
])('%s is none', (_, policy) => {
  expect(score({ ...best, ...policy }).findings).toEqual([]);
});

test('the document knows more than the policy: who the user is, and which namespaces there are', () => {
  const spec = (uid: number, types: string[]) =>
    ({ process: { user: { uid } }, linux: { namespaces: types.map((type) => ({ type })) } }) as unknown as OciSpec;
  const all = ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'];
  const judge = (document: OciSpec) => scorePolicy(parsePolicy(best), { user: 'agent', spec: document }).findings;
  expect(judge(spec(1000, all))).toEqual([]);
  expect(judge(spec(0, all)).map(({ rule }) => rule)).toEqual(['root-user']);
  expect(judge(spec(1000, all.slice(1))).map(({ message }) => message)).toEqual(["the pid namespace is the host's"]);
});

test('however much is found, the score is not below 0', () => {
  const add = ['SYS_ADMIN', 'SYS_MODULE', 'BPF', 'NET_ADMIN'];
  expect(score({ capabilities: { add }, seccomp: 'unconfined' }).score).toBe(0);
});
