import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Channel } from '../../src/rpc/channel.js';
import { nameStateDirectory } from '../../src/session/context.js';
import { LOG_BYTES } from '../../src/session/logs.js';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { TAKES_STREAMS, taken } from '../support/executor.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { collectLogs, waitUntilStopped } from './main-session.js';

const provider = await openProvider();

function sh(script: string) {
  return { command: ['sh', '-c', script] };
}

function nameFile({ sessionId }: Session): string {
  const channel = new Channel(context);
  channel.close();
  return join(nameStateDirectory(context.stateRoot, channel), sessionId, 'stdout.log');
}

test('streams stay apart, and a session without a command has none', async () => {
  await using session = await provider.createSession(sh('echo out; echo err >&2; exit 7'));
  await waitUntilStopped(session);
  expect(await collectLogs(session)).toEqual({ stdout: 'out\n', stderr: 'err\n' });
  expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 7 });
  await using idle = await provider.createSession();
  expect(await collectLogs(idle, { follow: true })).toEqual({ stdout: '', stderr: '' });
});

test('tail counts the last lines of each stream', async () => {
  await using session = await provider.createSession(sh('seq 30000; seq 3 >&2; printf open'));
  await waitUntilStopped(session);
  expect(await collectLogs(session, { tail: 2 })).toEqual({ stdout: '30000\nopen', stderr: '2\n3\n' });
  expect(await collectLogs(session, { tail: 0 })).toEqual({ stdout: '', stderr: '' });
  expect((await collectLogs(session, { tail: 99_999 })).stdout).toMatch(/^1\n2\n[\s\S]*\n30000\nopen$/);
  // More than one block of the search from behind.
  expect((await collectLogs(session, { tail: 25_000 })).stdout.split('\n')[0]).toBe('5002');
});

describe('follow', () => {
  test('yields what comes when it comes, and ends with the command, with all of it', async () => {
    await using session = await provider.createSession(sh('for i in 1 2 3; do echo $i; sleep 0.3; done; seq 100000'));
    const times: number[] = [];
    let text = '';
    for await (const { data } of session.logs({ follow: true })) {
      times.push(Date.now());
      text += Buffer.from(data).toString();
    }
    expect(text.split('\n')).toHaveLength(100_004);
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(500);
  });

  test('ends when the signal is aborted, also under a flood, and when the loop is left', async () => {
    await using session = await provider.createSession(sh('yes & sleep 1000'));
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 300);
    let bytes = 0;
    for await (const { data } of session.logs({ follow: true, signal: abort.signal })) bytes += data.length;
    expect(bytes).toBeGreaterThan(1_000);
    for await (const _ of session.logs({ follow: true })) break;
    expect((await collectLogs(session)).stdout.length).toBeGreaterThan(1_000);
    expect((await session.info()).state).toBe('running');
    for await (const _ of session.logs({ follow: true, signal: AbortSignal.abort() })) break;
  });

  test('ends when the session is destroyed', async () => {
    const session = await provider.createSession(sh('echo there; sleep 1000'));
    const followed = collectLogs(session, { follow: true });
    await sleep(relax(200));
    await session.destroy();
    expect(await followed).toEqual({ stdout: 'there\n', stderr: '' });
    await expect(collectLogs(session)).rejects.toMatchObject({ code: 'destroyed' });
  });

  test('twenty commands that end at once lose nothing', async () => {
    const expected = createHash('sha256').update(Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join(''));
    const digest = expected.digest('hex');
    const run = async () => {
      await using session = await provider.createSession(sh('seq 40000'));
      const { stdout } = await collectLogs(session, { follow: true });
      return createHash('sha256').update(stdout).digest('hex');
    };
    for (let round = 0; round < 4; round++) {
      expect(await Promise.all(Array.from({ length: 5 }, run))).toEqual(Array(5).fill(digest));
    }
  });
});

describe('a terminal', () => {
  test('merges the streams, and its output goes on after a start', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    const command = ['sh', '-c', 'echo run >> /root/runs; echo out $(wc -l < /root/runs); echo err >&2'];
    await using session = await provider.createSession({ tty: true, command });
    await waitUntilStopped(session);
    for (const _ of [2, 3]) {
      await session.start();
      await waitUntilStopped(session);
    }
    const run = (n: number) => `out ${n}\r\nerr\r\n`;
    expect(await collectLogs(session)).toEqual({ stdout: run(1) + run(2) + run(3), stderr: '' });
    expect((await collectLogs(session, { tail: 3 })).stdout).toBe(`err\r\n${run(3)}`);
    expect((await collectLogs(session, { tail: 5 })).stdout).toBe(`err\r\n${run(2)}${run(3)}`);
  });
});

test('pipes go on in the same file after a start', async () => {
  await using session = await provider.createSession(sh('echo run'));
  await waitUntilStopped(session);
  await session.start();
  await waitUntilStopped(session);
  expect((await collectLogs(session)).stdout).toBe('run\nrun\n');
});

const MIB = 1024 * 1024;
// A terminal passes on some 5 MiB a second.
for (const { tty, bytes, most } of [
  { tty: false, bytes: 100 * MIB, most: 3 * LOG_BYTES },
  { tty: true, bytes: 34 * MIB, most: 28 * MIB },
]) {
  test(`a flood keeps the disk bounded and the end whole, ${tty ? 'terminal' : 'pipes'}`, async ({ skip }) => {
    skip(tty && TAKES_STREAMS, taken);
    const script = `stty -opost 2>/dev/null; yes 0123456789abcde | head -c ${bytes}; printf END; sleep 1000`;
    await using session = await provider.createSession({ ...sh(script), tty });
    const path = nameFile(session);
    await expect.poll(async () => (await stat(path)).size, { timeout: 40_000 }).toBe(bytes + 3);
    await expect.poll(async () => (await stat(path)).blocks * 512).toBeLessThan(most);
    const { stdout } = await collectLogs(session);
    expect(stdout.length).toBe(LOG_BYTES);
    expect(stdout).not.toContain('\0');
    expect(stdout.endsWith('0123456789abcde\nEND')).toBe(true);
  });
}

test('a reader that falls behind a flood skips what is gone, and reads no hole', async () => {
  await using session = await provider.createSession(sh('yes 0123456789abcde | head -c 104857600; printf END'));
  let last = '';
  let bytes = 0;
  for await (const { data } of session.logs({ follow: true })) {
    expect(Buffer.from(data).includes(0)).toBe(false);
    last = Buffer.from(data).toString();
    if (bytes === 0) await waitUntilStopped(session).then(() => sleep(1_500));
    bytes += data.length;
  }
  expect(last.endsWith('END')).toBe(true);
  expect(bytes).toBeLessThan(3 * LOG_BYTES);
});
