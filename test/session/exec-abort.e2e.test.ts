import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { hasCode } from '../../src/core/error.js';
import { TasksService } from '../../src/generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { Channel } from '../../src/rpc/channel.js';
import { nameStateDirectory } from '../../src/session/context.js';
import { findRecord, readSpec } from '../../src/session/find.js';
import { TaskExecutor } from '../../src/session/task-executor.js';
import { FifoPool } from '../../src/stdio/fifo.js';
import { FifoStore } from '../../src/stdio/fifo-store.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const channel = new Channel(context);
afterAll(() => channel.close());

test('an exec that is aborted at any moment before it runs is none afterwards', async () => {
  await using session = await provider.createSession();
  const { sessionId: containerId } = session;
  const directory = nameStateDirectory(context.stateRoot, channel);
  const fifos = new FifoPool(join(directory, containerId), new FifoStore(join(directory, 'fifos-of-test')));
  const executor = new TaskExecutor(channel, containerId, {
    fifos,
    isHidden: () => false,
    takeTurn: (start) => start(),
  });
  const { process } = readSpec((await findRecord(channel, containerId)).container);
  const outcomes = { aborted: 0, started: 0 };
  const ids = Array.from({ length: 40 }, (_, i) => `aborted-${i}`);
  for (const [i, execId] of ids.entries()) {
    const abort = new AbortController();
    // Up to 5 ms: creating one in the shim takes some two.
    const timer = setTimeout(() => abort.abort(), i / 8);
    const request = { execId, process: { ...process, args: ['true'] }, stdin: false, signal: abort.signal };
    try {
      const started = await executor.start(request);
      outcomes.started++;
      await started.exited;
      await started.release();
    } catch (error) {
      expect(hasCode(error, 'canceled'), String(error)).toBe(true);
      outcomes.aborted++;
    }
    clearTimeout(timer);
  }
  expect(outcomes.aborted).toBeGreaterThan(0);
  // Whatever was still on its way has come.
  await sleep(500);
  const found = await Promise.all(
    ids.map((execId) =>
      channel.unary(TasksService.get, { containerId, execId }).then(
        () => [execId],
        (error) => (hasCode(error, 'not-found') ? [] : Promise.reject(error)),
      ),
    ),
  );
  expect(found.flat()).toEqual([]);
});
