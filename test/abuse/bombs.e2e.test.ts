import { stat } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CreateOptions, Session } from '../../src/index.js';
import { Channel } from '../../src/rpc/channel.js';
import { nameStateDirectory } from '../../src/session/context.js';
import { LOG_BYTES } from '../../src/session/logs.js';
import { context } from '../support/context.js';
import { observe, type State } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openAbuse } from './probe.js';

const MIB = 1024 * 1024;
const { provider } = await openAbuse();
const tight: CreateOptions = { resources: { memoryMb: 48, cpus: 0.5, pidsLimit: 48 } };
let neighbour: Session;

beforeAll(async () => {
  neighbour = await provider.createSession();
  return () => neighbour.destroy();
});

async function answer(session: Session): Promise<string> {
  return (await session.exec('echo', ['here'], { timeoutMs: relax(20_000) })).stdout;
}

/** What there is beside the neighbour's FIFOs, of which each exec takes two. */
async function observeOthers(ids: string[] = []): Promise<State> {
  const { api, host } = await observe({ ...context, ids });
  return { api, host: { ...host, files: host.files.filter((path) => !path.includes(neighbour.sessionId)) } };
}

/** Lets it go off, asks a neighbour meanwhile, then kills and destroys: nothing may be left of it. */
async function endure(policy: CreateOptions, goOff: (session: Session) => Promise<void>): Promise<void> {
  const before = await observeOthers();
  const session = await provider.createSession({ ...tight, ...policy });
  try {
    await goOff(session);
    expect(await answer(neighbour)).toBe('here\n');
    expect((await neighbour.verify()).ok).toBe(true);
    expect(await session.kill()).toMatchObject({ survivors: [] });
  } finally {
    await session.destroy();
  }
  await expect.poll(() => observeOthers([session.sessionId]), { timeout: relax(10_000) }).toEqual(before);
  expect(await answer(neighbour)).toBe('here\n');
}

describe('bombs', () => {
  test('of processes: no more of them than were allowed', () =>
    endure({}, async (session) => {
      await session.spawn('bomb', ['processes']);
      await expect.poll(async () => (await session.stats()).pids, { timeout: relax(20_000) }).toBe(48);
    }));

  test('of memory: it ends by the limit, and the session lives on', () =>
    endure({}, async (session) => {
      const free = freemem();
      const { exitCode, oomKilled } = await session.exec('bomb', ['memory'], { timeoutMs: relax(30_000) });
      expect({ exitCode, oomKilled }).toEqual({ exitCode: 137, oomKilled: true });
      expect(free - freemem()).toBeLessThan(1024 * MIB);
      expect(await answer(session)).toBe('here\n');
    }));

  test('of memory, in every process at once', () =>
    endure({}, async (session) => {
      const execs = Array.from({ length: 8 }, () => session.exec('bomb', ['memory'], { timeoutMs: relax(30_000) }));
      for (const { exitCode } of await Promise.all(execs)) expect(exitCode).toBe(137);
    }));

  test('of descriptors: as many as a process may have, in as many processes as there may be', () =>
    endure({}, async (session) => {
      await session.spawn('bomb', ['descriptors']);
      await sleep(2_000);
      expect((await session.stats()).pids).toBeLessThanOrEqual(48);
    }));

  test.each(['/dev/shm', '/run', '/dev', '/tmp'])('that fills %s: its size or the limit of memory ends it', (path) =>
    endure({ readOnlyRootfs: true }, async (session) => {
      const script = `dd if=/dev/zero of=${path}/full bs=1M count=1000; echo $?`;
      const { stdout, stderr } = await session.exec('sh', ['-c', script], { timeoutMs: relax(30_000) });
      const isFull = /No space left/.test(stderr) && stdout === '1\n';
      expect({ stdout, isEnded: isFull || stdout === '137\n' }).toMatchObject({ isEnded: true });
      // What is held there counts as memory of the session, and is free again with it.
      await expect.poll(async () => (await session.stats()).memoryBytes).toBeLessThanOrEqual(48 * MIB);
    }),
  );

  test('without a limit of memory, a tmpfs has a size all the same', () =>
    endure({ resources: {} }, async (session) => {
      for (const path of ['/dev/shm', '/run']) {
        const script = `dd if=/dev/zero of=${path}/full bs=1M count=1000 2>&1; stat -c %s ${path}/full; rm ${path}/full`;
        const { stdout } = await session.exec('sh', ['-c', script], { timeoutMs: relax(30_000) });
        expect(stdout).toMatch(/No space left[\s\S]*\n67108864\n$/);
      }
    }));

  test('of output: a log keeps its size, and an exec what it was told to keep', () =>
    endure({ command: ['sh', '-c', 'exec yes 0123456789abcdef'] }, async (session) => {
      const { truncated, stdout } = await session.exec('yes', [], { timeoutMs: relax(2_000), maxBuffer: MIB });
      expect(stdout.length).toBeLessThanOrEqual(MIB);
      expect(truncated.stdout).toBeGreaterThan(0);
      const { stateRoot } = context;
      const log = join(nameStateDirectory(stateRoot, new Channel(context)), session.sessionId, 'stdout.log');
      const written = async () => (await stat(log)).size;
      await expect.poll(written, { timeout: relax(60_000) }).toBeGreaterThan(8 * LOG_BYTES);
      const blocks = async () => (await stat(log)).blocks * 512;
      await expect.poll(blocks, { timeout: relax(20_000) }).toBeLessThan(6 * LOG_BYTES);
    }));
});

test('the bombs are real: without limits of its own one goes on', async () => {
  await using session = await provider.createSession({ resources: { pidsLimit: 200, memoryMb: 256, cpus: 0.5 } });
  await session.spawn('bomb', ['processes']);
  await expect.poll(async () => (await session.stats()).pids, { timeout: relax(20_000) }).toBe(200);
  await session.kill();
});
