import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { nameStateDirectory } from '../../src/session/context.js';
import { LOG_BYTES } from '../../src/session/logs.js';
import { collectLogs } from './main-session.js';
import { openPrivateHost } from './recovery/private.js';
import { Worker } from './recovery/worker.js';

const host = await openPrivateHost();
const { provider, daemon, channel, scope } = host;

// The process that creates the sessions, killed in the first test that needs it dead.
const worker = new Worker(host.options);
afterAll(() => worker[Symbol.asyncDispose]());

const ticks = ['sh', '-c', 'i=0; while [ ! -e /tmp/end ]; do i=$((i+1)); echo tick $i; sleep 0.05; done; echo last'];

function nameFile(id: string): string {
  return join(nameStateDirectory(scope.stateRoot, channel), id, 'stdout.log');
}

async function create(options: { tty?: boolean; command: string[] }): Promise<string> {
  return worker.tell('create', { ...options, ttlMs: 600_000 });
}

test('logs outlive the process that created the session and the daemon, and go on meanwhile', async () => {
  const ids = [await create({ command: ticks }), await create({ command: ticks, tty: true })];
  const flooding = await create({
    command: ['sh', '-c', 'sleep 1; yes 0123456789abcde | head -c 104857600; sleep 1000'],
  });
  await worker.kill();
  const count = async (id: string) => (await stat(nameFile(id))).size;
  const sizes = await Promise.all(ids.map(count));
  await sleep(500);
  const grown = await Promise.all(ids.map(count));
  expect(grown.every((size, index) => size > (sizes[index] as number))).toBe(true);

  // Nobody but the reaper trims what belongs to no living process.
  await expect.poll(() => count(flooding)).toBe(100 * 1024 * 1024);
  expect((await stat(nameFile(flooding))).blocks * 512).toBeGreaterThan(4 * LOG_BYTES);
  expect(await host.reap()).toMatchObject({ sessions: [], failures: [] });
  expect((await stat(nameFile(flooding))).blocks * 512).toBeLessThan(3 * LOG_BYTES);
  await (await provider.connect(flooding)).destroy();

  const sessions = await Promise.all(ids.map((id) => provider.connect(id)));
  const followed = sessions.map((session) => collectLogs(session, { follow: true }));
  const stdout = new PassThrough().resume();
  const attached = Promise.all(sessions.map((session) => session.attach({ stdout })));
  await daemon.kill9();
  const before = await Promise.all(ids.map(count));
  await sleep(500);
  const after = await Promise.all(ids.map(count));
  expect(after.every((size, index) => size > (before[index] as number))).toBe(true);
  await daemon.restart();
  for (const session of sessions) await session.exec('touch', ['/tmp/end']);
  for (const { stdout } of await Promise.all(followed)) {
    const lines = stdout.trimEnd().split(/\r?\n/);
    expect(lines.pop()).toBe('last');
    expect(lines).toEqual(lines.map((_, index) => `tick ${index + 1}`));
  }
  expect(await attached).toEqual([{ exitCode: 0 }, { exitCode: 0 }]);
  for (const session of sessions) {
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 0, expiresAt: expect.any(Date) });
    await session.destroy();
  }
});
