import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { SessionInfo } from '../../src/index.js';
import { context, unseen } from '../support/context.js';
import { CHOSEN, KILLS_VERIFIED, TAKES_STREAMS } from '../support/executor.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { collectLogs, waitUntilStopped } from './main-session.js';

// Of sessions with a command of their own; the others are in recovery/lifecycle.e2e.test.ts.

const provider = await openProvider();

function loop(trap: string) {
  return { command: ['sh', '-c', `trap "${trap}" TERM; echo ready; while :; do sleep 0.02; done`] };
}

async function createReady(trap: string) {
  const session = await provider.createSession(loop(trap));
  await expect.poll(() => collectLogs(session)).toEqual({ stdout: 'ready\n', stderr: '' });
  return session;
}

describe('stop', () => {
  test('lets a command end by itself; its code is told', async () => {
    await using session = await createReady('echo bye; exit 0');
    await session.stop();
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 0 });
    expect((await collectLogs(session)).stdout).toBe('ready\nbye\n');
    // Once more is nothing.
    await session.stop();
    await expect(session.exec('true')).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/stopped/),
    });
  });

  test('kills one that ignores it when the grace is over', async () => {
    await using session = await createReady('');
    const started = Date.now();
    await session.stop({ timeoutMs: 400 });
    expect(Date.now() - started).toBeGreaterThanOrEqual(390);
    expect(Date.now() - started).toBeLessThan(relax(5_000));
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 137 });
  });

  test('that is cancelled in its grace leaves it running', async () => {
    await using session = await createReady('');
    await using idle = await provider.createSession();
    const ignoring = await idle.spawn('sh', ['-c', 'trap "" TERM; while :; do sleep 0.02; done']);
    // A guest's init is all that is sent a signal, and without a command ends of it.
    for (const each of context.isKata ? [session] : [session, idle]) {
      const started = Date.now();
      const stopped = each.stop({ timeoutMs: 20_000, signal: AbortSignal.timeout(200) });
      await expect(stopped).rejects.toMatchObject({ code: 'canceled' });
      expect(Date.now() - started).toBeLessThan(relax(5_000));
      expect((await each.info()).state).toBe('running');
      expect((await each.exec('true')).exitCode).toBe(0);
    }
    await ignoring.kill();
  });

  test('ends a paused one with its grace', async () => {
    await using session = await createReady('exit 6');
    await session.pause();
    await session.stop();
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 6 });
  });
});

test('start runs the command again on the same files, with the same limits', async () => {
  const script = 'echo run >> /root/runs; cat /root/runs | wc -l; sleep 1000';
  await using session = await provider.createSession({
    command: ['sh', '-c', script],
    resources: { memoryMb: 64, ...context.limitPids(20) },
  });
  await expect.poll(async () => (await collectLogs(session)).stdout).toBe('1\n');
  await session.exec('sh', ['-c', 'echo kept > /root/file']);
  await expect(session.start()).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(/running/),
  });
  await session.stop({ timeoutMs: 100 });
  await session.start();
  expect(await session.info()).toMatchObject({ state: 'running' });
  expect('exitCode' in (await session.info())).toBe(false);
  await expect.poll(async () => (await collectLogs(session)).stdout).toBe('1\n2\n');
  expect((await session.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
  const limits = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null';
  expect((await session.exec('sh', ['-c', limits])).stdout).toBe(`${64 * 1024 * 1024}\n`);
  if (context.isKata) return;
  const { stderr } = await session.exec('sh', ['-c', 'for i in $(seq 30); do sleep 1000 & done'], { drainMs: 50 });
  expect(stderr).toMatch(/can't fork/);
});

test('a handle of a session that another process started again kills and measures what runs now', async () => {
  await using session = await provider.createSession();
  const other = await provider.connect(session.sessionId);
  await other.stop({ timeoutMs: 100 });
  await other.start();
  const timedOut = await session.exec('sh', ['-c', 'setsid sleep 1000 & sleep 1001'], { timeoutMs: relax(200) });
  const verified = !context.isKata;
  expect(timedOut.kill).toMatchObject({ survivors: [], verified: KILLS_VERIFIED });
  if (verified) expect((await session.stats()).pids).toBe(1);
  expect(await session.kill()).toMatchObject({ survivors: [], verified });
});

test('a command that cannot run any more fails the start and leaves the session stopped', async ({ skip }) => {
  skip(context.isKata, unseen);
  await using session = await provider.createSession({ command: ['sh', '-c', 'cp /bin/busybox /root/x; rm /bin/sh'] });
  await waitUntilStopped(session);
  await expect(session.start()).rejects.toMatchObject({
    code: 'not-found',
    message: 'command "sh" not found in the session',
  });
  expect((await session.info()).state).toBe('stopped');
});

test('paused: told as such, no exec, and a resume lets it go on', async () => {
  await using session = await provider.createSession({
    command: ['sh', '-c', 'while :; do echo x; sleep 0.02; done'],
  });
  await session.pause();
  expect((await session.info()).state).toBe('paused');
  await expect(session.exec('true')).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(/paused/),
  });
  const read = async () => (await collectLogs(session)).stdout.length;
  await sleep(relax(100));
  const before = await read();
  await sleep(relax(300));
  expect(await read()).toBe(before);
  await session.resume();
  await expect.poll(read).toBeGreaterThan(before);
  expect((await session.exec('true')).exitCode).toBe(0);
});

