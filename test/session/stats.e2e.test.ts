import { expect, test } from 'vitest';
import { context } from '../support/context.js';
import { EXECUTOR } from '../support/executor.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const MIB = 1024 * 1024;

test('memory, processes and limits', async () => {
  await using session = await provider.createSession({ resources: { memoryMb: 200, ...context.limitPids(50) } });
  const before = await session.stats();
  expect(before).toMatchObject({ memoryLimitBytes: 200 * MIB, pids: 1, networkRxBytes: 0, networkTxBytes: 0 });
  // /dev/shm is memory of the session, of the sort that the kernel cannot give back.
  await session.exec('dd', ['if=/dev/zero', 'of=/dev/shm/x', 'bs=1M', 'count=50']);
  const sleeper = await session.spawn('sleep', ['1000']);
  const after = await session.stats();
  expect(after.memoryBytes - before.memoryBytes).toBeGreaterThan(45 * MIB);
  expect(after.memoryBytes - before.memoryBytes).toBeLessThan(70 * MIB);
  // A supervisor's commands each have a process above them.
  expect(after.pids).toBe(EXECUTOR === 'supervisor' ? 3 : 2);
  await sleeper.kill();
});

test('one busy loop is about one processor, a sleeping session none', async () => {
  await using session = await provider.createSession({ command: ['sh', '-c', 'while :; do :; done'] });
  await using idle = await provider.createSession();
  const busy: number[] = [];
  for await (const { cpuPercent } of session.watchStats({ intervalMs: 300 })) {
    busy.push(cpuPercent);
    if (busy.length === 5) break;
  }
  // The machine may be shared: the best of five says what is counted, all of them that it is never too much.
  expect(Math.max(...busy)).toBeGreaterThan(30);
  expect(Math.max(...busy)).toBeLessThan(140);
  expect((await session.stats()).cpuPercent).toBeLessThan(200);
  expect((await idle.stats()).cpuPercent).toBeLessThan(10);
});

test('bytes written to the disk, where the host counts them', async () => {
  await using session = await provider.createSession();
  await session.exec('dd', ['if=/dev/zero', 'of=/root/x', 'bs=1M', 'count=20', 'conv=fsync']);
  const { ioWriteBytes, ioReadBytes } = await session.stats();
  if (ioWriteBytes !== 0) expect(ioWriteBytes).toBeGreaterThanOrEqual(20 * MIB);
  expect(ioReadBytes).toBeGreaterThanOrEqual(0);
});

test('watchStats keeps its interval and ends with the signal or the loop', async () => {
  await using session = await provider.createSession();
  const abort = new AbortController();
  const times: number[] = [];
  const started = Date.now();
  for await (const { time } of session.watchStats({ intervalMs: 150, signal: abort.signal })) {
    times.push(time.getTime());
    if (times.length === 4) abort.abort();
  }
  expect(times).toHaveLength(4);
  expect(Date.now() - started).toBeGreaterThanOrEqual(590);
  const waiting = session.watchStats({ intervalMs: 60_000, signal: AbortSignal.timeout(200) }).next();
  expect(await waiting).toEqual({ done: true, value: undefined });
  const already = session.watchStats({ intervalMs: 10, signal: AbortSignal.abort() }).next();
  expect(await already).toEqual({ done: true, value: undefined });
});

test('a stopped session has none, a paused one has, and a start brings them back', async () => {
  await using session = await provider.createSession();
  const watched = (async () => {
    for await (const _ of session.watchStats({ intervalMs: 50 }));
  })();
  const rejected = expect(watched).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(/is stopped/),
  });
  await session.pause();
  expect((await session.stats()).pids).toBe(1);
  await session.resume();
  await session.stop();
  await expect(session.stats()).rejects.toMatchObject({
    code: 'failed-precondition',
    message: `session ${session.sessionId} is stopped`,
  });
  await rejected;
  await session.start();
  await expect.poll(async () => (await session.stats()).pids).toBe(1);
});
