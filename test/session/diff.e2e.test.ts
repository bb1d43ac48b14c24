import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { stream } from '../image/archives.js';
import { buildDockerArchive } from '../support/busybox.js';
import { context, unseen } from '../support/context.js';
import { openProvider } from '../support/provider.js';
import { createRandom, seed } from './recovery/seed.js';
import { compareTrees, readTree } from './tree.js';

const provider = await openProvider();
const files = ['opt/', 'opt/a/', 'opt/a/deep/', 'opt/b/'].map((path) => ({ path }));
const contents = Array.from({ length: 12 }, (_, i) => ({
  path: `opt/${['a', 'a/deep', 'b'][i % 3]}/f${i}`,
  data: `${i}`,
}));
const [image = { name: '' }] = await provider.images.import(
  stream(buildDockerArchive({ reference: 'tree:1', layers: 2, files: [...files, ...contents] })),
);

/** What a session does, and what that is called. */
const cases: [name: string, script: string, expected: string[]][] = [
  ['nothing', 'true', []],
  ['a read, a chmod to what it was', 'cat /opt/b/f2; chmod 644 /opt/b/f2', []],
  [
    'a directory removed and made anew',
    'rm -r /opt/a/deep; mkdir /opt/a/deep; echo x >/opt/a/deep/new',
    [
      'delete /opt/a/deep/f1',
      'delete /opt/a/deep/f10',
      'delete /opt/a/deep/f4',
      'delete /opt/a/deep/f7',
      'add /opt/a/deep/new',
    ],
  ],
  [
    'a file for a directory',
    'rm -r /opt/a/deep; echo x >/opt/a/deep',
    [
      'modify /opt/a/deep',
      'delete /opt/a/deep/f1',
      'delete /opt/a/deep/f10',
      'delete /opt/a/deep/f4',
      'delete /opt/a/deep/f7',
    ],
  ],
  [
    'a directory for a file',
    'rm /opt/b/f2; mkdir -p /opt/b/f2/x; echo >/opt/b/f2/x/y',
    ['modify /opt/b/f2', 'add /opt/b/f2/x', 'add /opt/b/f2/x/y'],
  ],
  ['another name for a file', 'ln /opt/b/f2 /opt/linked', ['add /opt/linked']],
  [
    'a directory moved',
    'mv /opt/b /opt/c',
    [
      'delete /opt/b',
      'delete /opt/b/f11',
      'delete /opt/b/f2',
      'delete /opt/b/f5',
      'delete /opt/b/f8',
      'add /opt/c',
      'add /opt/c/f11',
      'add /opt/c/f2',
      'add /opt/c/f5',
      'add /opt/c/f8',
    ],
  ],
  [
    'modes, owners, kinds',
    'chmod 700 /opt/a; chown 5:6 /opt/b/f2; ln -sf /x /opt/b/f5; mkfifo /opt/p',
    ['modify /opt/a', 'modify /opt/b/f2', 'modify /opt/b/f5', 'add /opt/p'],
  ],
  [
    'odd names',
    "echo >'/opt/ with\nline'; mkdir '/opt/.wh'; echo > /opt/ümläut",
    ['add /opt/ with\nline', 'add /opt/.wh', 'add /opt/ümläut'],
  ],
];

describe('diff', () => {
  test.each(cases)('after %s', async (_, script, expected) => {
    await using session = await provider.createSession({ image: image.name });
    expect(await session.exec('sh', ['-c', script])).toMatchObject({ exitCode: 0, stderr: '' });
    const changes = (await session.diff()).map(({ kind, path }) => `${kind} ${path}`);
    expect(changes).toEqual(expected);
    // It was paused meanwhile, and is no more.
    expect(await session.info()).toMatchObject({ state: 'running' });
  });

  test(`is what a walk with checksums finds, after changes at random, seed ${seed}`, async () => {
    await using session = await provider.createSession({ image: image.name });
    const before = await readTree(session);
    const random = createRandom(seed);
    const pick = (list: readonly string[]) => list[Math.floor(random() * list.length)] as string;
    const paths = [...before.keys()].filter((path) => path.startsWith('/opt/'));
    const steps = Array.from({ length: 40 }, () => {
      const path = pick(paths);
      return pick([
        `rm -rf ${path}`,
        `rm -rf ${path}; mkdir -p ${path}; echo ${random()} >${path}/x`,
        `mkdir -p $(dirname ${path}) 2>/dev/null; echo ${random()} >>${path}`,
        `chmod ${pick(['700', '755', '4711', '644'])} ${path}`,
        `mv ${path} /opt/moved${Math.floor(random() * 5)}`,
        `cp -a ${path} /opt/copy${Math.floor(random() * 5)}`,
        `ln ${path} /opt/link${Math.floor(random() * 5)}`,
        `ln -sfn ${pick(paths)} ${path}`,
        `chown ${Math.floor(random() * 9)} ${path}`,
      ]);
    });
    await session.exec('sh', ['-c', steps.map((step) => `(${step}) 2>/dev/null`).join('\n')]);
    const expected = compareTrees(before, await readTree(session));
    expect(expected.length).toBeGreaterThan(5);
    expect(await session.diff()).toEqual(expected);
    await session.stop();
    expect(await session.diff()).toEqual(expected);
  });

  test('beside commands that are being started and killed: none is held up, and it goes on', async ({ skip }) => {
    skip(context.isKata, unseen);
    for (const executor of ['task', 'supervisor'] as const) {
      await using session = await provider.createSession({ executor });
      const random = createRandom(seed);
      const start = async () => {
        await sleep(random() * 60);
        // A look that takes longer than a second is no more waited for.
        await session.exec('true').catch(({ code }) => expect(code).toBe('failed-precondition'));
      };
      const kill = async () => {
        await sleep(random() * 60);
        await session.exec('sleep', ['1000'], { timeoutMs: Math.round(10 + random() * 60) }).catch(({ code }) => {
          expect(code).toBe('failed-precondition');
        });
      };
      for (let round = 0; round < 15; round++) await Promise.all([session.diff(), start(), kill(), kill()]);
      expect((await session.exec('echo', ['on'])).stdout).toBe('on\n');
      expect(await session.info()).toMatchObject({ state: 'running' });
    }
  });

  test('and an update beside the end of a session: both are done', async () => {
    await using session = await provider.createSession({ resources: { memoryMb: 128 } });
    const random = createRandom(seed);
    for (let round = 0; round < 10; round++) {
      const wait = () => sleep(random() * 40);
      await Promise.all([
        session.stop({ timeoutMs: 0 }),
        wait().then(() => session.diff()),
        wait().then(() => session.update({ resources: { memoryMb: 200 + round } })),
      ]);
      await session.start();
    }
    expect((await session.exec('true')).exitCode).toBe(0);
  });

  test('of a destroyed session is refused', async () => {
    const session = await provider.createSession();
    await session.destroy();
    await expect(session.diff()).rejects.toMatchObject({ code: 'destroyed' });
  });
});
