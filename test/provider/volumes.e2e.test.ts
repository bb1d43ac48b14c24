import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Session, Volume } from '../../src/index.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const volumeRoot = mkdtempSync(join(tmpdir(), 'cadre-volumes-'));
afterAll(() => rmSync(volumeRoot, { recursive: true }));
const provider = await openProvider({ volumeRoot });
const { volumes } = provider;
const before = await observe(context);

const mount = (name: string, more = {}) => ({
  mounts: [{ type: 'volume' as const, path: name, target: '/cache', readOnly: false, ...more }],
});

async function sh(session: Session, line: string): Promise<string> {
  const { stdout } = await session.exec('sh', ['-c', `exec 2>&1; ${line}`]);
  return stdout.trim();
}

async function listNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of volumes.list()) names.push(name);
  return names;
}

/** As if it had been used last so many hours ago. */
function age({ path }: Volume, hours: number): void {
  const then = new Date(Date.now() - hours * 3_600_000);
  utimesSync(dirname(path), then, then);
}

beforeEach(async () => {
  for (const name of await listNames()) await volumes.remove(name);
});

test('is made by its first use, for the session and its user, and outlives the session', async () => {
  const first = await provider.createSession({ ...mount('deps'), user: 'agent' });
  expect(
    await sh(first, 'echo kept > /cache/f; stat -c %U /cache; grep -c " /cache .*nosuid,nodev" /proc/self/mountinfo'),
  ).toBe('agent\n1');
  await first.destroy();
  await using second = await provider.createSession(mount('deps', { readOnly: true }));
  expect(await sh(second, 'cat /cache/f; echo x > /cache/g')).toMatch(/^kept\n.*Read-only file system$/);
  const details = await volumes.inspect('deps');
  expect(details).toMatchObject({ name: 'deps', sessions: [second.sessionId] });
  expect(statSync(dirname(details.path)).mode & 0o777).toBe(0o700);
});

test('is shared by the sessions that use it, in another process too, and after a start', async () => {
  await using one = await provider.createSession(mount('shared'));
  await using two = await (await openProvider({ volumeRoot })).createSession(mount('shared', { target: '/elsewhere' }));
  await sh(one, 'echo hello > /cache/f');
  expect(await sh(two, 'cat /elsewhere/f')).toBe('hello');
  await two.stop({ timeoutMs: 100 });
  await two.start();
  expect(await sh(two, 'cat /elsewhere/f')).toBe('hello');
});

test('in use is not removed: by a session that runs, that is stopped, that another process has', async () => {
  const session = await provider.createSession(mount('used'));
  const other = await openProvider({ volumeRoot });
  const refusal = { code: 'failed-precondition', message: `volume used is used by ${session.sessionId}` };
  await expect(volumes.remove('used')).rejects.toMatchObject(refusal);
  await session.stop({ timeoutMs: 100 });
  await expect(other.volumes.remove('used')).rejects.toMatchObject(refusal);
  expect((await other.volumes.prune({ olderThanMs: 0, keepBytes: 0 })).removed).toEqual([]);
  await session.destroy();
  await other.volumes.remove('used');
  expect(await listNames()).toEqual([]);
  await expect(volumes.inspect('used')).rejects.toMatchObject({ code: 'not-found' });
  await expect(volumes.remove('used')).rejects.toMatchObject({ code: 'not-found' });
});

