import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { SnapshotsService } from '../../src/generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { commitForkPoint, nameForkPoint } from '../../src/image/fork-point.js';
import { findSnapshot } from '../../src/image/snapshot.js';
import type { CreateOptions, Session } from '../../src/index.js';
import { Channel } from '../../src/rpc/channel.js';
import { context } from '../support/context.js';
import { collectGarbage, observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { readTree } from './tree.js';

const provider = await openProvider();
const channel = new Channel(context);
afterAll(() => channel.close());
const before = await observe(context);
const snapshotter = 'overlayfs';

/** Nothing is left of sessions and of what they shared. */
afterEach(async () => {
  await provider.stopAll();
  expect(await settle(context, before)).toEqual(before);
});

async function prepare(options: CreateOptions = {}): Promise<Session> {
  const session = await provider.createSession(options);
  await session.exec('sh', [
    '-c',
    'rm -r /home; mkdir -m 750 /home; echo parent >/home/f; echo x >>/etc/group; chmod 711 /',
  ]);
  return session;
}

/** As a process leaves it that ends in the middle. */
function brokenOff({ sessionId }: Session) {
  return { key: sessionId, source: sessionId, name: nameForkPoint(sessionId) };
}

async function run(session: Session, script: string): Promise<string> {
  const { stdout, stderr } = await session.exec('sh', ['-c', script]);
  return stdout + stderr;
}

describe.each(['stopped', 'running', 'paused'] as const)('forks of a %s session', (state) => {
  test('begin as it is, and what one writes no other sees', async () => {
    const parent = await prepare();
    const tree = await readTree(parent);
    if (state === 'stopped') await parent.stop();
    if (state === 'paused') await parent.pause();
    const forks = await parent.fork({ count: 3 });
    expect(await parent.info()).toMatchObject({ state });
    for (const fork of forks) expect(await readTree(fork)).toEqual(tree);
    expect(await run(forks[0] as Session, 'stat -c %a /')).toBe('711\n');

    if (state === 'stopped') await parent.start();
    if (state === 'paused') await parent.resume();
    const all = [parent, ...forks];
    for (const [i, session] of all.entries())
      await run(session, `echo ${i} >/home/f; echo ${i} >/own${i}; rm /etc/group`);
    for (const [i, session] of all.entries()) {
      expect(await run(session, 'cat /home/f; ls -d /own*; ls /etc/group')).toBe(
        `${i}\n/own${i}\nls: /etc/group: No such file or directory\n`,
      );
    }
    expect(await run(parent, 'stat -c %a /')).toBe('711\n');
    // Whichever goes first takes nothing from the others.
    await parent.destroy();
    expect(await run(forks[1] as Session, 'cat /home/f')).toBe('2\n');
    await forks[1]?.destroy();
    expect(await run(forks[2] as Session, 'cat /home/f')).toBe('3\n');
    const changes = (await forks[2]?.diff())?.map(({ kind, path }) => `${kind} ${path}`);
    expect(changes).toEqual(
      expect.arrayContaining(['delete /etc/group', 'delete /home/agent', 'add /home/f', 'add /own3']),
    );
  });
});

test('lineage: of each its parent and the snapshot that they share', async () => {
  const parent = await prepare({ metadata: { run: '7' } });
  await parent.stop();
  const [child] = await parent.fork();
  const [grandchild] = (await child?.fork({ metadata: { run: '8' } })) ?? [];
  const found = new Map<string, unknown>();
  for await (const { sessionId, parent, metadata } of provider.list()) found.set(sessionId, { parent, metadata });
  const snapshot = expect.stringMatching(/^cadre\.dev\/fork\//);
  expect(Object.fromEntries(found)).toEqual({
    [parent.sessionId]: { parent: undefined, metadata: { run: '7' } },
    [child?.sessionId ?? '']: { parent: { session: parent.sessionId, snapshot }, metadata: { run: '7' } },
    [grandchild?.sessionId ?? '']: { parent: { session: child?.sessionId, snapshot }, metadata: { run: '8' } },
  });
});

test('forks are asked what the parent was, unless told otherwise', async () => {
  const parent = await provider.createSession({
    command: ['sh', '-c', 'echo $A; sleep 1000'],
    env: { A: 'one' },
    resources: { memoryMb: 64, ...context.limitPids(32) },
  });
  await parent.update({ resources: { memoryMb: 96 } });
  await parent.stop();
  const [same] = await parent.fork();
  const [other] = await parent.fork({ policy: { resources: { memoryMb: 128 } } });
  const limit = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max';
  expect(await run(same as Session, `${limit}; echo $A`)).toBe(`${96 * 2 ** 20}\none\n`);
  expect(await run(other as Session, `${limit}; echo $A`)).toBe(`${128 * 2 ** 20}\none\n`);
  for await (const { data } of (same as Session).logs()) expect(Buffer.from(data).toString()).toBe('one\n');
});

test('an unchanged parent is forked from the same snapshot again, one that was written to is not', async () => {
  const parent = await prepare();
  await parent.stop();
  const snapshots = new Set<string | undefined>();
  for (let i = 0; i < 3; i++) {
    const [fork] = await parent.fork();
    snapshots.add((await fork?.info())?.parent?.snapshot);
  }
  expect(snapshots.size).toBe(1);
  await parent.start();
  await run(parent, 'echo more >/more');
  await parent.stop();
  const [fork] = await (await provider.connect(parent.sessionId)).fork();
  expect(await run(fork as Session, 'cat /home/f /more')).toBe('parent\nmore\n');
  snapshots.add((await fork?.info())?.parent?.snapshot);
  expect(snapshots.size).toBe(2);
});

test('a fork point goes with the last that was on top of it, although the collector has taken another', async () => {
  const parent = await prepare();
  await parent.stop();
  const [fork] = await parent.fork();
  const point = (await fork?.info())?.parent?.snapshot ?? '';
  const key = `bare-${parent.sessionId}`;
  await channel.unary(SnapshotsService.prepare, { snapshotter, key, parent: point, labels: {} });
  await collectGarbage(channel);
  expect(await findSnapshot(channel, snapshotter, key)).toBeUndefined();
  await provider.stopAll();
  expect(await findSnapshot(channel, snapshotter, point)).toBeUndefined();
});

test('forks at the same time, while the parent is started and stopped', async () => {
  const parent = await prepare();
  await parent.stop();
  const forking = Promise.all([parent.fork({ count: 2 }), parent.fork({ count: 2 }), parent.start()]);
  const [one, two] = await forking;
  for (const session of [...one, ...two, parent]) expect(await run(session, 'cat /home/f')).toBe('parent\n');
});

test('bad input is refused before anything is made; a policy that cannot be honoured is named', async () => {
  const parent = await provider.createSession();
  await expect(parent.fork({ count: 0, cuont: 1 } as never)).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'cuont', suggestion: 'count' }, { path: 'count' }],
  });
  await expect(parent.fork({ policy: { networkMode: 'nowhere' } as never })).rejects.toMatchObject({
    code: 'invalid-argument',
  });
  await expect(parent.fork({ metadata: { 'a b': 'c' } })).rejects.toMatchObject({ code: 'invalid-argument' });
  const abort = AbortSignal.abort();
  await expect(parent.fork({ count: 4, signal: abort })).rejects.toMatchObject({ code: 'canceled' });
  await parent.destroy();
  await expect(parent.fork()).rejects.toMatchObject({ code: 'destroyed' });
});

