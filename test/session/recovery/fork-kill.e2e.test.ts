/** Commits and forks whose process comes to its end at any moment. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { collectGarbage, observeApi } from '../../support/api-state.js';
import { relax } from '../../support/patience.js';
import { isSoak, openPrivateHost } from './private.js';
import { createRandom, seed } from './seed.js';
import { Worker } from './worker.js';

const KILLS = isSoak ? 100 : 16;
const { scope, options, provider, reap, reapAll } = await openPrivateHost();

test(`our process killed ${KILLS} times in a commit or fork, seed ${seed}`, { timeout: relax(300_000) }, async () => {
  const random = createRandom(seed);
  const before = await observeApi(scope);
  const parent = await provider.createSession();
  const { sessionId } = parent;
  await parent.exec('sh', ['-c', 'echo parent >/f; dd if=/dev/urandom of=/big bs=1M count=16']);
  let isStopped = false;
  // Twice as long as each takes, so that kills are before, within and after it.
  const took = { commit: 400, fork: 400 };
  let next = new Worker(options);
  let broken = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const verb = kill % 2 === 0 ? 'commit' : 'fork';
    const worker = next;
    await worker.tell('connect', sessionId);
    const started = performance.now();
    const acting = worker.tell(verb, sessionId).then(
      () => true,
      () => false,
    );
    if (kill < KILLS - 1) next = new Worker(options);
    // The first of each shows how long one takes.
    if (kill < 2) {
      expect(await acting).toBe(true);
      took[verb] = performance.now() - started;
    } else await sleep(random() * took[verb]);
    await worker.kill();
    if (!(await acting)) broken += 1;
    expect((await reap()).failures).toEqual([]);
    expect(await parent.info()).toMatchObject({ state: isStopped ? 'stopped' : 'running' });
    if (kill % 4 !== 3) continue;
    if (isStopped) await parent.start();
    expect(await parent.exec('sh', ['-c', `cat /f; echo ${kill} >/g`])).toMatchObject({ stdout: 'parent\n' });
    if (!isStopped) await parent.stop();
    isStopped = !isStopped;
  }
  expect(broken).toBeGreaterThan(0);
  await parent.destroy();
  await reapAll();
  if (await provider.images.exists('new')) await provider.images.remove('new', { sync: true });
  await collectGarbage(scope);
  expect(await observeApi(scope)).toEqual(before);
});

test('a session that a process left paused which was killed is resumed', async () => {
  await using parent = await provider.createSession({ ttlMs: 600_000 });
  await parent.exec('sh', ['-c', 'dd if=/dev/zero of=/big bs=1M count=256']);
  const worker = new Worker(options);
  await worker.tell('connect', parent.sessionId);
  const acting = worker.tell('commit', parent.sessionId).catch(() => undefined);
  while ((await parent.info()).state !== 'paused') await sleep(5);
  await worker.kill();
  await acting;
  expect(await parent.info()).toMatchObject({ state: 'paused' });
  expect(await reap()).toMatchObject({ resumed: [parent.sessionId], sessions: [], failures: [] });
  expect(await parent.exec('echo', ['runs'])).toMatchObject({ stdout: 'runs\n' });
  expect(await reap()).toMatchObject({ resumed: [] });
});
