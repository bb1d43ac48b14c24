import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { watchEvents } from '../../../src/session/events.js';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { isSoak, openPrivateHost } from './private.js';
import { createRandom, seed } from './seed.js';
import { Worker } from './worker.js';

const KILLS = isSoak ? 60 : 8;

const { scope, options, provider, channel, reap, reapAll } = await openPrivateHost();

test(`our process killed ${KILLS} times leaves nothing, seed ${seed}`, { timeout: relax(600_000) }, async () => {
  const started = performance.now();
  await (await provider.createSession()).destroy();
  // A worker makes three at once.
  const cyclesMs = 3 * (performance.now() - started);
  const before = await observe(scope);
  const random = createRandom(seed);
  const ids = new Set<string>();
  const abort = new AbortController();
  const watching = (async () => {
    for await (const { sessionId } of watchEvents(channel, abort.signal)) if (sessionId) ids.add(sessionId);
  })();

  let next = new Worker(options);
  for (let kill = 0; kill < KILLS; kill++) {
    const worker = next;
    // Two with the name that the one before had, as a program has that is restarted.
    await worker.tell('churn', ['one', 'two', null]);
    if (kill < KILLS - 1) next = new Worker(options);
    // At every stage, however the dice fall.
    await sleep(((kill + random()) / KILLS) * cyclesMs);
    await worker.kill();
    // At once, while the daemon still works for the dead, and every other time only by the next worker.
    if (kill % 2 === 0) expect((await reap()).failures).toEqual([]);
  }
  await reapAll();
  abort.abort();
  await watching;
  expect(ids.size).toBeGreaterThan(2);
  const all = { ...scope, ids: [...ids] };
  expect(await settle(all, before)).toEqual(before);
});
