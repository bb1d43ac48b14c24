import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { context } from '../../support/context.js';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { openProvider } from '../../support/provider.js';

const { isKata } = context;
const provider = await openProvider();

test('destroy during execs: they reject, and 20 destroys at once are one', async () => {
  const before = await observe(context);
  const session = await provider.createSession();
  const results = [1, 2, 3].map(() => session.exec('sh', ['-c', 'yes; sleep 1000']));
  const unread = await session.spawn('yes');
  await sleep(relax(100));
  const started = Date.now();
  const rejected = Promise.all(
    results.map((result) =>
      expect(result).rejects.toMatchObject({ code: 'destroyed', message: expect.stringMatching(/destroyed/) }),
    ),
  );
  await Promise.all(Array.from({ length: 20 }, () => session.destroy()));
  await rejected;
  await expect(unread.result()).rejects.toMatchObject({ code: 'destroyed' });
  expect(Date.now() - started).toBeLessThan(relax(5_000));
  for (const call of [
    () => session.exec('true'),
    () => session.spawn('true'),
    () => session.info(),
    () => session.pause(),
    () => session.start(),
    () => session.extend(1),
  ]) {
    await expect(call()).rejects.toMatchObject({
      code: 'destroyed',
      message: `session ${session.sessionId} is destroyed`,
    });
  }
  expect(await settle({ ...context, ids: [session.sessionId] }, before)).toEqual(before);
});

describe('stop', () => {
  test('gives what runs the time to end by itself, keeps the files, and start runs them again', async () => {
    await using session = await provider.createSession();
    const script =
      'trap "echo last >> /root/log; exit 5" TERM; echo first > /root/log; echo ready; while :; do sleep 0.05; done';
    let output = '';
    const onStdout = (text: string) => {
      output += text;
    };
    const result = session.exec('sh', ['-c', script], { onStdout });
    await expect.poll(() => output).toBe('ready\n');
    await session.stop();
    // Of a guest the init alone is told, and what is executed beside it is killed.
    expect((await result).exitCode).toBe(isKata ? 137 : 5);
    expect((await session.info()).state).toBe('stopped');
    await expect(session.exec('true')).rejects.toMatchObject({
      code: 'failed-precondition',
      message: `session ${session.sessionId} is stopped`,
    });
    await session.stop();
    await session.start();
    expect((await session.info()).state).toBe('running');
    expect((await session.exec('cat', ['/root/log'])).stdout).toBe(isKata ? 'first\n' : 'first\nlast\n');
    await expect(session.start()).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/running/),
    });
  });

  test('kills what ignores it when the time is over', async () => {
    await using session = await provider.createSession();
    const result = session.exec('sh', ['-c', 'trap "" TERM; while :; do sleep 0.05; done']);
    await sleep(relax(200));
    const started = Date.now();
    await session.stop({ timeoutMs: 300 });
    if (!isKata) expect(Date.now() - started).toBeGreaterThanOrEqual(300);
    expect(Date.now() - started).toBeLessThan(relax(3_000));
    expect((await result).exitCode).toBe(137);
  });

  test('that was aborted before leaves the session running', async () => {
    await using session = await provider.createSession();
    await expect(session.stop({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'canceled' });
    expect((await session.exec('true')).exitCode).toBe(0);
  });

  test('of a command hands it the signal and keeps its exit code', async () => {
    const command = ['sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.05; done'];
    await using session = await provider.createSession({ command });
    await sleep(relax(300));
    await session.stop();
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 9 });
  });
});

test('pause stops every process until resume', async () => {
  await using session = await provider.createSession();
  let ticks = 0;
  const result = session.exec('sh', ['-c', 'while [ ! -e /tmp/stop ]; do echo tick; sleep 0.02; done'], {
    onStdout: () => ticks++,
  });
  await expect.poll(() => ticks).toBeGreaterThan(2);
  await session.pause();
  expect((await session.info()).state).toBe('paused');
  await sleep(relax(100));
  const paused = ticks;
  await sleep(relax(300));
  expect(ticks).toBe(paused);
  await session.resume();
  await expect.poll(() => ticks).toBeGreaterThan(paused);
  await session.exec('touch', ['/tmp/stop']);
  expect((await result).exitCode).toBe(0);
});

test('a paused session can be destroyed', async () => {
  const before = await observe(context);
  const session = await provider.createSession();
  await session.pause();
  await session.destroy();
  expect(await settle(context, before)).toEqual(before);
});

test('kill ends everything and tells what it reached', async () => {
  await using session = await provider.createSession();
  const result = session.exec('sh', ['-c', 'trap "" TERM; sleep 1000 & sleep 1001']);
  await sleep(relax(200));
  const report = await session.kill();
  expect(report).toMatchObject({ survivors: [], verified: !isKata });
  expect(report.killed.length).toBeGreaterThanOrEqual(isKata ? 0 : 3);
  expect((await result).exitCode).toBe(137);
  expect((await session.info()).state).toBe('stopped');
});

test('a command that ends leaves a stopped session with its code', async () => {
  await using session = await provider.createSession({ command: ['sh', '-c', 'exit 3'] });
  await expect.poll(async () => session.info()).toMatchObject({ state: 'stopped', exitCode: 3 });
});

test('list finds by metadata and state, whoever created', async () => {
  await using a = await provider.createSession({ metadata: { team: 'a', tier: '1' }, name: 'first' });
  await using b = await provider.createSession({ metadata: { team: 'b', tier: '1' } });
  const list = async (filter: Parameters<typeof provider.list>[0] = {}) => {
    const found = [];
    for await (const info of provider.list(filter)) found.push(info.sessionId);
    return found.sort();
  };
  expect(await list()).toEqual([a.sessionId, b.sessionId].sort());
  expect(await list({ metadata: { team: 'a' } })).toEqual([a.sessionId]);
  expect(await list({ metadata: { tier: '1', team: 'b' } })).toEqual([b.sessionId]);
  expect(await list({ metadata: { team: 'c' } })).toEqual([]);
  await b.pause();
  expect(await list({ state: ['paused'] })).toEqual([b.sessionId]);
  expect(await list({ state: ['running'], metadata: { tier: '1' } })).toEqual([a.sessionId]);
  await b.resume();
  expect(await a.info()).toMatchObject({ name: 'first', state: 'running', metadata: { team: 'a', tier: '1' } });
});

test('events tell the life of a session in order', async () => {
  const abort = new AbortController();
  const events = provider.events({ signal: AbortSignal.any([abort.signal, AbortSignal.timeout(relax(10_000))]) });
  const session = await provider.createSession({ executor: 'task' });
  await session.exec('sh', ['-c', 'exit 4']);
  await session.destroy();
  const begin = ['/containers/create', '/tasks/create', '/tasks/start', '/tasks/exec-added', '/tasks/exec-started'];
  // What comes of the shim and what comes of the daemon overtake each other.
  const end = ['/containers/delete', '/tasks/exit', '/tasks/exit'];
  const topics: string[] = [];
  for await (const { topic, sessionId } of events) {
    // A shim sends it as it ends, and may be gone before it was sent.
    if (sessionId !== session.sessionId || topic === '/tasks/delete') continue;
    topics.push(topic);
    if (topics.length === begin.length + end.length) abort.abort();
  }
  expect(topics.slice(0, begin.length)).toEqual(begin);
  expect(topics.slice(begin.length).toSorted()).toEqual(end);
});
