import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { stream } from '../image/archives.js';
import { buildDockerArchive } from '../support/busybox.js';
import { findContainerd } from '../support/containerd-binary.js';
import { context } from '../support/context.js';
import { nameNamespace } from '../support/daemon.js';
import { collectGarbage, observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { readTree } from './tree.js';

const provider = await openProvider();
const { images } = provider;
const config = { User: 'agent', Env: ['PATH=/bin', 'A=1'], Labels: { team: 'x' } };
const [base = { name: '' }] = await images.import(stream(buildDockerArchive({ reference: 'base:1', config })));
await collectGarbage(context);
const before = await observe(context);

afterEach(async () => {
  for (const reference of ['new:1', 'newer:1']) {
    if (await images.exists(reference)) await images.remove(reference, { force: true });
  }
  await collectGarbage(context);
  expect(await settle(context, before)).toEqual(before);
});

const CHANGE =
  'rm -r /home; mkdir -m 750 /home; echo made >/home/new; chown 5:6 /home/new; echo x >>/etc/group; ln /etc/group /etc/g2; ln -s a /etc/l';

describe.each([
  ['a stopped session', { compression: 'none' }],
  ['a running session', { compression: 'gzip' }],
] as const)('%s', (state, options) => {
  test('becomes an image with the same files and the config of its own', async () => {
    await using session = await provider.createSession({ image: base.name, user: '0' });
    await session.exec('sh', ['-c', CHANGE]);
    const tree = await readTree(session);
    if (state === 'a stopped session') await session.stop();
    const image = await session.commit({ image: 'new:1', comment: 'ready', ...options });
    expect(await session.info()).toMatchObject({ state: state === 'a stopped session' ? 'stopped' : 'running' });

    const { platforms, origin } = await images.inspect('new:1');
    expect(origin).toEqual({ session: session.sessionId, image: base.name });
    expect(image).toMatchObject({ name: 'docker.io/library/new:1', config });
    expect(platforms).toMatchObject([{ isComplete: true, config, history: [{}, { comment: 'ready' }] }]);
    const [, layer] = platforms[0]?.layers ?? [];
    expect(layer?.mediaType).toMatch(options.compression === 'gzip' ? /tar\+gzip$/ : /tar$/);
    await collectGarbage(context);
    await using made = await provider.createSession({ image: 'new:1', user: '0' });
    expect(await readTree(made)).toEqual(tree);
    expect(await made.diff()).toEqual([]);
  });
});

test('what a running session writes in a fixed order is in the image in that order, and it writes on', async () => {
  await using session = await provider.createSession({ image: base.name, user: '0' });
  await session.spawn('sh', ['-c', 'while :; do echo >>/first; echo >>/second; done']);
  await sleep(relax(100));
  await session.commit({ image: 'new:1' });
  await using made = await provider.createSession({ image: 'new:1', user: '0' });
  const { stdout } = await made.exec('sh', ['-c', 'wc -l </first; wc -l </second']);
  const [first = 0, second = 0] = stdout.trim().split('\n').map(Number);
  expect(second).toBeGreaterThan(0);
  expect([0, 1]).toContain(first - second);
  const read = async () => Number((await session.exec('sh', ['-c', 'wc -l </second'])).stdout);
  expect(await read()).toBeGreaterThan(second);
});

test('of a paused session stays paused', async () => {
  await using session = await provider.createSession({ image: base.name, user: '0' });
  await session.pause();
  await session.commit({ image: 'new:1' });
  expect(await session.info()).toMatchObject({ state: 'paused' });
  await session.resume();
});

test('a commit of a commit, by a session that was taken up, after its image lost its name', async () => {
  const session = await provider.createSession({ image: base.name, user: '0' });
  await session.exec('sh', ['-c', 'echo 1 >/one']);
  await session.commit({ image: 'new:1' });
  await session.destroy();
  await using second = await provider.createSession({ image: 'new:1', user: '0' });
  await images.remove('new:1', { force: true, sync: true });
  await second.exec('sh', ['-c', 'echo 2 >/two; rm /one']);
  await (await provider.connect(second.sessionId)).commit({ image: 'newer:1' });
  const { platforms } = await images.inspect('newer:1');
  expect(platforms).toMatchObject([{ isComplete: true, layers: [{}, {}, {}] }]);
  await using third = await provider.createSession({ image: 'newer:1', user: '0' });
  expect(await third.exec('sh', ['-c', 'cat /two; ls /one'])).toMatchObject({ stdout: '2\n', exitCode: 1 });
});

test("containerd's own client runs it, and so does another namespace after export and import", async () => {
  await using session = await provider.createSession({ image: base.name, user: '0' });
  await session.exec('sh', ['-c', CHANGE]);
  await session.commit({ image: 'new:1', compression: 'gzip' });
  const program = join(findContainerd(context.generation).directory, 'ctr');
  const { address, namespace, root } = context;
  const args = ['--address', address, '--namespace', namespace, 'run', '--rm', '--fifo-dir', join(root, 'fifos')];
  const name = 'docker.io/library/new:1';
  const output = execFileSync(program, [...args, name, nameNamespace(), 'tail', '-n1', '/etc/g2'], {
    encoding: 'utf8',
  });
  expect(output).toBe('x\n');

  const other = await openProvider({ namespace: nameNamespace() });
  await other.images.import(images.export(name));
  await using there = await other.createSession({ image: name });
  expect(await there.exec('cat', ['/home/new'], { user: '0' })).toMatchObject({ stdout: 'made\n' });
});

test('a name that is taken stands for the new image, and an import takes its origin away', async () => {
  await images.tag(base.name, 'new:1');
  await using session = await provider.createSession({ image: base.name });
  const { target } = await session.commit({ image: 'new:1' });
  expect(await images.inspect('new:1')).toMatchObject({ target, origin: { session: session.sessionId } });
  await images.tag('new:1', 'newer:1');
  expect(await images.inspect('newer:1')).toMatchObject({ origin: { session: session.sessionId } });
  await images.tag(base.name, 'new:1');
  expect(await images.inspect('new:1')).not.toHaveProperty('origin');
});

test('bad input is refused with every fault, a destroyed session as such', async () => {
  const session = await provider.createSession({ image: base.name });
  await expect(session.commit({ compression: 'zip' } as never)).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'compression' }, { path: 'image' }],
  });
  await expect(session.commit({ image: 'Bad' })).rejects.toMatchObject({ code: 'invalid-argument' });
  await session.destroy();
  await expect(session.commit({ image: 'new:1' })).rejects.toMatchObject({ code: 'destroyed' });
});
