/** Pools whose process or daemon comes to its end, and pools of two processes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { observe, settle } from '../../support/leaks.js';
import { openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { daemon, scope, options, provider, reap, reapAll } = await openPrivateHost();

async function listIdle(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { sessionId, pool } of provider.list({ pooled: true })) if (pool !== undefined) ids.push(sessionId);
  return ids;
}

test('a process that is killed leaves nothing of its pool to the next reaper', async () => {
  const before = await observe(scope);
  const worker = new Worker(options);
  await worker.tell('pool', { min: 3, max: 3 });
  const idle = await listIdle();
  const kept = await worker.tell('take', { name: 'kept', ttlMs: 600_000 });
  const taken = await worker.tell('take', {});
  expect(new Set([...idle, kept, taken]).size).toBe(3);
  expect(await reap()).toMatchObject({ sessions: [], failures: [] });
  // In the midst of making what was taken anew.
  await worker.kill();
  await reapAll();
  // What was to live on does, and that alone.
  const session = await provider.connect('kept');
  expect([session.sessionId, await listIdle()]).toEqual([kept, []]);
  expect((await session.exec('echo', ['lives'])).stdout).toBe('lives\n');
  await session.destroy();
  expect(await settle({ ...scope, ids: [...idle, kept, taken] }, before)).toEqual(before);
});

test('two processes with a pool of one name never have one session twice', async () => {
  const before = await observe(scope);
  const worker = new Worker(options);
  await worker.tell('pool', { name: 'shared', min: 4, max: 4 });
  const theirs = await listIdle();
  const pool = provider.pool({ name: 'shared', min: 0, max: 2 });
  const first = await pool.take({ env: { WHOSE: 'ours' } });
  expect([theirs.includes(first.sessionId), pool.stats()]).toMatchObject([true, { adopted: 1, hits: 1, made: 0 }]);
  // Sessions that differ in what cannot change are no one's but their maker's.
  const other = provider.pool({ name: 'shared', min: 0, policy: { readOnlyRootfs: true } });
  await using unlike = await other.take();
  expect([theirs.includes(unlike.sessionId), other.stats().adopted]).toEqual([false, 0]);
  const [ours, workers] = await Promise.all([
    Promise.all(Array.from({ length: 6 }, () => pool.take({ env: { WHOSE: 'ours' } }))),
    Promise.all(Array.from({ length: 6 }, () => worker.tell('take', { env: { WHOSE: 'theirs' } }))),
  ]);
  const all = [first, ...ours];
  const ids = [...all.map(({ sessionId }) => sessionId), ...workers];
  expect(new Set(ids).size).toBe(13);
  const say = async (id: string) =>
    (await (await provider.connect(id)).exec('sh', ['-c', 'echo $WHOSE'])).stdout.trim();
  expect(await Promise.all(ids.map(say))).toEqual([...Array(7).fill('ours'), ...Array(6).fill('theirs')]);
  // Whoever has taken a session answers for it, and not its maker.
  await worker.kill();
  await reapAll();
  expect((await first.exec('echo', ['ours'])).stdout).toBe('ours\n');
  await Promise.all(all.map((session) => session.destroy()));
  await pool.close();
  await other.close();
  await unlike.destroy();
  expect(await settle({ ...scope, ids }, before)).toEqual(before);
});

test('a daemon that is killed and comes back: what lives is handed out, what died is not', async () => {
  const before = await observe(scope);
  const pool = provider.pool({ min: 3, max: 3 });
  await pool.ready();
  const ids = await listIdle();
  const [victim = ''] = ids;
  const { init } = findInit(victim);
  await daemon.kill9();
  process.kill(init, 'SIGKILL');
  await daemon.restart();
  const taken = await Promise.all([pool.take(), pool.take(), pool.take()]);
  for (const session of taken) expect((await session.exec('echo', ['alive'])).stdout).toBe('alive\n');
  expect(taken.map(({ sessionId }) => sessionId)).not.toContain(victim);
  expect(taken.filter(({ sessionId }) => ids.includes(sessionId))).toHaveLength(2);
  await Promise.all(taken.map((session) => session.destroy()));
  await pool.close();
  await reapAll();
  expect(await settle({ ...scope, ids }, before)).toEqual(before);
});

/** As the runtime has written it down. */
function findInit(id: string): { init: number } {
  const bundle = join(scope.root, 'state', 'io.containerd.runtime.v2.task', scope.namespace, id);
  return { init: Number(readFileSync(join(bundle, 'init.pid'), 'utf8')) };
}
