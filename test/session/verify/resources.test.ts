import { expect, test } from 'vitest';
import { checkResources, type GroupReader } from '../../../src/session/verify/resources.js';
import type { OciResources } from '../../../src/spec/types.js';

// This machine may have cgroup v1 alone: what v2's files say is given here as the kernel writes it.

const asked: OciResources = {
  devices: [{ allow: false, access: 'rwm' }],
  memory: { limit: 67_108_864, swap: 100_663_296 },
  cpu: { quota: 50_000, period: 100_000, shares: 512 },
  pids: { limit: 64 },
  blockIO: { weight: 500 },
};

const right: Record<string, string> = {
  'memory.max': '67108864',
  'memory.swap.max': '33554432',
  'cpu.max': '50000 100000',
  'cpu.weight': '20',
  'pids.max': '64',
  'io.bfq.weight': 'default 500',
};

function read(files: Record<string, string>): GroupReader {
  return { isUnified: true, read: (_, file) => ({ text: files[file], source: file }) };
}

test.each<[string, Record<string, string>, string[]]>([
  ['as asked', {}, []],
  ['as newer runtimes have it', { 'cpu.weight': '59' }, []],
  ['another weight', { 'cpu.weight': '100' }, ['cpu.shares']],
  ['no limit', { 'memory.max': 'max' }, ['memory.limit']],
  ['more swap', { 'memory.swap.max': '67108864' }, ['memory.swap']],
  ['no quota', { 'cpu.max': 'max 100000' }, ['cpu.quota']],
  ['another period', { 'cpu.max': '50000 10000' }, ['cpu.period']],
  ['another weight of disks', { 'io.bfq.weight': 'default 100' }, ['blockIO.weight']],
  ['no limit of processes', { 'pids.max': 'max' }, ['pids.limit']],
])('cgroup v2: %s', (_, changed, fields) => {
  const checks = checkResources(asked, read({ ...right, ...changed }));
  expect(checks.flatMap(({ ok, field }) => (ok ? [] : [field]))).toEqual(
    fields.map((field) => `linux.resources.${field}`),
  );
  expect(checks).toHaveLength(7);
});

test('cgroup v2: a file that is not there is not ok', () => {
  const checks = checkResources(asked, read({}));
  expect(checks.map(({ ok, observed }) => [ok, observed])).toEqual(Array(7).fill([false, undefined]));
});
