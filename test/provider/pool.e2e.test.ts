import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AuditEvent } from '../../src/index.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const events: AuditEvent[] = [];
const provider = await openProvider({ audit: { write: (event) => void events.push(event) } });

async function list(pooled: boolean): Promise<string[]> {
  const ids: string[] = [];
  for await (const { sessionId } of provider.list({ pooled })) ids.push(sessionId);
  return ids.sort();
}

test.each(['supervisor', 'task'] as const)('a session of a pool is as it was asked for, by %s', async (executor) => {
  await using pool = provider.pool({
    executor,
    policy: { user: '1000', resources: { memoryMb: 64 }, secrets: [{ name: 'COMMON', value: 'c-1', as: 'env' }] },
    env: { FROM_POOL: 'p', BOTH: 'pool' },
    metadata: { team: 'a' },
    min: 2,
  });
  await pool.ready();
  const waiting = await list(true);
  expect([(await list(false)).length, waiting.length]).toEqual([0, 2]);
  await using session = await pool.take({
    name: `taken-${executor}`,
    env: { BOTH: 'take', OWN: 't' },
    secrets: [{ name: 'token', value: 's-3cret' }],
    metadata: { job: '7' },
    ttlMs: 600_000,
    resources: { memoryMb: 64 },
  });
  expect(waiting).toContain(session.sessionId);
  const script =
    'echo $FROM_POOL $BOTH $OWN $COMMON; cat /run/secrets/token; id -u; ls -l /run/secrets/token | cut -c1-10';
  const { stdout, stderr } = await session.exec('sh', ['-c', script]);
  expect([stdout, stderr]).toEqual(['p take t c-1\ns-3cret1000\n-r--------\n', '']);
  const info = await session.info();
  expect(info).toMatchObject({
    name: `taken-${executor}`,
    executor,
    metadata: { team: 'a', job: '7' },
    state: 'running',
  });
  expect([info.pool, Math.round(((info.expiresAt?.getTime() ?? 0) - Date.now()) / 60_000)]).toEqual([undefined, 10]);
  expect(await list(false)).toEqual([session.sessionId]);
  // Another process sees the same.
  const other = await provider.connect(`taken-${executor}`);
  expect((await other.exec('sh', ['-c', 'echo $OWN; cat /run/secrets/token'])).stdout).toBe('t\ns-3cret');
  expect((await session.verify()).checks.filter(({ ok }) => !ok)).toEqual([]);
  // What it was given holds for its next start too.
  await session.stop();
  await session.start();
  expect((await session.exec('sh', ['-c', 'echo $OWN $BOTH; cat /run/secrets/token'])).stdout).toBe('t take\ns-3cret');
  expect(
    events.filter(({ sessionId }) => sessionId === session.sessionId).map(({ action, outcome }) => [action, outcome]),
  ).toEqual(
    expect.arrayContaining([
      ['create', 'done'],
      ['take', 'begun'],
      ['take', 'done'],
    ]),
  );
  expect(JSON.stringify(events)).not.toContain('s-3cret');
});

test('of a name there is one session, from a pool or not', async () => {
  await using pool = provider.pool({ min: 1, max: 2 });
  const taken = await pool.take({ name: 'only' });
  const refusal = { code: 'already-exists', message: 'there is a session only already' };
  await expect(pool.take({ name: 'only' })).rejects.toMatchObject(refusal);
  await expect(provider.createSession({ name: 'only' })).rejects.toMatchObject(refusal);
  expect((await provider.getOrCreate('only')).sessionId).toBe(taken.sessionId);
  await taken.destroy();
  await using created = await provider.createSession({ name: 'only' });
  await expect(pool.take({ name: 'only' })).rejects.toMatchObject(refusal);
  const racing = await Promise.allSettled([
    pool.take({ name: 'raced' }),
    provider.createSession({ name: 'raced' }),
    pool.take({ name: 'raced' }),
  ]);
  const won = racing.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(won.map(({ sessionId }) => sessionId)).toHaveLength(1);
  await won[0]?.destroy();
  expect(created.sessionId).toMatch(/^cadre-only-/);
});