test('kill reports what it reached, also of a paused session, and has nothing left to do in a stopped one', async () => {
  await using session = await provider.createSession({
    command: ['sh', '-c', 'sleep 1000 & trap "" TERM; sleep 1001'],
  });
  await expect.poll(async () => (await session.exec('ps', ['-o', 'args'])).stdout).toContain('sleep 1001');
  await session.pause();
  const report = await session.kill();
  expect(report).toMatchObject({ survivors: [], verified: !context.isKata });
  // The init and both sleeps: the shell becomes the second.
  expect(report.killed.length).toBeGreaterThanOrEqual(context.isKata ? 0 : 3);
  expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 137 });
  expect(await session.kill()).toMatchObject({ killed: [], survivors: [] });
});

test('destroy of a paused, a stopped and a started session leaves nothing', async () => {
  const before = await observe(context);
  const sessions = await Promise.all(
    Array.from({ length: 3 }, () => provider.createSession({ command: ['sleep', '1000'], stdin: !TAKES_STREAMS })),
  );
  const [paused, stopped, again] = sessions;
  await paused?.pause();
  await stopped?.stop({ timeoutMs: 100 });
  await again?.stop({ timeoutMs: 100 });
  await again?.start();
  await Promise.all(sessions.map((session) => session.destroy()));
  expect(await settle({ ...context, ids: sessions.map(({ sessionId }) => sessionId) }, before)).toEqual(before);
});

test('info and list tell the same, to every process', async () => {
  const started = Date.now();
  await using session = await provider.createSession({
    name: 'told',
    command: ['sleep', '1000'],
    metadata: { team: 'a' },
    ttlMs: 60_000,
  });
  const info = await session.info();
  expect(info).toEqual({
    sessionId: session.sessionId,
    name: 'told',
    state: 'running',
    image: context.images.reference,
    runtime: `io.containerd.${context.isKata ? 'kata' : 'runc'}.v2`,
    ...CHOSEN,
    metadata: { team: 'a' },
    createdAt: expect.any(Date),
    expiresAt: new Date(info.createdAt.getTime() + 60_000),
  });
  expect(info.createdAt.getTime()).toBeGreaterThanOrEqual(started);
  const list = async (): Promise<SessionInfo[]> => {
    const found = [];
    for await (const each of provider.list({ metadata: { team: 'a' } })) found.push(each);
    return found;
  };
  expect(await list()).toEqual([info]);
  const other = await openProvider();
  const connected = await other.connect('told');
  expect(await connected.info()).toEqual(info);
  const expiresAt = await connected.extend(120_000);
  expect((await session.info()).expiresAt).toEqual(expiresAt);
  await session.kill();
  expect(await list()).toEqual([{ ...info, state: 'stopped', exitCode: 137, expiresAt }]);
});