describe('a fork that broke off when the parent had lost its snapshot', () => {
  test('is put right by the next start', async () => {
    const parent = await prepare();
    await parent.stop();
    await commitForkPoint(channel, snapshotter, brokenOff(parent));
    await collectGarbage(context);
    await parent.start();
    expect(await run(parent, 'cat /home/f; stat -c %a /')).toBe('parent\n711\n');
  });

  test('is put right by the next fork', async () => {
    const parent = await prepare();
    await parent.stop();
    await commitForkPoint(channel, snapshotter, brokenOff(parent));
    const [fork] = await parent.fork();
    expect(await run(fork as Session, 'cat /home/f')).toBe('parent\n');
  });
});

test('a template is an image that was committed', async () => {
  const session = await prepare();
  await session.commit({ image: 'template/ready' });
  await session.destroy();
  const started = await provider.createSession({ image: 'template/ready' });
  const [fork] = await started.fork();
  expect(await run(fork as Session, 'cat /home/f')).toBe('parent\n');
  await provider.stopAll();
  await provider.images.remove('template/ready', { sync: true });
});

test('a fork of a session with a seccomp profile of a file is filtered by it too', async () => {
  const path = join(context.root, 'fork-seccomp.json');
  const syscalls = [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }];
  const architectures = ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'];
  writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', architectures, syscalls }));
  await using parent = await provider.createSession({ seccomp: { path } });
  const [fork] = await parent.fork();
  try {
    for (const session of [parent, fork]) {
      expect((await session?.exec('mkdir', ['/tmp/x']))?.stderr).toMatch(/No space left on device/);
    }
  } finally {
    await fork?.destroy();
  }
});
