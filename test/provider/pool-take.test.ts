import { expect, test } from 'vitest';
import { parseCreateOptions } from '../../src/provider/create-options.js';
import { chooseExecutor } from '../../src/provider/executor-choice.js';
import { resolveOptions } from '../../src/provider/options.js';
import { resolvePool } from '../../src/provider/pool-options.js';
import { keyPool, planTake, stripTaken } from '../../src/provider/pool-take.js';

const options = resolveOptions(
  { image: 'base', hostEnv: { LANG: 'C', HOME: '/root' }, policy: { secrets: [{ name: 'below', value: 'b' }] } },
  {},
);

function openPool(given: object) {
  const pool = resolvePool(given, options);
  return { ...pool, ...keyPool(parseCreateOptions(pool.common, options.base), options) };
}

const pool = openPool({
  policy: { networkMode: 'none', envAllowlist: ['LANG'], secrets: [{ name: 'DB', value: 'db', as: 'env' }] },
  env: { A: 'pool', B: 'pool' },
  metadata: { team: 'x' },
  executor: 'supervisor',
});

test('what is made holds nothing of what is given when it is taken', () => {
  const { session, policy } = stripTaken(parseCreateOptions(pool.common, options.base));
  expect(session).not.toHaveProperty('env');
  expect(session).not.toHaveProperty('metadata');
  expect([policy.secrets, policy.envAllowlist, JSON.stringify(policy).includes('db')]).toEqual([[], [], false]);
});

test('a take that asks for nothing is what one that asks for nothing of the session is', () => {
  const plain = planTake({}, pool, options);
  expect(plain).toEqual(planTake({ waitMs: 5 }, pool, options));
  expect(plain.env).toEqual({ LANG: 'C', DB: 'db', A: 'pool', B: 'pool' });
});

test('a take lays its own over the pool’s', () => {
  const given = { name: 'n', ttlMs: 60_000, env: { B: 'take' }, metadata: { job: '1' }, networkMode: 'none' } as const;
  const { change, env, secrets } = planTake({ ...given, secrets: [{ name: 'own', value: 'o' }] }, pool, options);
  expect(env).toEqual({ LANG: 'C', DB: 'db', A: 'pool', B: 'take' });
  expect(secrets.map(({ name }) => name)).toContain('own');
  expect(change).toMatchObject({ name: 'n', metadata: { team: 'x', job: '1' } });
  expect(change.expiresAt?.getTime()).toBeGreaterThan(Date.now());
  // The record has the names of secrets, and no value.
  expect(JSON.stringify(change)).not.toMatch(/"(db|o)"/);
});

test.each([
  [{ envAllowlist: ['HOME'] }, { HOME: '/root', DB: 'db', A: 'pool', B: 'pool' }],
  [{ env: {} }, { LANG: 'C', DB: 'db', A: 'pool', B: 'pool' }],
])('the environment of %j', (given, env) => {
  expect(planTake(given, pool, options).env).toEqual(env);
});

test.each([
  [{ env: 'A=b' }, 'invalid-argument', ['env']],
  [{ metadata: 7 }, 'invalid-argument', ['metadata']],
  [{ secrets: 'x' }, 'invalid-argument', ['secrets']],
  [{ secrets: [{ name: '../up', value: 'v' }], waitMs: -1 }, 'invalid-argument', ['secrets[0].name', 'waitMs']],
  [{ env: { A: 'x\0' } }, 'invalid-argument', ['env.A']],
  [{ wait: 5 }, 'capability-mismatch', ['wait']],
  [{ image: 'other', env: { A: 'b' }, executor: 'task' }, 'capability-mismatch', ['image', 'executor']],
  [{ onProgress: () => undefined }, 'capability-mismatch', ['onProgress']],
  [{ resources: { cpus: 1 } }, 'capability-mismatch', ['resources']],
  ['text', 'invalid-argument', undefined],
])('%j is refused by name', (given, code, fields) => {
  const take = () => planTake(given as never, pool, options);
  expect(take).toThrow(expect.objectContaining({ code }));
  if (fields === undefined) return;
  expect(take).toThrow(expect.objectContaining({ faults: fields.map((path) => expect.objectContaining({ path })) }));
});

test('what is free to choose is the same as what it comes to', () => {
  const { executor } = chooseExecutor('auto', {
    runtime: options.runtime,
    policy: { capabilities: { add: [], drop: [] } },
  });
  expect(openPool({ executor }).key).toBe(openPool({}).key);
});

test('pools of one name share what differs in nothing that cannot change, and that alone', () => {
  const base = { policy: { networkMode: 'none' }, executor: 'supervisor' };
  const key = openPool(base).key;
  expect(openPool({ ...base, env: { A: '1' }, metadata: { a: 'b' }, min: 3 }).key).toBe(key);
  expect(openPool({ policy: { networkIsolation: true } }).key).toBe(key);
  for (const other of [{ policy: {} }, { ...base, image: 'other' }, { ...base, executor: 'task' }]) {
    expect(openPool(other).key).not.toBe(key);
  }
});
