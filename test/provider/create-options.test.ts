import { expect, test } from 'vitest';
import { DriverError } from '../../src/core/error.js';
import { parseCreateOptions } from '../../src/provider/create-options.js';
import { resolveOptions } from '../../src/provider/options.js';

function findFaults(read: () => unknown): [path: string, suggestion: string | undefined][] {
  try {
    read();
  } catch (error) {
    if (error instanceof DriverError) return error.faults.map(({ path, suggestion }) => [path, suggestion]);
    throw error;
  }
  return [];
}

test('options of a session and its policy stand in one object, and their faults in one error', () => {
  const given = { naem: 'a', ttl: 5, name: 'a b', tty: 1, memroy: 5, resources: { cpus: 0 }, metadata: { 'a b': 'x' } };
  expect(findFaults(() => parseCreateOptions(given))).toEqual([
    ['naem', 'name'],
    ['ttl', 'tty'],
    ['memroy', 'memory'],
    ['name', undefined],
    ['tty', undefined],
    ['resources.cpus', undefined],
    ['metadata["a b"]', undefined],
  ]);
  const { session, policy } = parseCreateOptions({ name: 'a', env: { A: '1' }, user: 'agent', image: undefined });
  expect(session).toEqual({ name: 'a', env: { A: '1' } });
  expect(policy.asked).toEqual({ user: 'agent' });
});

test.each([
  { ttlMs: 2 ** 53 - 1 },
  { ttlMs: 0 },
  { name: 'x'.repeat(62) },
  { command: [] },
  { command: ['a', 1] },
  { env: 'SECRET=x' },
  { metadata: { a: 'x'.repeat(3_801) } },
  { metadata: new Map() },
  { signal: {} },
])('%j is refused', (options) => {
  expect(findFaults(() => parseCreateOptions(options))).toHaveLength(1);
});

test('the environment is in no message', () => {
  expect(() => parseCreateOptions({ env: ['topsecret'] })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('topsecret') }),
  );
});

test('provider options: every fault at once, with what was meant; the environment fills in and is checked', () => {
  const wrong = {
    image: '',
    adress: '/x',
    namespace: 'a/b',
    stateRoot: 'run',
    profile: 'strcit',
    profiles: { own: { resources: { pidLimit: 1, cpus: 0 } }, strict: {}, 'a b': {}, list: { profile: 'own' } },
    policy: { memory: 2 ** 30, resources: { memoryMb: 64 }, secrets: [{ name: 'a', value: 'topsecret', as: 'x' }] },
  };
  expect(() => resolveOptions(wrong as never, {})).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('topsecret') }),
  );
  expect(findFaults(() => resolveOptions(wrong as never, {}))).toEqual([
    ['adress', 'address'],
    ['profiles.own.resources.pidLimit', 'pidsLimit'],
    ['profiles.list.profile', undefined],
    ['namespace', undefined],
    ['stateRoot', undefined],
    ['image', undefined],
    ['profile', 'strict'],
    ['profiles.own.resources.cpus', undefined],
    ['profiles.strict', undefined],
    ['profiles["a b"]', undefined],
    ['policy.secrets[0].as', undefined],
    ['policy.memory', undefined],
  ]);
  expect(findFaults(() => resolveOptions({ image: 'x' }, { CONTAINERD_NAMESPACE: 'a b' }))).toEqual([
    ['namespace', undefined],
  ]);
  expect(findFaults(() => resolveOptions(null as never, {}))).toEqual([['options', undefined]]);
  const env = { CONTAINERD_ADDRESS: '/c.sock' };
  expect(resolveOptions({ image: 'x', namespace: undefined } as never, env)).toMatchObject({
    image: 'x',
    address: '/c.sock',
    namespace: 'cadre',
    runtime: 'runc',
    snapshotter: 'overlayfs',
    stateRoot: '/run/cadre-containerd',
  });
});