const long = { timeout: relax(300_000) };
/** What is the same on each generation is seen in full on one of them. */
const TAKES = context.generation === '2.1' ? 50 : 15;

test(`${TAKES} takes at once from a pool of three are as many sessions, and nothing is left`, long, async () => {
  const before = await observe(context);
  const ids: string[] = [];
  {
    await using pool = provider.pool({ min: 2, max: 3, waitMs: relax(120_000) });
    const use = async () => {
      await using session = await pool.take();
      ids.push(session.sessionId);
      // Whoever had it before would have left it.
      const script = 'test -e /tmp/used && echo used; touch /tmp/used; echo $HOSTNAME';
      return (await session.exec('sh', ['-c', script])).stdout;
    };
    const outputs = await Promise.all(Array.from({ length: TAKES }, use));
    expect(outputs.filter((output) => output.startsWith('used'))).toEqual([]);
    expect(new Set(ids).size).toBe(TAKES);
    const { hits, misses } = pool.stats();
    expect(hits + misses).toBe(TAKES);
  }
  expect(await settle({ ...context, ids }, before)).toEqual(before);
});

test.each([
  [{ image: 'other:1' }, ['image']],
  [{ mounts: [{ path: '/srv', readOnly: true }], user: '5' }, ['mounts', 'user']],
  [
    { command: ['sleep', '9'], runtime: 'io.containerd.other.v1', networkMode: 'full' },
    ['command', 'runtime', 'networkMode'],
  ],
  [{ resources: { memoryMb: 32 }, readOnlyRootfs: true, pull: 'always' }, ['resources', 'readOnlyRootfs', 'pull']],
  [{ worktreePath: '/srv' }, ['worktreePath']],
])('what cannot change any more is refused by name: %j', async (options, fields) => {
  await using pool = provider.pool({ policy: { networkMode: 'none', resources: { memoryMb: 64 } }, min: 0 });
  const refused = pool.take(options as never);
  await expect(refused).rejects.toMatchObject({ name: 'CapabilityMismatchError', mismatchedAttributes: fields });
  expect(pool.stats()).toMatchObject({ made: 0, making: 0, waiting: 0 });
});

test.each([
  [{ command: ['true'] }, 'capability-mismatch', ['command']],
  [{ policy: { name: 'x' } }, 'capability-mismatch', ['name']],
  [{ policy: { mount: [] } }, 'capability-mismatch', ['mount']],
  [
    { policy: { mounts: [{ path: '/srv', target: '/run/secrets', readOnly: true }] } },
    'invalid-argument',
    ['mounts[0].target'],
  ],
  [{ min: 3, max: 2, memoryMb: 64 }, 'invalid-argument', ['max', 'memoryMb']],
  [{ policy: { resources: { memoryMb: 64 } }, min: 2, memoryMb: 100 }, 'invalid-argument', ['memoryMb']],
  [{ min: -1, maxAgeMs: 'long' }, 'invalid-argument', ['min', 'maxAgeMs']],
])('a pool that makes no sense is refused before anything is made: %j', (options, code, fields) => {
  const open = () => provider.pool(options as never);
  expect(open).toThrow(expect.objectContaining({ code }));
  expect(open).toThrow(expect.objectContaining({ faults: fields.map((path) => expect.objectContaining({ path })) }));
});

test('a budget of memory lowers the most that there are', async () => {
  await using pool = provider.pool({ policy: { resources: { memoryMb: 64 } }, min: 1, max: 9, memoryMb: 130 });
  const taking = Array.from({ length: 5 }, () => pool.take());
  await expect.poll(() => pool.stats().making).toBeGreaterThan(0);
  let most = 0;
  const watch = setInterval(() => {
    const { idle, making } = pool.stats();
    most = Math.max(most, idle + making);
  }, 1);
  const sessions = await Promise.all(taking);
  clearInterval(watch);
  expect(most).toBe(2);
  await Promise.all(sessions.map((session) => session.destroy()));
});

