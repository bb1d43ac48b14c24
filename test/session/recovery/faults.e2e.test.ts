import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerdProvider } from '../../../src/index.js';
import { observe, settle } from '../../support/leaks.js';
import { detector, openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { daemon, scope, options, provider } = await openPrivateHost();

test('a session whose reader died is usable from another process, its execs can be taken up', async () => {
  const before = await observe(scope);
  const worker = new Worker(options);
  const id = await worker.tell('create', { ttlMs: 600_000 });
  await worker.tell('spawn', id, 'yes | head -c 8000000; echo done; exit 6');
  await worker.kill();
  const session = await provider.connect(id);
  expect((await session.exec('echo', ['usable'])).stdout).toBe('usable\n');
  const [running] = await session.executions.list();
  const execution = await session.executions.connect(running?.execId ?? '');
  const { stdout, exitCode } = await execution.result();
  expect([exitCode, stdout.endsWith('done\n')]).toEqual([6, true]);
  await session.destroy();
  // The FIFOs that the dead reader had not used yet.
  await provider.reap();
  expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
});

test.each([
  ['the first FIFO, or the door of a supervisor', 3],
  ['the session', 2],
])('a state root without room for %s is told, and leaves nothing', async (_, inodes) => {
  const stateRoot = join(scope.root, `small-${inodes}`);
  mkdirSync(stateRoot);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=64k,nr_inodes=${inodes}`, 'tmpfs', stateRoot]);
  try {
    const before = await observe({ ...scope, stateRoot });
    await using cramped = new ContainerdProvider({ ...options, stateRoot }, detector);
    await expect(cramped.createSession()).rejects.toMatchObject({
      code: 'resource-exhausted',
      message: expect.stringContaining(stateRoot),
      suppressed: [],
    });
    expect(await settle({ ...scope, stateRoot }, before)).toEqual(before);
  } finally {
    execFileSync('umount', [stateRoot]);
  }
});

test('a full disk under the daemon is told, and leaves nothing', async () => {
  await daemon.kill9();
  const state = join(scope.root, 'state');
  // Goes with the daemon.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', state]);
  await daemon.restart();
  const before = await observe(scope);
  const filler = join(state, 'filler');
  fill(filler);
  await expect(provider.createSession()).rejects.toMatchObject({
    code: 'resource-exhausted',
    operation: 'Tasks.Create',
    suppressed: [],
  });
  rmSync(filler);
  expect(await settle(scope, before)).toEqual(before);
  await using session = await provider.createSession();
  expect((await session.exec('true')).exitCode).toBe(0);
});

function fill(path: string): void {
  try {
    for (;;) appendFileSync(path, Buffer.alloc(4096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