test('is made ahead for an owner, once; names are checked', async () => {
  const volume = await volumes.create('ahead', { uid: 1000, gid: 1000 });
  expect(statSync(volume.path)).toMatchObject({ uid: 1000, gid: 1000 });
  expect(volume.sessions).toEqual([]);
  await expect(volumes.create('ahead')).rejects.toMatchObject({ code: 'already-exists' });
  for (const name of ['', '..', '../x', 'a/b', '.hidden', 'a\0b', 'x'.repeat(129)]) {
    for (const call of [volumes.create(name), volumes.inspect(name), volumes.remove(name)]) {
      await expect(call).rejects.toMatchObject({ code: 'invalid-argument' });
    }
  }
  await expect(volumes.create('x', { uid: -1 })).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('is measured: blocks on disk, a file of two names once, links not followed', async () => {
  await using session = await provider.createSession(mount('measured'));
  const empty = (await volumes.inspect('measured')).sizeBytes;
  await sh(
    session,
    'cd /cache && dd if=/dev/zero of=f bs=1024 count=1024 && ln f g && ln -s / root && mkdir d && truncate -s 1G d/hole',
  );
  const grown = (await volumes.inspect('measured')).sizeBytes - empty;
  expect(grown).toBeGreaterThanOrEqual(1024 * 1024);
  expect(grown).toBeLessThan(1024 * 1024 + 64 * 1024);
});

describe('prune', () => {
  async function makeThree(): Promise<void> {
    for (const [name, hours] of [
      ['old', 50],
      ['older', 100],
      ['new', 1],
    ] as const) {
      await using session = await provider.createSession(mount(name));
      await sh(session, 'dd if=/dev/zero of=/cache/f bs=1024 count=1024');
      await session.destroy();
      age(await volumes.inspect(name), hours);
    }
  }

  test('by age since the last use', async () => {
    await makeThree();
    const { removed, freedBytes } = await volumes.prune({ olderThanMs: 24 * 3_600_000 });
    expect(removed).toEqual(['older', 'old']);
    expect(freedBytes).toBeGreaterThanOrEqual(2 * 1024 * 1024);
    expect(await listNames()).toEqual(['new']);
    // Use makes it young again, its end too.
    age(await volumes.inspect('new'), 1_000);
    await (await provider.createSession(mount('new'))).destroy();
    expect((await volumes.prune({ olderThanMs: 24 * 3_600_000 })).removed).toEqual([]);
  });

  test('by size, the least recently used first, and none that is in use', async () => {
    await makeThree();
    await using session = await provider.createSession(mount('older'));
    age(await volumes.inspect('older'), 100);
    const { removed } = await volumes.prune({ keepBytes: 2.5 * 1024 * 1024 });
    expect(removed).toEqual(['old']);
    expect(await sh(session, 'ls /cache')).toBe('f');
    expect((await volumes.prune({ keepBytes: 0 })).removed).toEqual(['new']);
    expect(await listNames()).toEqual(['older']);
  });

  test('of everything is not what an empty call means; unknown options are refused', async () => {
    await expect(volumes.prune({})).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(volumes.prune({ olderThan: 1 } as never)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

test('sessions and removals at once: no session is without its volume, none is removed in use', async () => {
  const other = await openProvider({ volumeRoot });
  let isOver = false;
  let removed = 0;
  const pruning = (async () => {
    while (!isOver) removed += (await other.volumes.prune({ keepBytes: 0 })).removed.length;
  })();
  try {
    for (let round = 0; round < 6; round++) {
      await Promise.all(
        [1, 2, 3].map(async () => {
          await using session = await provider.createSession(mount('contended'));
          // A file of its own: pids are the same in all of them.
          const file = `/cache/${session.sessionId}`;
          expect(await sh(session, `echo here > ${file} && cat ${file}`)).toBe('here');
          const { path } = await volumes.inspect('contended');
          expect(existsSync(path)).toBe(true);
        }),
      );
    }
    await expect.poll(() => removed, { timeout: relax(10_000) }).toBeGreaterThan(0);
  } finally {
    isOver = true;
    // A failure of its own is told below.
    await pruning.catch(() => undefined);
  }
  await pruning;
});

test('nothing of all this is left but the volumes', async () => {
  for (const name of await listNames()) await volumes.remove(name);
  expect(await settle(context, before)).toEqual(before);
  expect(readdirSync(volumeRoot).flatMap((name) => readdirSync(join(volumeRoot, name)))).toEqual([]);
});