test.each([
  ['kill', 'supervisor'],
  ['pause', 'supervisor'],
  ['stop', 'task'],
  ['pause', 'task'],
] as const)('after %s by another, one that waits is never handed out, by %s', async (verb, executor) => {
  await using pool = provider.pool({ executor, min: 2 });
  await pool.ready();
  const [victim = ''] = await list(true);
  await (await provider.connect(victim))[verb]();
  // The oldest first, so that the victim has its turn.
  for (const session of [await pool.take(), await pool.take()]) {
    expect((await session.exec('echo', ['alive'])).stdout).toBe('alive\n');
    expect(session.sessionId).not.toBe(victim);
    await session.destroy();
  }
  await expect.poll(() => pool.stats().dead).toBe(1);
  await expect.poll(() => list(true), { timeout: relax(10_000) }).not.toContain(victim);
});

test('one that nobody took in time is removed, and another made', async () => {
  await using pool = provider.pool({ min: 1, maxAgeMs: 1_000 });
  await expect.poll(() => pool.stats().aged, { timeout: relax(30_000) }).toBeGreaterThan(1);
  await using session = await pool.take();
  expect((await session.exec('echo', ['young'])).stdout).toBe('young\n');
});

test('an image that is gone is told by take and onError, and is not asked for again and again', async () => {
  const errors: unknown[] = [];
  await using pool = provider.pool({ image: 'gone:1', pull: 'never', min: 1, onError: (error) => errors.push(error) });
  await expect(pool.ready()).rejects.toMatchObject({ code: 'not-found' });
  await expect(pool.take()).rejects.toMatchObject({ code: 'not-found', message: expect.stringContaining('gone:1') });
  await expect.poll(() => errors.length === pool.stats().failed).toBe(true);
  const { failed, lastError } = pool.stats();
  expect([failed > 1, failed < 10, lastError]).toEqual([true, true, errors.at(-1)]);
});

test('a pool that is closed while it makes sessions leaves nothing, and refuses', async () => {
  const before = await observe(context);
  const pool = provider.pool({ min: 3, max: 3, refillConcurrency: 3 });
  const taking = pool.take().then(
    (session) => session.destroy(),
    (error: unknown) => error,
  );
  await expect.poll(() => pool.stats().making).toBeGreaterThan(0);
  await pool.close();
  expect(await taking).toMatchObject({ code: 'destroyed' });
  await expect(pool.take()).rejects.toMatchObject({ code: 'destroyed', message: `pool ${pool.name} is closed` });
  expect(pool.stats()).toMatchObject({ idle: 0, making: 0, waiting: 0 });
  expect(await settle(context, before)).toEqual(before);
});

test('a take that is aborted or out of time leaves the session to the next', async () => {
  await using pool = provider.pool({ min: 0, max: 1 });
  await expect(pool.take({ waitMs: 1 })).rejects.toMatchObject({ code: 'deadline-exceeded' });
  await expect(pool.take({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'canceled' });
  await using session = await pool.take();
  expect([pool.stats().made, session.sessionId !== '']).toEqual([1, true]);
});

test('a ticket that is gone keeps a session from being handed out', async () => {
  await using pool = provider.pool({ min: 1 });
  await pool.ready();
  const [id = ''] = await list(true);
  const places = await readdir(context.stateRoot);
  const daemon = places.find((name) => existsSync(join(context.stateRoot, name, id)));
  await rm(join(context.stateRoot, daemon ?? '', id, 'ticket'));
  await using session = await pool.take();
  expect(session.sessionId).not.toBe(id);
  await expect.poll(() => pool.stats().lost).toBe(1);
  await expect.poll(() => list(true), { timeout: relax(10_000) }).not.toContain(id);
});
